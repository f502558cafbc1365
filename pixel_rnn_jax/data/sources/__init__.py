"""The kinds of source, one file each; `source` defines what each of them provides."""

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.sources.arrays import read_npy, read_npz
from pixel_rnn_jax.data.sources.digits import read_digits
from pixel_rnn_jax.data.sources.folder import read_folder
from pixel_rnn_jax.data.sources.samples import read_samples
from pixel_rnn_jax.data.sources.source import Source
from pixel_rnn_jax.data.sources.tfds import read_tfds
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import ModelConfig

# What opens each kind of source, from what follows the colon in `data.source`, the configuration, and the model's.
SOURCES = {
    "digits": read_digits,
    "samples": read_samples,
    "npz": read_npz,
    "npy": read_npy,
    "folder": read_folder,
    "tfds": read_tfds,
}
FORMS = "digits, samples:NAME, npz:PATH, npy:PATH, folder:PATH, tfds:NAME"


def open_source(config: DataConfig, model: ModelConfig) -> Source:
    """Opens the source that a configuration names, with the labels and context images that the model needs."""
    kind, _, argument = config.source.partition(":")
    if kind not in SOURCES:
        raise InputError(f"data.source must be one of {FORMS}; got {config.source!r}.")
    return SOURCES[kind](argument, config, model)
