"""Images in NumPy's npz and npy files."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Integer, Shaped

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.data.numpy_files import load_npy, load_npz
from pixel_rnn_jax.data.sources.source import SPLITS, Source, by_split
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.paths import in_data_dir, local_copy


def read_npz(argument: str, config: DataConfig, model: ModelConfig) -> Source:
    """An npz file of arrays train, validation and test, each [N, H, W, C], or [N, H, W] for one channel.

    It may also hold train_labels, integers [N], and train_context, images; and the same for the other splits. What the model
    does not take is not read.
    """
    path = _local_file("npz", argument, config)
    _, names = load_npz(path, ())
    endings = ["", "_labels" if model.num_classes else None, "_context" if model.context_channels else None]
    splits = [{} if ending is None else _arrays_by_split(names, ending, path) for ending in endings]
    arrays, _ = load_npz(path, {name for named in splits for name in named.values()})
    images, labels, contexts = ({split: arrays[name] for split, name in named.items()} for named in splits)
    images, contexts = ({split: _as_images(array, path) for split, array in arrays.items()} for arrays in (images, contexts))
    if "train" not in images:
        raise InputError(f"{path} must hold an array named train (and may hold {SPLITS[1]} and {SPLITS[2]}); got {names}.")
    return Source(images, config.source_levels, labels=labels, contexts=contexts)


def _arrays_by_split(names: Sequence[str], ending: str, path: Path) -> dict[str, str]:
    """The arrays whose names are a split and this ending, by split."""
    named = by_split((name.removesuffix(ending) for name in names if name.endswith(ending)), path)
    return {split: name + ending for split, name in named.items()}


def read_npy(argument: str, config: DataConfig, model: ModelConfig) -> Source:
    """An npy file of one array, [N, H, W, C] or [N, H, W]: the training images."""
    path = _local_file("npy", argument, config)
    images = _as_images(load_npy(path, mmap=True), path)
    if not config.fits_in_memory(images):
        read = functools.partial(_read_from_disk, path=path)
        images = LazyImages(read, np.arange(len(images)), images.shape[1:], images.dtype)
    return Source({"train": images}, config.source_levels)


def _read_from_disk(numbers: Integer[np.ndarray, " B"], *, path: Path) -> Shaped[np.ndarray, "..."]:
    # Mapped anew each time, which costs microseconds: an open memory map cannot be sent to a worker process.
    return _as_images(load_npy(path, mmap=True), path)[numbers]


def _local_file(kind: str, argument: str, config: DataConfig) -> Path:
    path = local_copy(in_data_dir(config.data_dir, argument))
    if not path.is_file():
        raise InputError(f"data.source '{kind}:PATH' must name a file; there is none at {str(path)!r}.")
    return path


def _as_images(array: Shaped[np.ndarray, "..."], path: Path) -> Shaped[np.ndarray, "..."]:
    if array.ndim not in (3, 4):
        raise InputError(f"{path}: images must have 4 axes, [B, H, W, C]; got shape {array.shape}.")
    return array[..., None] if array.ndim == 3 else array
