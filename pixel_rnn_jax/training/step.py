"""The training state, and one training step."""

import functools
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from pixel_rnn_jax.data import Batch
from pixel_rnn_jax.images import value_type
from pixel_rnn_jax.models.conditioning import blank_conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.likelihood import bits_per_dim
from pixel_rnn_jax.models.params import init_params
from pixel_rnn_jax.parallel.mesh import AXES, batch_spec, on_shares, state_sharding
from pixel_rnn_jax.training.gradient import nats_and_grad
from pixel_rnn_jax.training.initialization import calm


class TrainState(flax.struct.PyTreeNode):
    """All arrays that a training step changes.

    Attributes:
      step: number of finished steps, int32.
      params: the parameters.
      ema: their exponential moving average.
      opt_state: the optimizer's state.
    """

    step: Any
    params: Any
    ema: Any
    opt_state: optax.OptState

    @property
    def without_ema(self) -> dict[str, Any]:
        """The arrays besides the averaged parameters, as a checkpoint holds them."""
        return {"step": self.step, "params": self.params, "opt_state": self.opt_state}


@functools.partial(jax.jit, static_argnames=("model", "optimizer", "mesh"))
def init_state(
    key: jax.Array,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    frequencies: Float[Array | np.ndarray, "C levels"] | None = None,
    mesh: Mesh | None = None,
) -> TrainState:
    """The state before the first step, sharded over a mesh if one is given.

    With the `frequencies` of the values in training, the start is calm, see `initialization.calm`.
    """
    params = init_params(model, key)
    if frequencies is not None:
        params = calm(params, frequencies, model.config)
    state = TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), optimizer.init(params))
    return _sharded(state, mesh)


def blank_batch(config: ModelConfig, shape: tuple[int, int, int]) -> Batch:
    """A batch of zeros, for code that depends on shapes only; shape: number, height and width of the images."""
    images = np.zeros((*shape, config.channels), value_type(config.levels))
    return {"image": images, "conditions": blank_conditions(config, shape)}


@functools.partial(
    jax.jit, static_argnames=("model", "optimizer", "ema_decay", "microbatches", "mesh"), donate_argnames="state"
)
def train_step(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    microbatches: int = 1,
    mesh: Mesh | None = None,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """One step on the mean negative log-likelihood of a batch, in bits/dim.

    Args:
      state: the state before, whose memory is overwritten.
      batch: images [B, H, W, C] and their conditions.
      key: random key of the whole run, for dropout. Each device and each microbatch drops different features.
      model: a `PixelRNN`, or a `MultiScalePixelRNN`, whose sizes are trained together.
      optimizer: includes the learning-rate schedule.
      ema_decay: of the moving average. At step t the decay is min(ema_decay, (1 + t) / (10 + t)), so that the average forgets
        the random start.
      microbatches: their number in a batch, or in each device's share of it. Their gradients are computed one after the
        other and averaged, so that only one microbatch's activations are in memory.
      mesh: of the devices over which batch and state are sharded; None for one device.

    Returns:
      The state after, and the batch's nats, bits_per_dim and the norms of gradient (before clipping) and update.
    """
    key = jax.random.fold_in(key, state.step)
    if mesh is None:
        nats, gradient = nats_and_grad(model, state.params, batch["image"], batch["conditions"], key, microbatches)
    else:
        nats, gradient = _nats_and_grad_over_devices(state.params, batch, key, model, microbatches, mesh)
    image_shape = batch["image"].shape[1:]
    gradient = jax.tree.map(lambda leaf: leaf * bits_per_dim(-1.0, image_shape), gradient)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
    ema = optax.incremental_update(params, state.ema, 1 - decay)
    metrics = {"nats": nats, "bits_per_dim": bits_per_dim(-nats, image_shape)}
    metrics |= {"gradient_norm": optax.tree.norm(gradient), "update_norm": optax.tree.norm(updates)}
    return _sharded(TrainState(state.step + 1, params, ema, opt_state), mesh), metrics


def _nats_and_grad_over_devices(
    params: Any, batch: Batch, key: jax.Array, model: nn.Module, microbatches: int, mesh: Mesh
) -> tuple[Float[Array, ""], Any]:
    """The mean of the devices' losses and gradients, each of its share of the batch, in one exchange."""

    def share_fn(params, batch, key):
        key = jax.random.fold_in(key, jax.lax.axis_index(AXES))
        return jax.lax.pmean(nats_and_grad(model, params, batch["image"], batch["conditions"], key, microbatches), AXES)

    # Parameters sharded along "fsdp" are gathered here, ahead of the scans and never within one.
    whole = PartitionSpec()
    batch_fn = on_shares(share_fn, mesh, in_specs=(whole, batch_spec(), whole), out_specs=whole)
    nats, gradient = batch_fn(params, batch, key)
    # Each device needs only the shards that it updates.
    return nats, jax.lax.with_sharding_constraint(gradient, state_sharding(gradient, mesh))


def _sharded(state: TrainState, mesh: Mesh | None) -> TrainState:
    return state if mesh is None else jax.lax.with_sharding_constraint(state, state_sharding(state, mesh))
