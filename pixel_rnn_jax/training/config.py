"""The configuration of a run: the base that all configurations are deltas on, and the shipped ones by name."""

import dataclasses
import importlib.util
import types
import typing
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, config_dict

from pixel_rnn_jax.data import DataConfig
from pixel_rnn_jax.models.config import ModelConfig

_INSTALLED = Path(__file__).parents[1] / "experiments"  # in a wheel
CONFIGURATIONS = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2] / "experiments"


def base_config() -> ConfigDict:
    """The fields of a run and their defaults; locked, so that a mistyped field is an error.

    It names no layer, levels or channels, so it cannot be run as it is. `model` has the fields of `ModelConfig`, `data` those
    of `DataConfig`.
    """
    config = ConfigDict(
        {
            "seed": 0,
            "calm_start": False,  # start from the values' frequencies and, with pixel_cnn, blocks that add nothing
            "batch_size": 64,  # of all devices together
            "gradient_accumulation": 0,  # microbatches, one after the other; 0: as many as are fast
            "num_steps": 1000,
            "eval_every": 100,  # steps between validations
            "checkpoint_every": 100,  # steps between checkpoints; the best on validation is saved besides
            "log_every": 10,  # steps between rows of training metrics
            "patience": 0,  # validations without improvement after which training stops; 0: never
            "eval_images": 0,  # validation images that are scored during training, drawn at random; 0: all
            "test_images": 0,  # the same, of the images that are scored at the end
            "mesh": {  # how devices share the work, see pixel_rnn_jax.parallel.mesh
                "data": -1,  # devices, or groups of them, that hold whole parameters; -1: as many as there are
                "fsdp": 1,  # devices in such a group, each with a piece of parameters, average and optimizer state
            },
            "data": _fields(DataConfig) | {"source": "digits"},
            "model": _fields(ModelConfig),
            "optimizer": {
                "name": "rmsprop",  # the paper's; or adam, or muon
                "learning_rate": 1e-3,
                "schedule": "cosine",  # after the warm-up; or constant
                "warmup": 0.0,  # share of the steps
                "clip_norm": 1.0,
                "ema_decay": 0.99,
                "muon": {  # of Muon alone, whose own rate is learning_rate
                    "adam_learning_rate": 1e-3,  # of Adam, which takes the head, biases and initial states
                    "momentum": 0.95,
                    "weight_decay": 0.1,
                    "consistent_rms": 0.2,  # root mean square of an update before the rate; 0.2 is Adam's
                },
            },
        }
    )
    return config.lock()


def shipped_configs() -> dict[str, Path]:
    """The configurations that come with the package: their files, by name."""
    return {file.stem: file for file in sorted(CONFIGURATIONS.glob("[!_]*.py"))}


def shipped_config(name: str) -> ConfigDict:
    """A shipped configuration, to be changed.

    Args:
      name: such as "cifar_rowlstm".
    """
    spec = importlib.util.spec_from_file_location(name, shipped_configs()[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def _fields(config: type) -> dict[str, Any]:
    """The fields of a dataclass with their defaults; where there is none, a placeholder of the field's type."""
    hints = config.__annotations__
    fields = {field.name: field.default for field in dataclasses.fields(config)}
    return {
        name: config_dict.placeholder(_plain_type(hints[name])) if default in (None, dataclasses.MISSING) else default
        for name, default in fields.items()
    }


def _plain_type(hint: Any) -> type:
    """`tuple` of `tuple[int, int] | None`."""
    if isinstance(hint, types.UnionType):
        hint = typing.get_args(hint)[0]
    return typing.get_origin(hint) or hint
