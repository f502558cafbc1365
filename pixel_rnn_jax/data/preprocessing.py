"""What happens to the values of stored images: fewer levels, binarization, mirroring."""

import functools

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.image_set import ImageSet, LazyImages
from pixel_rnn_jax.errors import InputError, check_integer


def level_table(config: DataConfig, *, source_levels: int | None, levels: int) -> UInt8[np.ndarray, " source_levels"]:
    """What each value of the source becomes, by the part of the treatment that is not random.

    Args:
      config: `binarization` and `quantize`.
      source_levels: number of values in the source; if None, 256 where values change, else the model's.
      levels: of the model.

    Raises:
      InputError: if the result would not be the model's levels.
    """
    check_integer("model.levels", levels, 2, 256)
    treated = config.quantize or config.binarization != "none"
    source_levels = source_levels or (256 if treated else levels)
    values = np.arange(source_levels)
    if config.binarization != "none" and levels != 2:
        raise InputError(f"model.levels must be 2 with data.binarization {config.binarization!r}; got {levels}.")
    if config.quantize and levels > source_levels:
        raise InputError(f"model.levels must be at most {source_levels}, those of {config.source}; got {levels}.")
    if not treated and levels != source_levels:
        raise InputError(
            f"model.levels must be {source_levels} for {config.source}; got {levels}. In a configuration, data.quantize=True"
            " reduces the source's, and data.binarization (or --binarization) makes them 2."
        )
    if config.binarization == "threshold":
        values = 2 * values > source_levels - 1
    elif config.quantize:
        values = quantized(values, source_levels, levels)
    return values.astype(np.uint8)


def check_levels_are_used(images: Integer[np.ndarray, "B H W C"], name: str, *, source_levels: int, levels: int) -> None:
    """Raises `InputError` if no value is so large that it becomes another than the lowest: it was of fewer levels before."""
    largest = int(images.max(initial=0))
    if 0 < largest * levels < source_levels:
        raise InputError(
            f"{name}: data.source_levels must be the number of levels that are stored; of {source_levels}, all values up to"
            f" the largest one, {largest}, would become 0."
        )


def quantized(values: Integer[np.ndarray, "*shape"], source_levels: int, levels: int) -> UInt8[np.ndarray, "*shape"]:
    """Fewer levels, each of as many of the source's."""
    return (values.astype(np.int64) * levels // source_levels).astype(np.uint8)


def binarize(
    images: UInt8[np.ndarray, "B H W C"], uniform: Float[np.ndarray, "B H W C"], source_levels: int
) -> UInt8[np.ndarray, "B H W C"]:
    """Stochastic binarization: 1 with probability value / (source_levels - 1), by uniform numbers in [0, 1)."""
    return (uniform * (source_levels - 1) < images).astype(np.uint8)


def binarized_once(images: ImageSet, source_levels: int, seed: int) -> LazyImages:
    """A set, binarized stochastically; each image always in the same way, which depends on the seed and its number."""
    read = functools.partial(_read_binarized, images=images, source_levels=source_levels, seed=seed)
    return LazyImages(read, np.arange(len(images)), images.shape[1:])


def _read_binarized(
    numbers: Integer[np.ndarray, " B"], *, images: ImageSet, source_levels: int, seed: int
) -> UInt8[np.ndarray, "B H W C"]:
    uniform = [np.random.default_rng((seed, number)).random(images.shape[1:]) for number in numbers.tolist()]
    return binarize(images[numbers], np.stack(uniform), source_levels)


def mirror(images: UInt8[np.ndarray, "B H W C"], which: Bool[np.ndarray, " B"]) -> UInt8[np.ndarray, "B H W C"]:
    """Flips some of the images horizontally."""
    mirrored = images.copy()
    mirrored[which] = images[which, :, ::-1]
    return mirrored
