"""Sets of images of one shape: an array in memory, or files that are decoded when indexed."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import grain
import jax
import numpy as np
from jaxtyping import Integer, Shaped, UInt
from numpy.typing import DTypeLike

from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.progress import progress_bar

CHUNK = 128
Read = Callable[[Integer[np.ndarray, " B"]], Integer[np.ndarray, "B H W C"]]
Map = Callable[[Integer[np.ndarray, "B H W C"]], UInt[np.ndarray, "B h w c"]]


class LazyImages:
    """Images of shape [H, W, C], each with a number by which `read` decodes it whenever the set is indexed like an array."""

    def __init__(
        self, read: Read, numbers: Integer[np.ndarray, " N"], shape: tuple[int, int, int], dtype: DTypeLike = np.uint8
    ):
        self._read, self._numbers = read, numbers
        self.shape, self.dtype = (len(numbers), *shape), np.dtype(dtype)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, indices: Integer[np.ndarray, " B"]) -> Shaped[np.ndarray, "..."]:
        return self._read(self._numbers[indices])

    def subset(self, indices: Integer[np.ndarray, " B"]) -> "LazyImages":
        """A smaller set, not yet decoded."""
        return LazyImages(self._read, self._numbers[indices], self.shape[1:], self.dtype)

    def map(
        self,
        function: Map,
        *,
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        dtype: DTypeLike | None = None,
    ) -> "LazyImages":
        """The set with a function applied to all images; the other arguments are those of its results, if they change."""
        read, shape = self._read, (*(size or self.shape[1:3]), channels or self.shape[-1])
        return LazyImages(lambda numbers: function(read(numbers)), self._numbers, shape, dtype or self.dtype)


ImageSet = UInt[np.ndarray, "N H W C"] | LazyImages


class Examples(NamedTuple):
    """Images and their conditioning, whose arrays have one row for each image."""

    images: ImageSet
    conditions: Conditions = UNCONDITIONAL


def decoded(images: ImageSet, *, name: str, num_threads: int) -> UInt[np.ndarray, "N H W C"]:
    """Decodes a set into memory, with a progress bar that shows `name`; returns an array as it is."""
    if isinstance(images, np.ndarray):
        return images
    array = np.empty(images.shape, images.dtype)
    with progress_bar(len(images), unit="image", description=f"decoding {name}", delay=2.0) as bar:
        for number, chunk in enumerate(in_order(images, batch_size=CHUNK, num_threads=num_threads)):
            array[number * CHUNK : (number + 1) * CHUNK] = chunk
            bar.update(len(chunk))
    return array


def take(sets: Any, numbers: Integer[np.ndarray, " B"]) -> Any:
    """The images of these numbers, from a set or from each set of a tree."""
    return jax.tree.map(lambda images: images[numbers], sets)


def joined(*sets: Any) -> Any:
    """One set of the images of several, in their order; or one array of labels."""
    if len(sets) == 1:
        return sets[0]
    if not any(isinstance(images, LazyImages) for images in sets):
        return np.concatenate(sets)
    ends = np.cumsum([len(images) for images in sets])

    def read(numbers: Integer[np.ndarray, " B"]) -> UInt[np.ndarray, "B H W C"]:
        array = np.empty((len(numbers), *sets[0].shape[1:]), sets[0].dtype)
        owners = np.searchsorted(ends, numbers, side="right")
        for owner in np.unique(owners):
            array[owners == owner] = sets[owner][numbers[owners == owner] - ends[owner] + len(sets[owner])]
        return array

    return LazyImages(read, np.arange(ends[-1]), sets[0].shape[1:], sets[0].dtype)


def random_numbers(count: int, num: int, seed: int) -> Integer[np.ndarray, " num"]:
    """A random subset of `num` of the numbers below `count`, sorted."""
    return np.sort(np.random.default_rng(seed).choice(count, num, replace=False))


def at_most(sets: Any, num: int, seed: int = 0) -> Any:
    """A random subset of `num` images, of each set of a tree the same ones; all, if `num` is 0 or there are no more."""
    count = len(jax.tree.leaves(sets)[0])
    return take(sets, random_numbers(count, num, seed)) if 0 < num < count else sets


def in_order(sets: Any, *, batch_size: int, num_threads: int) -> Iterable[Any]:
    """All images of a set, or of a tree of sets, once, in batches that threads read ahead; the last one may be smaller."""
    first = jax.tree.leaves(sets)[0]
    batches = grain.MapDataset.range(len(first)).batch(batch_size).map(functools.partial(take, sets))
    return batches.to_iter_dataset(read_ahead(first, num_threads))


def read_ahead(images: ImageSet, num_threads: int) -> grain.ReadOptions:
    """How Grain prepares batches of a set ahead: by one thread if they are only copied from memory; more are slower."""
    num_threads = num_threads if isinstance(images, LazyImages) else 1
    return grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads)
