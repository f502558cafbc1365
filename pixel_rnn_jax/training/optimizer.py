"""The optimizer of a configuration, composed from Optax's parts."""

import functools
import math
from typing import Any

import optax
from flax import traverse_util
from optax.contrib import MuonDimensionNumbers, muon

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.training.config import OptimizerConfig

STEPS = {"adam": optax.scale_by_adam, "rmsprop": optax.scale_by_rms}
OPTIMIZERS = (*STEPS, "muon")


def learning_rate_schedule(config: OptimizerConfig, num_steps: int, peak: float | None = None) -> optax.Schedule:
    """A linear warm-up from 0 to a peak, `config.learning_rate` by default, then a cosine down to 0 or a constant."""
    peak = config.learning_rate if peak is None else peak
    if not 0 <= config.warmup <= 1:
        raise InputError(f"optimizer.warmup must be in [0, 1], a share of the training; got {config.warmup}.")
    warmup_steps = round(config.warmup * num_steps)
    schedules = {
        "cosine": optax.cosine_decay_schedule(peak, max(num_steps - warmup_steps, 1)),
        "constant": optax.constant_schedule(peak),
    }
    if config.schedule not in schedules:
        raise InputError(f"optimizer.schedule must be one of {', '.join(schedules)}; got {config.schedule!r}.")
    warmup = optax.linear_schedule(0.0, peak, warmup_steps)
    return optax.join_schedules([warmup, schedules[config.schedule]], [warmup_steps])


@functools.cache  # equal optimizers are then the same one, and a training step with them is compiled once
def make_optimizer(config: OptimizerConfig, num_steps: int) -> optax.GradientTransformation:
    """Clips the gradient's global norm, then takes a step of RMSProp (the paper's, §5.2), Adam or Muon.

    Muon (https://kellerjordan.github.io/posts/muon, as scaled in arXiv 2502.16982) makes the update of each matrix
    orthogonal. It updates the kernels outside of the head; Adam updates the rest, see `muon_dimensions`.

    Raises:
      InputError: if a name is unknown or a number out of range.
    """
    if config.name not in OPTIMIZERS:
        raise InputError(f"optimizer.name must be one of {', '.join(OPTIMIZERS)}; got {config.name!r}.")
    for name in ("learning_rate", "clip_norm"):
        _check_positive(f"optimizer.{name}", getattr(config, name))
    clip = optax.clip_by_global_norm(config.clip_norm)
    schedule = learning_rate_schedule(config, num_steps)
    if config.name == "muon":
        return optax.chain(clip, _muon(config, schedule, num_steps))
    return optax.chain(clip, STEPS[config.name](), optax.scale_by_learning_rate(schedule))


def muon_dimensions(params: Any) -> Any:
    """How Muon reads each parameter as a matrix; None for the parameters that Adam updates.

    Muon updates the kernels and K_ss of the stem, the layers and the context network. Each layer of the stacked parameters is
    a matrix of its own: [kernel height * width * in, out], or [taps * h, 4h] for K_ss. Adam updates biases, initial states,
    and the head, whose ReLUs die in long trainings with Muon.
    """
    flat = traverse_util.flatten_dict(params)
    return traverse_util.unflatten_dict({path: _matrix_axes(path, leaf) for path, leaf in flat.items()})


def _matrix_axes(path: tuple[str, ...], leaf: Any) -> MuonDimensionNumbers | None:
    if "head" in path or path[-1] not in ("kernel", "state_to_state"):
        return None
    if isinstance(leaf, optax.MaskedNode):  # Optax asks again for the parameters that Muon updates
        return None
    first = 1 if "layers" in path else 0  # parameters of the layers are stacked
    return MuonDimensionNumbers(reduction_axis=tuple(range(first, leaf.ndim - 1)), output_axis=leaf.ndim - 1)


def _muon(config: OptimizerConfig, schedule: optax.Schedule, num_steps: int) -> optax.GradientTransformation:
    fields = config.muon
    for name in ("adam_learning_rate", "consistent_rms"):
        _check_positive(f"optimizer.muon.{name}", getattr(fields, name))
    if not 0 <= fields.momentum < 1:
        raise InputError(f"optimizer.muon.momentum must be in [0, 1); got {fields.momentum}.")
    if not 0 <= fields.weight_decay < math.inf:
        raise InputError(f"optimizer.muon.weight_decay must be 0 or more, and finite; got {fields.weight_decay}.")
    return muon(
        schedule,
        beta=fields.momentum,
        weight_decay=fields.weight_decay,
        adam_learning_rate=learning_rate_schedule(config, num_steps, fields.adam_learning_rate),
        consistent_rms=fields.consistent_rms,
        muon_weight_dimension_numbers=muon_dimensions,
    )


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise InputError(f"{name} must be greater than 0, and finite; got {value}.")
