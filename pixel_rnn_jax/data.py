"""Named sources of images, and Grain pipelines over them."""

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypedDict

import grain
import numpy as np
from jaxtyping import Bool, Integer, Shaped, UInt8

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import check_images

SPLITS = ("train", "validation", "test")


class Batch(TypedDict):
    """What the pipelines yield.

    Attributes:
      image: uint8 [B, H, W, C] in [0, levels).
      mask: bool [B], False for the images that only fill up the last batch of an evaluation.
    """

    image: UInt8[np.ndarray, "B H W C"]
    mask: Bool[np.ndarray, " B"]


def load_images(
    source: str, *, levels: int, channels: int, data_dir: str | None = None
) -> dict[str, UInt8[np.ndarray, "N H W C"]]:
    """Reads a source's images into memory.

    Args:
      source: "digits" (scikit-learn's 1,797 handwritten digits of 8x8 pixels and 17 levels), or "npz:PATH" (a file of arrays
        train, validation and test, each [N, H, W, C], or [N, H, W] for one channel).
      levels: number of values that a sub-pixel can take.
      channels: number of colour channels.
      data_dir: the folder where a relative PATH starts; the current one, if none.

    Returns:
      The splits by name: "train" and "validation" always, "test" where the source has it. A source without validation images
      gives the last tenth of its training images for that.

    Raises:
      InputError: if the source is unknown or cannot be read, or its images do not fit `levels` and `channels`.
    """
    name, _, argument = source.partition(":")
    if name not in SOURCES:
        raise InputError(
            f"data.source must be one of {', '.join(source.form for source in SOURCES.values())}; got {source!r}."
        )
    splits = SOURCES[name].read(argument, levels=levels, data_dir=data_dir)
    for split, images in splits.items():
        if images.ndim != 4:
            raise InputError(f"{source}: {split} must have 4 axes, [N, H, W, C]; got shape {images.shape}.")
    if "validation" not in splits:
        count = -(-len(splits["train"]) // 10)
        splits["train"], splits["validation"] = splits["train"][:-count], splits["train"][-count:]
    shapes = {split: images.shape[1:] for split, images in splits.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(f"{source}: the splits must hold images of one shape; got {shapes}.")
    for split, images in splits.items():
        if not len(images):
            raise InputError(f"{source}: {split} must hold at least 1 image; got none.")
        try:
            check_images(images, levels=levels, channels=channels)
        except InputError as error:
            raise InputError(f"{source}: {split}: {error} See model.levels and model.channels.") from None
    return {split: np.ascontiguousarray(images, np.uint8) for split, images in splits.items()}


def _read_digits(argument: str, *, levels: int, data_dir: str | None) -> dict[str, Integer[np.ndarray, "N 8 8 1"]]:
    from sklearn.datasets import load_digits  # imported here, since it takes a second

    if argument:
        raise InputError(f"data.source 'digits' takes no argument; got 'digits:{argument}'.")
    if levels != 17:
        raise InputError(f"model.levels must be 17 for the digits (values 0 to 16); got {levels}.")
    images = load_digits().images.astype(np.uint8)[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    train, validation, test = np.split(images[order], (1437, 1617))
    return {"train": train, "validation": validation, "test": test}


def _read_npz(argument: str, *, levels: int, data_dir: str | None) -> dict[str, Shaped[np.ndarray, "N ..."]]:
    path = Path(data_dir or "") / argument
    if not path.is_file():
        raise InputError(f"data.source 'npz:PATH' must name a file; there is none at {str(path)!r}.")
    try:
        with path.open("rb") as file, zipfile.ZipFile(file), np.load(file, allow_pickle=False) as arrays:
            splits = {split: arrays[split] for split in SPLITS if split in arrays}
            names = list(arrays)
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged or no npz file of plain arrays ({error}).") from None
    if "train" not in splits:
        raise InputError(f"{path} must hold an array named train (and may hold {SPLITS[1]} and {SPLITS[2]}); got {names}.")
    return {split: images[..., None] if images.ndim == 3 else images for split, images in splits.items()}


class Source(NamedTuple):
    """A kind of source: how it is written in a configuration, and what reads it."""

    form: str
    read: Callable[..., dict[str, Shaped[np.ndarray, "N ..."]]]


SOURCES = {"digits": Source("digits", _read_digits), "npz": Source("npz:PATH", _read_npz)}


def train_batches(images: UInt8[np.ndarray, "N H W C"], *, batch_size: int, seed: int) -> grain.DatasetIterator:
    """An endless iterator of training batches; each epoch is shuffled anew.

    A batch depends on `seed` and its number alone. The position is saved and restored by the iterator's `get_state` and
    `set_state`.

    Args:
      images: the training images.
      batch_size: images in a batch.
      seed: of the order of images.

    Returns:
      A Grain iterator of `Batch`.
    """

    def gather(indices: Integer[np.ndarray, " B"]) -> Batch:
        return {"image": images[indices], "mask": np.ones(len(indices), bool)}

    # Indices travel through the pipeline, and a batch of images is gathered at once: five times faster than one by one.
    dataset = grain.MapDataset.range(len(images)).seed(seed).shuffle().repeat().batch(batch_size).map(gather)
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))


def eval_batches(images: UInt8[np.ndarray, "N H W C"], *, batch_size: int) -> Iterable[Batch]:
    """All images once, in order; the last batch is filled up to `batch_size` with blank images that its mask excludes.

    Args:
      images: the images of a split.
      batch_size: images in a batch.

    Returns:
      A Grain dataset of `Batch`.
    """

    def gather(indices: Integer[np.ndarray, " B"]) -> Batch:
        missing = batch_size - len(indices)
        image = np.pad(images[indices], [(0, missing), (0, 0), (0, 0), (0, 0)])
        return {"image": image, "mask": np.arange(batch_size) < len(indices)}

    return grain.MapDataset.range(len(images)).batch(batch_size).map(gather)
