"""Loading trained models: from a work directory, from an exported file, or by the name of a shipped one."""

import os
from pathlib import Path
from typing import Any

import flax.linen as nn

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.params import abstract_params
from pixel_rnn_jax.paths import AnyPath, as_path, is_folder, is_remote
from pixel_rnn_jax.storage.checkpoint import Checkpoints
from pixel_rnn_jax.storage.export import ENDING, read_weights
from pixel_rnn_jax.storage.run_record import RunRecord

SHIPPED = Path(__file__).parents[1] / "weights"


def shipped_models() -> list[str]:
    """The names of the trained models that come with the package."""
    return sorted(file.stem for file in SHIPPED.glob(f"*{ENDING}"))


def load(path: str | AnyPath) -> tuple[nn.Module, Any]:
    """Loads a trained model.

    Args:
      path: the work directory of a training run; an exported file (at gs://, its name must end in .safetensors); or the name
        of a model that comes with the package, such as "digits_rowlstm". An existing path goes first.

    Returns:
      The model, a `PixelRNN` or a `MultiScalePixelRNN`, and its parameters. For a training run these are the moving average at
      the step with the best validation score, or at the latest step before the first validation. `model.classes` holds the
      names of the classes by number, if the data had names.

    Raises:
      InputError: (a ValueError) if there is nothing of that name, or no usable model in it.
    """
    model, params, _ = load_run(path)
    return model, params


def load_run(path: str | AnyPath) -> tuple[nn.Module, Any, RunRecord]:
    """Like `load`, and also returns the record of the run."""
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        raise InputError(f"path must be a work directory, an exported file, or the name of a model; got {path!r}.")
    place = as_path(path)
    if is_folder(place):
        return _load_workdir(place)
    if place.suffix == ENDING if is_remote(place) else place.exists():
        return read_weights(place)
    if str(path) in shipped_models():
        return read_weights(SHIPPED / f"{path}{ENDING}")
    raise InputError(
        f"{str(path)!r} must be the work directory of a training run, an exported file (*{ENDING}), or one of"
        f" {', '.join(shipped_models())}; there is nothing of that name."
    )


def _load_workdir(path: AnyPath) -> tuple[nn.Module, Any, RunRecord]:
    with Checkpoints(path, read_only=True) as checkpoints:
        latest = checkpoints.latest_step
        if latest is None:
            raise InputError(f"{path} must be the work directory of a training run; it holds no complete checkpoint.")
        step = checkpoints.best_step or latest
        record = checkpoints.restore_record(step)
        model = record.make_model()
        params = checkpoints.restore_arrays(step, ema=abstract_params(model))["ema"]
    return model, params, record
