"""Images in NumPy's npz and npy files."""

import functools
from pathlib import Path

import numpy as np
from jaxtyping import Integer, Shaped

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.data.numpy_files import load_npy, load_npz
from pixel_rnn_jax.data.sources.source import SPLITS, Source
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.paths import in_data_dir, local_copy


def read_npz(argument: str, config: DataConfig, model: ModelConfig) -> Source:
    """An npz file of arrays train, validation and test, each [N, H, W, C], or [N, H, W] for one channel.

    It may also hold train_labels, integers [N], and train_context, images; and the same for the other splits.
    """
    path = _local_file("npz", argument, config)
    endings = ("", "_labels", "_context")
    arrays, names = load_npz(path, {split + ending for split in SPLITS for ending in endings})
    images, labels, contexts = (
        {split: _as_images(arrays[split + ending]) for split in SPLITS if split + ending in arrays} for ending in endings
    )
    if "train" not in images:
        raise InputError(f"{path} must hold an array named train (and may hold {SPLITS[1]} and {SPLITS[2]}); got {names}.")
    return Source(images, config.source_levels, labels=labels, contexts=contexts)


def read_npy(argument: str, config: DataConfig, model: ModelConfig) -> Source:
    """An npy file of one array, [N, H, W, C] or [N, H, W]: the training images."""
    path = _local_file("npy", argument, config)
    images = _as_images(load_npy(path, mmap=True))
    if not config.fits_in_memory(images.shape):
        read = functools.partial(_read_from_disk, path=path)
        images = LazyImages(read, np.arange(len(images)), images.shape[1:])
    return Source({"train": images}, config.source_levels)


def _read_from_disk(numbers: Integer[np.ndarray, " B"], *, path: Path) -> Shaped[np.ndarray, "..."]:
    # Mapped anew each time, which costs microseconds: an open memory map cannot be sent to a worker process.
    return _as_images(load_npy(path, mmap=True)[numbers])


def _local_file(kind: str, argument: str, config: DataConfig) -> Path:
    path = local_copy(in_data_dir(config.data_dir, argument))
    if not path.is_file():
        raise InputError(f"data.source '{kind}:PATH' must name a file; there is none at {str(path)!r}.")
    return path


def _as_images(array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    return array[..., None] if array.ndim == 3 else array
