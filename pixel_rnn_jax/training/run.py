"""From a configuration to everything that a training needs, created and checked before the first step."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Float
from ml_collections import ConfigDict

from pixel_rnn_jax.data import Batch, Dataset, Examples, at_most
from pixel_rnn_jax.errors import MAX_SEED, InputError, check_integer
from pixel_rnn_jax.evaluation.score import Score, Scorer
from pixel_rnn_jax.models.conditioning import blank_conditions, check_conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.multi_scale import make_model
from pixel_rnn_jax.parallel.mesh import (
    batch_sharding,
    check_batch_size,
    make_mesh,
    platform_of,
    replicate,
    replicated,
    state_sharding,
)
from pixel_rnn_jax.platforms import fast_microbatches
from pixel_rnn_jax.storage.run_record import RunRecord, Validations
from pixel_rnn_jax.training.config import TrainConfig, with_found
from pixel_rnn_jax.training.initialization import value_frequencies
from pixel_rnn_jax.training.optimizer import make_optimizer
from pixel_rnn_jax.training.step import TrainState, blank_batch, init_state, train_step

FREQUENCY_IMAGES = 1_000  # training images whose values are counted for a calm start


@dataclasses.dataclass(frozen=True)
class StepRecipe:
    """What the training step of a configuration needs, for images of one shape.

    Attributes:
      config, model, optimizer, mesh: of the run.
      image_shape: [H, W, C].
      frequencies: of the values in training, for a calm start (see `initialization.calm`); else None.
    """

    config: TrainConfig
    model: nn.Module
    optimizer: optax.GradientTransformation
    mesh: Mesh
    image_shape: tuple[int, int, int]
    frequencies: Float[np.ndarray, "C levels"] | None = None

    def init(self) -> TrainState:
        """The state before the first step, created with its target sharding."""
        return init_state(self._keys[0], **self._init_arguments)

    @property
    def step_key(self) -> jax.Array:
        """Random key of all steps; each folds in its number."""
        return self._keys[1]

    @functools.cached_property
    def abstract_state(self) -> TrainState:
        """Shapes, types and shardings of a state."""
        shapes = init_state.eval_shape(self.abstract_key, **self._init_arguments)
        return jax.tree.map(_abstract, shapes, state_sharding(shapes, self.mesh))

    @property
    def abstract_batch(self) -> Batch:
        """Shapes, types and shardings of a training batch."""
        batch = blank_batch(self.model.config, (self.config.batch_size, *self.image_shape[:2]))
        return jax.tree.map(lambda array: _abstract(array, batch_sharding(self.mesh)), batch)

    @property
    def abstract_key(self) -> jax.ShapeDtypeStruct:
        """Shape, type and sharding of a random key."""
        return _abstract(jax.eval_shape(lambda: jax.random.key(0)), replicated(self.mesh))

    @property
    def microbatches(self) -> int:
        """Microbatches of each device: `gradient_accumulation`, or as many as are fast if that is 0."""
        share = self.config.batch_size // self.mesh.size
        fast = fast_microbatches(share, self.image_shape[:2], self.model.config.features, platform_of(self.mesh))
        return self.config.gradient_accumulation or fast

    @functools.cached_property
    def _keys(self) -> tuple[jax.Array, jax.Array]:
        """Random keys of the parameters and of the steps, on each device."""
        return replicate(tuple(jax.random.split(jax.random.key(self.config.seed))), self.mesh)

    @property
    def _init_arguments(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "frequencies": self.frequencies, "mesh": self.mesh}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRun(StepRecipe):
    """Everything that a training needs: the recipe of its steps, and the data."""

    data: Dataset

    def evaluate(self, params: Any, split: str, examples: Examples) -> Score:
        batch_size, num_threads = self.config.batch_size, self.config.data.num_threads
        scorer = Scorer(self.model, params, self.mesh, batch_size, num_threads, check_memory=False)
        return scorer.evaluate(split, *examples)

    def record(self, validations: Validations) -> RunRecord:
        """What a checkpoint holds besides arrays."""
        num_classes, counts = self.model.config.num_classes, None
        if num_classes:
            counts = tuple(np.bincount(self.data.labels("train"), minlength=num_classes).tolist())
        return RunRecord(dataclasses.asdict(self.config), self.data.image_shape, self.data.classes, validations, counts)


def _abstract(array: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)


def prepare(config: ConfigDict) -> TrainingRun:
    """Creates the parts of a training, and decodes its data.

    Raises:
      InputError: if a field of the configuration cannot be used.
    """
    config = TrainConfig.from_config_dict(with_found(config))
    parts = _parts(config)  # checked before data is read, or downloaded
    data = Dataset(config.data, config.model)
    check_image_shape(config.model, data.image_shape)
    data.decode()
    frequencies = None
    if config.calm_start:
        images, _ = at_most(data.examples("train"), FREQUENCY_IMAGES)
        frequencies = value_frequencies(images[np.arange(len(images))], config.model.levels)
    return TrainingRun(**parts, image_shape=data.image_shape, frequencies=frequencies, data=data)


def prepare_step(
    config: ConfigDict, image_shape: tuple[int, int, int], devices: Sequence[jax.Device] | None = None
) -> StepRecipe:
    """Creates what the training step needs for images [H, W, C], without any data: `config.data` is ignored.

    The devices may be described ones, for which a step can be compiled but not run (see `described_devices`).

    Raises:
      InputError: if a field of the configuration cannot be used, or not for such images.
    """
    config = TrainConfig.from_config_dict(config)
    check_image_shape(config.model, image_shape)
    return StepRecipe(**_parts(config, devices), image_shape=image_shape)


def _parts(config: TrainConfig, devices: Sequence[jax.Device] | None = None) -> dict[str, Any]:
    """The fields of a `StepRecipe` that do not depend on the images."""
    for name in ("batch_size", "num_steps", "eval_every", "checkpoint_every", "log_every"):
        check_integer(name, getattr(config, name), 1)
    for name in ("gradient_accumulation", "patience", "eval_images", "test_images"):
        check_integer(name, getattr(config, name), 0)
    check_integer("sample_every", config.sample_every, -1)
    check_integer("seed", config.seed, 0, MAX_SEED)
    if not 0 <= config.optimizer.ema_decay < 1:
        raise InputError(f"optimizer.ema_decay must be in [0, 1); got {config.optimizer.ema_decay}.")
    optimizer = make_optimizer(config.optimizer, config.num_steps)
    mesh = make_mesh(config.mesh.data, config.mesh.fsdp, devices=devices)
    check_batch_size(config.batch_size, mesh, microbatches=max(config.gradient_accumulation, 1))
    return {"config": config, "model": make_model(config.model), "optimizer": optimizer, "mesh": mesh}


def check_image_shape(config: ModelConfig, shape: tuple[int, int, int]) -> None:
    """Raises `InputError` unless a model can be trained on images of this shape."""
    if config.sizes and shape[0] != config.sizes[-1]:
        raise InputError(f"model.sizes must end with {shape[0]}, the height of the images; got {config.sizes}.")
    check_conditions(config, blank_conditions(config, (1, *shape[:2])), (1, *shape[:2]))


def lower_step(recipe: StepRecipe) -> jax.stages.Lowered:
    """Traces the training step, (state, batch, key) -> (state, metrics), which overwrites the old state's memory."""
    return train_step.lower(
        recipe.abstract_state,
        recipe.abstract_batch,
        recipe.abstract_key,
        model=recipe.model,
        optimizer=recipe.optimizer,
        ema_decay=recipe.config.optimizer.ema_decay,
        microbatches=recipe.microbatches,
        mesh=recipe.mesh,
    )


def compile_step(recipe: StepRecipe) -> jax.stages.Compiled:
    """Compiles the training step, see `lower_step`. JAX compiles equal recipes once in a process."""
    return lower_step(recipe).compile()
