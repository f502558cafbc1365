"""The kinds of source, one file each; `source` defines what each of them provides."""

from collections.abc import Callable
from typing import NamedTuple

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.sources.arrays import read_npy, read_npz
from pixel_rnn_jax.data.sources.digits import read_digits
from pixel_rnn_jax.data.sources.folder import read_folder
from pixel_rnn_jax.data.sources.source import Source
from pixel_rnn_jax.data.sources.tfds import read_tfds
from pixel_rnn_jax.errors import InputError


class SourceKind(NamedTuple):
    """A kind of source.

    Attributes:
      form: how `data.source` names it.
      read: opens it, from what follows the colon in `data.source`, the configuration, and the model's channels.
    """

    form: str
    read: Callable[[str, DataConfig, int], Source]


SOURCES = {
    "digits": SourceKind("digits", read_digits),
    "npz": SourceKind("npz:PATH", read_npz),
    "npy": SourceKind("npy:PATH", read_npy),
    "folder": SourceKind("folder:PATH", read_folder),
    "tfds": SourceKind("tfds:NAME", read_tfds),
}


def open_source(config: DataConfig, channels: int) -> Source:
    """Opens the source that a configuration names, for a model of so many channels.

    Raises:
      InputError: if the source is unknown or cannot be read.
    """
    kind, _, argument = config.source.partition(":")
    if kind not in SOURCES:
        forms = ", ".join(source.form for source in SOURCES.values())
        raise InputError(f"data.source must be one of {forms}; got {config.source!r}.")
    return SOURCES[kind].read(argument, config, channels)
