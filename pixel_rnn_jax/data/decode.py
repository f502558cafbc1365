"""Decodes pictures (PNG, JPEG, WebP) to 8-bit arrays, and fits arrays to a size."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pixel_rnn_jax.errors import InputError, damage_as
from pixel_rnn_jax.paths import is_broken_link

FORMATS = ("PNG", "JPEG", "WEBP")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # number of channels -> Pillow's name


def decode(
    file: Path | io.BytesIO, *, channels: int, size: tuple[int, int] | None = None, alpha: str = "error"
) -> UInt8[np.ndarray, "H W C"]:
    """Decodes a picture, turns it upright where its EXIF data says so, and fits it to `size`, see `fit`.

    `alpha` is that of `DataConfig`: what becomes of transparency, if there are fewer than 4 channels.

    Raises:
      InputError: if it is no such picture, is damaged, transparent, animated, smaller than `size`, or has more than 8 bits per
        channel. The message continues a sentence that starts with the picture's name.
    """
    with _opened(file) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if channels < 4:
            image = _opaque(image, alpha)
        pixels = np.asarray(image.convert(MODES[channels]))
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    return pixels if size is None else fit(pixels, size)


def _opaque(image: Image.Image, alpha: str) -> Image.Image:
    """The picture without transparency; raises `InputError` if it has any and `alpha` is "error"."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    if alpha == "drop" or image.getchannel("A").getextrema()[0] == 255:
        return image.convert("RGB")
    if alpha == "error":
        raise InputError(
            "is transparent; give it a background first, as data.alpha=white does in training, and --alpha=white of an --input"
        )
    return Image.alpha_composite(Image.new("RGBA", image.size, alpha), image).convert("RGB")


def read_size(file: Path | io.BytesIO) -> tuple[int, int]:
    """Height and width of a picture, from its header; raises as `decode` does, except for faults that only the pixels show."""
    with _opened(file) as image:
        width, height = image.size
        if image.format == "PNG" and "exif" not in image.info:
            return height, width  # `getexif` would decode the pixels to look for EXIF data behind them
        on_its_side = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
        return (width, height) if on_its_side else (height, width)


def fit(image: UInt8[np.ndarray, "H W C"], size: tuple[int, int]) -> UInt8[np.ndarray, "h w C"]:
    """Cuts an image around its centre to the proportions of `size`, then reduces it to that size.

    Each pixel of the result is the mean of the area it covers, as in the downsampled ImageNet.
    """
    if image.shape[:2] == size:
        return image
    check_large_enough(image.shape[:2], size)
    channels = [Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0)]
    return np.stack([np.asarray(ImageOps.fit(channel, size[::-1], Image.Resampling.BOX)) for channel in channels], axis=-1)


def check_large_enough(stored: tuple[int, int], size: tuple[int, int]) -> None:
    """Raises `InputError` for an image smaller than `size`: enlarged, it would be easier to predict than others."""
    if stored[0] < size[0] or stored[1] < size[1]:
        raise InputError(f"is {stored[0]}x{stored[1]} pixels, smaller than data.size ({size[0]}x{size[1]})")


def other_size(size: tuple[int, int], others: tuple[int, int]) -> str:
    """What is wrong with an image that has not the size of the others; continues a sentence as the errors of `decode` do."""
    return (
        f"is {size[0]}x{size[1]} pixels, others are {others[0]}x{others[1]}; set data.size=H,W (of an --input, --size=H,W),"
        " which cuts and reduces all to one size"
    )


@contextlib.contextmanager
def _opened(file: Path | io.BytesIO) -> Iterator[Image.Image]:
    with damage_as("cannot be decoded"):
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise InputError("is no PNG, JPEG or WebP image") from None
        except OSError:
            if isinstance(file, Path) and is_broken_link(file):
                raise InputError(f"is a link to {str(file.readlink())!r}, which leads to nothing") from None
            raise
        with image:
            _check_kind(image)
            yield image


def _check_kind(image: Image.Image) -> None:
    # Phones put a second picture behind the first in a JPEG (MPO), which is no animation.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise InputError(f"is animated ({image.n_frames} frames)")
    # Pillow silently converts 16-bit colour to 8 bits; only its name of what the file holds, "RGB;16B", tells.
    if image.mode.startswith(("I", "F")) or ";16" in str(image.tile):
        raise InputError("has more than 8 bits per channel; convert it to 8 bits first")
