"""Preprocessing of stored images: a fixed part (size, levels) and a random part (stochastic binarization, mirroring)."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped, UInt

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.decode import fit
from pixel_rnn_jax.data.image_set import Examples, ImageSet, LazyImages
from pixel_rnn_jax.data.sources.source import StoredImages
from pixel_rnn_jax.errors import InputError, about, check_integer
from pixel_rnn_jax.images import check_images, from_picture, quantize, value_type
from pixel_rnn_jax.models.config import ModelConfig


def preprocess(
    images: StoredImages, name: str, table: UInt[np.ndarray, " _"], model: ModelConfig, size: tuple[int, int] | None
) -> ImageSet:
    """The fixed part: fits a split, called `name`, to the size, replaces its values by those of `table`, and checks it.

    That is done now with an array, else whenever images are decoded.
    """
    if not len(images):
        raise InputError(f"{name} must hold at least 1 image; got 0.")
    apply = functools.partial(_preprocess_batch, name=name, table=table, channels=model.channels, size=size)
    if isinstance(images, LazyImages):
        preprocessed = images.map(apply, size=size, dtype=table.dtype)
        preprocessed[np.array([0])]  # raises now what is wrong with all images
        return preprocessed
    preprocessed, largest = apply(images), int(images.max())
    if 0 < largest * model.levels < len(table):  # images that were reduced before
        raise InputError(
            f"{name}: data.source_levels must be the number of levels in the file; with {len(table)}, all values"
            f" up to the largest one, {largest}, would become 0."
        )
    return preprocessed


def _preprocess_batch(
    batch: Shaped[np.ndarray, "..."], *, name: str, table: UInt[np.ndarray, " _"], channels: int, size: tuple[int, int] | None
) -> UInt[np.ndarray, "B h w c"]:
    with about(f"{name}:", " See model.levels, model.channels and data.source_levels."):
        check_images(batch, levels=len(table), channels=channels)
    if size is not None and batch.shape[1:3] != size:
        with about(f"{name}: an image", "."):
            batch = np.stack([fit(image, size) for image in batch.astype(value_type(len(table)), copy=False)])
    return table[batch]


def level_table(config: DataConfig, *, source_levels: int | None, levels: int) -> UInt[np.ndarray, " source_levels"]:
    """What each value of the source becomes by thresholding or quantization; without these, itself.

    If `source_levels`, the number of values in the source, is None, it is 256 where values change, else the model's `levels`.
    """
    check_integer("model.levels", levels, 2, 65_536)
    changed = config.quantize or config.binarization != "none"
    source_levels = source_levels or (256 if changed else levels)
    if config.binarization != "none" and levels != 2:
        raise InputError(f"model.levels must be 2 with data.binarization {config.binarization!r}; got {levels}.")
    if config.quantize and levels > source_levels:
        raise InputError(f"model.levels must be at most {source_levels}, those of {config.source}; got {levels}.")
    if not changed and levels != source_levels:
        reduces = " data.quantize=True, in a configuration, reduces the source's." if levels < source_levels else ""
        makes_2 = " data.binarization (or --binarization) makes them 2." if levels == 2 else ""
        raise InputError(f"model.levels must be {source_levels} for {config.source}; got {levels}.{reduces}{makes_2}")
    values = np.arange(source_levels, dtype=value_type(source_levels))
    return values if config.binarization == "stochastic" else quantize(values, levels, source_levels)


def quantize_picture(
    pixels: UInt[np.ndarray, "*shape"], levels: int, source_levels: int | None = None
) -> UInt[np.ndarray, "*shape"]:
    """The levels of a picture of `source_levels` values, by default `levels`.

    A picture has up to 256 values spread over [0, 255]; more of them as they are.
    """
    source_levels = source_levels or levels
    values = pixels if source_levels > 256 else from_picture(pixels, source_levels)
    return quantize(values, levels, source_levels)


@dataclasses.dataclass(frozen=True)
class RandomPreprocessing:
    """The random part, of training batches: mirrors half of the images and contexts, binarizes images of so many levels."""

    flip: bool = False
    stochastic_levels: int | None = None

    def apply(self, examples: Examples, rng: np.random.Generator, *, batch_size: int, share: slice) -> Examples:
        """Preprocesses the rows `share` of a batch of `batch_size`; random numbers are drawn for the whole batch."""
        images, conditions = examples
        if self.flip:
            which = rng.random(batch_size)[share] < 0.5
            images = mirror(images, which)
            if conditions.context is not None:
                conditions = conditions._replace(context=mirror(conditions.context, which))
        if self.stochastic_levels is not None:
            uniform = rng.random((batch_size, *images.shape[1:]))[share]
            images = binarize(images, uniform, self.stochastic_levels)
        return Examples(images, conditions)


def binarize(
    images: UInt[np.ndarray, "B H W C"], uniform: Float[np.ndarray, "B H W C"], source_levels: int
) -> UInt[np.ndarray, "B H W C"]:
    """Stochastic binarization by uniform numbers in [0, 1): 1 with probability value / (source_levels - 1)."""
    return (uniform * (source_levels - 1) < images).astype(np.uint8)


def binarized_once(images: ImageSet, source_levels: int, seed: int) -> LazyImages:
    """A set, binarized stochastically: each image by random numbers that depend on the seed and the image's number only."""

    def read(numbers: Integer[np.ndarray, " B"]) -> UInt[np.ndarray, "B H W C"]:
        uniform = [np.random.default_rng((seed, number)).random(images.shape[1:]) for number in numbers.tolist()]
        return binarize(images[numbers], np.stack(uniform), source_levels)

    return LazyImages(read, np.arange(len(images)), images.shape[1:])


def mirror(images: UInt[np.ndarray, "B H W C"], which: Bool[np.ndarray, " B"]) -> UInt[np.ndarray, "B H W C"]:
    """Flips some of the images horizontally."""
    return np.where(which[:, None, None, None], images[:, :, ::-1], images)
