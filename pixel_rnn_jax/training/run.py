"""From a configuration to everything that a training needs, made and checked before the first step."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Float
from ml_collections import ConfigDict

from pixel_rnn_jax.data import Batch, DataConfig, Dataset, at_most
from pixel_rnn_jax.errors import MAX_SEED, InputError, check_integer
from pixel_rnn_jax.models.conditioning import blank_conditions, check_conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.multi_scale import make_model
from pixel_rnn_jax.parallel.mesh import batch_sharding, check_batch_size, make_mesh, replicate, replicated, state_sharding
from pixel_rnn_jax.parallel.microbatch import fast_microbatches
from pixel_rnn_jax.training.initialization import value_frequencies
from pixel_rnn_jax.training.optimizer import make_optimizer
from pixel_rnn_jax.training.step import TrainState, blank_batch, init_state, train_step

FREQUENCY_IMAGES = 1_000  # training images whose values are counted for a calm start


@dataclasses.dataclass(frozen=True)
class StepRecipe:
    """What the training step of a configuration needs, for images of a shape.

    Attributes:
      config: see `training/config.py`.
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      optimizer: with its learning-rate schedule.
      mesh: devices that share the work.
      image_shape: [H, W, C].
      init_key: from which the parameters are drawn.
      step_key: from which, with its number, each step takes its randomness.
      frequencies: of the values in training, if it is to start calm; see `initialization.calm`.
    """

    config: ConfigDict
    model: nn.Module
    optimizer: optax.GradientTransformation
    mesh: Mesh
    image_shape: tuple[int, int, int]
    init_key: jax.Array
    step_key: jax.Array
    frequencies: Float[np.ndarray, "C levels"] | None = None

    def init(self) -> TrainState:
        """The state before the first step, made where it is to lie."""
        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.abstract_state)
        return jax.jit(self._init, out_shardings=shardings)(self.init_key)

    @functools.cached_property
    def abstract_state(self) -> TrainState:
        """Shapes, types and shardings of a state."""
        shapes = jax.eval_shape(self._init, self.init_key)
        shardings = state_sharding(shapes, self.mesh)
        return jax.tree.map(_abstract, shapes, shardings)

    @property
    def abstract_batch(self) -> Batch:
        """Shapes, types and shardings of a training batch."""
        batch = blank_batch(self.model.config, (self.config.batch_size, *self.image_shape[:2]))
        return jax.tree.map(lambda array: _abstract(array, batch_sharding(self.mesh)), batch)

    @property
    def microbatches(self) -> int:
        """Into how many microbatches each device splits its share of a batch: `gradient_accumulation`, or what is fast."""
        share, platform = self.config.batch_size // self.mesh.size, self.mesh.devices.flat[0].platform
        fast = fast_microbatches(share, self.image_shape[:2], self.model.config.features, platform)
        return self.config.gradient_accumulation or fast

    @property
    def _init(self) -> Callable[[jax.Array], TrainState]:
        return functools.partial(
            init_state,
            model=self.model,
            optimizer=self.optimizer,
            image_shape=self.image_shape,
            frequencies=self.frequencies,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRun(StepRecipe):
    """Everything that a configuration stands for, made and checked before the first step.

    Attributes:
      data: all splits; batches come from it.
    """

    data: Dataset


def _abstract(array: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)


def prepare(config: ConfigDict) -> TrainingRun:
    """Makes the parts of a training.

    Raises:
      InputError: if a field of the configuration cannot be used.
    """
    model, optimizer, mesh = _components(config)
    data = Dataset(DataConfig(**config.data), model.config)
    check_image_shape(model.config, data.image_shape)
    data.decode()
    frequencies = None
    if config.calm_start:
        images, _ = at_most(data.examples("train"), FREQUENCY_IMAGES)
        frequencies = value_frequencies(images[np.arange(len(images))], model.config.levels)
    keys = _keys(config, mesh)
    return TrainingRun(config, model, optimizer, mesh, data.image_shape, *keys, frequencies=frequencies, data=data)


def prepare_step(config: ConfigDict, image_shape: tuple[int, int, int]) -> StepRecipe:
    """Makes what the training step needs, without any data.

    Args:
      config: of which the data is ignored.
      image_shape: [H, W, C].

    Raises:
      InputError: if a field of the configuration cannot be used, or not for such images.
    """
    model, optimizer, mesh = _components(config)
    check_image_shape(model.config, image_shape)
    return StepRecipe(config, model, optimizer, mesh, image_shape, *_keys(config, mesh))


def _components(config: ConfigDict) -> tuple[nn.Module, optax.GradientTransformation, Mesh]:
    _check_fields(config)
    model = make_model(ModelConfig(**config.model))
    optimizer = make_optimizer(config.optimizer, config.num_steps)
    mesh = make_mesh(**config.mesh)
    check_batch_size(config.batch_size, mesh, microbatches=max(config.gradient_accumulation, 1))
    return model, optimizer, mesh


def _check_fields(config: ConfigDict) -> None:
    for name in ("batch_size", "num_steps", "eval_every", "checkpoint_every", "log_every"):
        check_integer(name, config[name], 1)
    for name in ("gradient_accumulation", "patience", "eval_images", "test_images"):
        check_integer(name, config[name], 0)
    check_integer("seed", config.seed, 0, MAX_SEED)
    if not isinstance(config.optimizer.ema_decay, (int, float)) or not 0 <= config.optimizer.ema_decay < 1:
        raise InputError(f"optimizer.ema_decay must be in [0, 1); got {config.optimizer.ema_decay}.")


def _keys(config: ConfigDict, mesh: Mesh) -> tuple[jax.Array, ...]:
    return replicate(tuple(jax.random.split(jax.random.key(config.seed))), mesh)


def check_image_shape(config: ModelConfig, shape: tuple[int, int, int]) -> None:
    """Raises `InputError` unless a model can be trained on images of this shape."""
    if config.sizes and shape[0] != config.sizes[-1]:
        raise InputError(f"model.sizes must end with {shape[0]}, the height of the images; got {config.sizes}.")
    check_conditions(config, blank_conditions(config, (1, *shape[:2])), (1, *shape[:2]))


def compile_step(setup: StepRecipe) -> jax.stages.Compiled:
    """The training step for the devices of a mesh, (state, batch, key) -> (state, metrics); it takes the state's memory."""
    config = setup.config
    step = functools.partial(
        train_step,
        model=setup.model,
        optimizer=setup.optimizer,
        ema_decay=config.optimizer.ema_decay,
        microbatches=setup.microbatches,
        mesh=setup.mesh,
    )
    state, batch, whole = setup.abstract_state, setup.abstract_batch, replicated(setup.mesh)
    of_state, of_batch = (jax.tree.map(lambda leaf: leaf.sharding, tree) for tree in (state, batch))
    step = jax.jit(step, in_shardings=(of_state, of_batch, whole), out_shardings=(of_state, whole), donate_argnums=0)
    return step.lower(state, batch, setup.step_key).compile()
