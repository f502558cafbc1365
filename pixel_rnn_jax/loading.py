"""Trained models, loaded by where they are."""

from typing import Any

import flax.linen as nn

from pixel_rnn_jax.checkpoint import Checkpoints, abstract_params, restore_model
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.paths import AnyPath, as_path, is_folder


def load(path: str | AnyPath) -> tuple[nn.Module, Any]:
    """Loads a trained model.

    Args:
      path: the work directory of a training run.

    Returns:
      The model, a `PixelRNN` or a `MultiScalePixelRNN`; and its parameters: the moving average, at the step with the best
      validation score.

    Raises:
      InputError: (a ValueError) if there is no such directory, or no usable checkpoint in it.
    """
    model, params, _ = load_run(path)
    return model, params


def load_run(path: str | AnyPath) -> tuple[nn.Module, Any, dict[str, Any]]:
    """Like `load`, and returns the run's record too: its `config` and `image_shape`, among others."""
    if not is_folder(as_path(path)):
        raise InputError(f"{str(path)!r} must be the work directory of a training run; there is no such directory.")
    with Checkpoints(path, read_only=True) as checkpoints:
        latest = checkpoints.latest_step
        if latest is None:
            raise InputError(f"{path} must be the work directory of a training run; it holds no complete checkpoint.")
        step = checkpoints.best_step or latest
        run = checkpoints.restore_run(step)
        model = restore_model(run)
        params = checkpoints.restore_arrays(step, ema=abstract_params(model))["ema"]
    return model, params, run
