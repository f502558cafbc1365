"""The optimiser of a configuration, put together from Optax's parts."""

import math
from typing import Any

import optax

from pixel_rnn_jax.errors import InputError

OPTIMIZERS = {"adam": optax.scale_by_adam, "rmsprop": optax.scale_by_rms}


def learning_rate_schedule(config: Any, num_steps: int) -> optax.Schedule:
    """A linear warm-up from 0 to `config.learning_rate`, then a cosine down to 0 at `num_steps`, or a constant.

    Args:
      config: the fields `learning_rate`, `warmup` (its share of the training, 0 to 1) and `schedule` ("cosine" or
        "constant").
      num_steps: length of the training.

    Raises:
      InputError: if the schedule's name is unknown or the warm-up is out of range.
    """
    if not 0 <= config.warmup <= 1:
        raise InputError(f"optimizer.warmup must be in [0, 1], a share of the training; got {config.warmup}.")
    warmup_steps = round(config.warmup * num_steps)
    schedules = {
        "cosine": optax.cosine_decay_schedule(config.learning_rate, max(num_steps - warmup_steps, 1)),
        "constant": optax.constant_schedule(config.learning_rate),
    }
    if config.schedule not in schedules:
        raise InputError(f"optimizer.schedule must be one of {', '.join(schedules)}; got {config.schedule!r}.")
    warmup = optax.linear_schedule(0.0, config.learning_rate, warmup_steps)
    return optax.join_schedules([warmup, schedules[config.schedule]], [warmup_steps])


def make_optimizer(config: Any, num_steps: int) -> optax.GradientTransformation:
    """Clips the gradient's global norm, then takes a step of RMSProp (the paper's, §5.2) or Adam.

    Args:
      config: the fields `name` ("rmsprop" or "adam"), `clip_norm`, and those of `learning_rate_schedule`.
      num_steps: length of the training.

    Raises:
      InputError: if a name is unknown or a number out of range.
    """
    if config.name not in OPTIMIZERS:
        raise InputError(f"optimizer.name must be one of {', '.join(OPTIMIZERS)}; got {config.name!r}.")
    for name in ("learning_rate", "clip_norm"):
        if not 0 < config[name] < math.inf:
            raise InputError(f"optimizer.{name} must be greater than 0, and finite; got {config[name]}.")
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        OPTIMIZERS[config.name](),
        optax.scale_by_learning_rate(learning_rate_schedule(config, num_steps)),
    )
