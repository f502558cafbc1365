"""The configuration of a run, the base on which all configuration files build, and the shipped ones by name."""

import dataclasses
import runpy
import types
import typing
from pathlib import Path
from typing import Any, no_type_check

from ml_collections import ConfigDict, config_dict

from pixel_rnn_jax.data import DataConfig
from pixel_rnn_jax.data.sources.folder_contents import count_channels, count_classes, training_pictures
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.parallel.distributed import tell

_INSTALLED = Path(__file__).parents[1] / "experiments"  # in a wheel
CONFIGURATIONS = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2] / "experiments"


@no_type_check  # fields are checked where they are used, with ValueErrors
@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """How devices share the work, see `pixel_rnn_jax.parallel.mesh`.

    Attributes:
      data: devices, or groups of them, that hold whole parameters; -1: as many as there are.
      fsdp: devices in such a group, each with a part of parameters, average and optimizer state.
    """

    data: int = -1
    fsdp: int = 1


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class MuonConfig:
    """Fields of Muon alone, whose own rate is the optimizer's `learning_rate`.

    Attributes:
      adam_learning_rate: of Adam, which updates the head, biases, initial states and embedding vectors.
      momentum: in [0, 1).
      weight_decay: of the parameters that Muon updates.
      consistent_rms: root mean square of an update before the rate; 0.2 is Adam's.
    """

    adam_learning_rate: float = 1e-3
    momentum: float = 0.95
    weight_decay: float = 0.1
    consistent_rms: float = 0.2


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimizer and its learning-rate schedule, see `pixel_rnn_jax.training.optimizer`.

    Attributes:
      name: "rmsprop" (the paper's), "adam" or "muon".
      learning_rate: after the warm-up.
      schedule: "cosine" or "constant", after the warm-up.
      warmup: share of the steps.
      clip_norm: largest norm of the gradient.
      ema_decay: of the moving average of the parameters, in [0, 1).
      muon: fields of Muon alone.
    """

    name: str = "rmsprop"
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.99
    muon: MuonConfig = MuonConfig()


DIGITS = DataConfig(source="digits")


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The configuration of a run; immutable.

    Attributes:
      seed: of parameters, order of the data, and dropout.
      calm_start: start from the frequencies of the values and, with pixel_cnn, from blocks that add nothing.
      batch_size: of all devices together.
      gradient_accumulation: microbatches of a batch, one after the other; 0: as many as are fast.
      num_steps: length of the training.
      eval_every: steps between validations.
      checkpoint_every: steps between checkpoints; the best on validation is also saved.
      log_every: steps between rows of training metrics.
      sample_every: steps between sheets of samples; 0: none; -1: with validations, if a sheet takes a few seconds at most, and
        with so few of them that all sheets take a twentieth of the time.
      patience: validations without improvement after which training stops; 0: never.
      eval_images: validation images that are scored during training, drawn at random; 0: all.
      test_images: the same, of the images that are scored at the end.
      mesh: how devices share the work.
      data: where images come from.
      model: the network.
      optimizer: how it is trained.
    """

    seed: int = 0
    calm_start: bool = False
    batch_size: int = 64
    gradient_accumulation: int = 0
    num_steps: int = 1000
    eval_every: int = 100
    checkpoint_every: int = 100
    log_every: int = 10
    sample_every: int = -1
    patience: int = 0
    eval_images: int = 0
    test_images: int = 0
    mesh: MeshConfig = MeshConfig()
    data: DataConfig = DIGITS
    model: ModelConfig
    optimizer: OptimizerConfig = OptimizerConfig()

    @classmethod
    def from_config_dict(cls, config: ConfigDict) -> "TrainConfig":
        """Makes the configuration immutable. The classes of data and model check their fields (`InputError`)."""
        optimizer = OptimizerConfig(**{**config.optimizer, "muon": MuonConfig(**config.optimizer.muon)})
        sections = {"mesh": MeshConfig(**config.mesh), "data": DataConfig(**config.data), "model": ModelConfig(**config.model)}
        return cls(**{**config, **sections, "optimizer": optimizer})


def base_config() -> ConfigDict:
    """The fields of a `TrainConfig` and their defaults; locked, so that a mistyped field is an error.

    Every configuration file changes some of them. It must name the layer, the levels and, unless the data is a folder of
    pictures (see `with_found`), the channels.
    """
    return ConfigDict(_fields(TrainConfig)).lock()


def with_found(config: ConfigDict) -> ConfigDict:
    """The configuration with what it leaves open: channels (None) and classes (-1) of a folder of pictures, which are printed.

    Raises:
      InputError: if they are open and the data is no folder, or one with pictures both beside and in folders.
    """
    model = config.model
    if model.channels is not None and model.num_classes != -1:
        return config
    config = config.copy_and_resolve_references()
    root, files = training_pictures(DataConfig(**config.data))
    if model.channels is None:
        config.model.channels = count_channels(files)
    if model.num_classes == -1:
        config.model.num_classes = count_classes(root, files)
    classes = f"{config.model.num_classes} classes" if config.model.num_classes else "no classes"
    tell(f"{root}: model.channels={config.model.channels}, {classes}")
    return config


def shipped_configs() -> dict[str, Path]:
    """The configurations that come with the package: their files, by name."""
    return {file.stem: file for file in sorted(CONFIGURATIONS.glob("[!_]*.py"))}


def shipped_config(name: str) -> ConfigDict:
    """A shipped configuration by its name, such as "cifar_rowlstm"; a new one that may be changed."""
    return runpy.run_path(str(shipped_configs()[name]))["get_config"]()


def _fields(config: Any) -> dict[str, Any]:
    """The fields of a dataclass or an instance of one, nested; a field without a value gets a placeholder of its type."""
    fields = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name, None)
        if dataclasses.is_dataclass(field.type):
            fields[field.name] = _fields(value or field.type)
        else:
            fields[field.name] = config_dict.placeholder(_plain_type(field.type)) if value is None else value
    return fields


def _plain_type(hint: Any) -> type:
    """For instance `tuple`, of `tuple[int, int] | None`."""
    if isinstance(hint, types.UnionType):
        hint = typing.get_args(hint)[0]
    return typing.get_origin(hint) or hint
