"""Decodes pictures (PNG, JPEG, WebP, TIFF) to arrays of 8 or 16 bits, and fits arrays to a size."""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt, UInt16
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pixel_rnn_jax.errors import InputError, damage_as
from pixel_rnn_jax.paths import is_broken_link

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # number of channels -> Pillow's name
OTHER_BYTE_ORDER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


def decode(
    file: Path | io.BytesIO,
    *,
    channels: int,
    size: tuple[int, int] | None = None,
    alpha: str = "error",
    levels: int = 256,
) -> UInt[np.ndarray, "H W C"]:
    """Decodes a picture, turns it upright where its EXIF or XMP data says so, and fits it to `size`, see `fit`.

    With more than 256 `levels`, the picture must have 16 bits per channel and values in [0, levels), which are kept.
    `alpha` is that of `DataConfig`: what becomes of transparency, if there are fewer than 4 channels of 8 bits.

    Raises:
      InputError: if it is no such picture, is damaged, transparent, animated, smaller than `size`, or its values or its bits
        are not those of `levels`. The message continues a sentence that starts with the picture's name.
    """
    pixels = _decode_16_bits(file, channels, levels) if levels > 256 else _decode_8_bits(file, channels, alpha)
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    return pixels if size is None else fit(pixels, size)


def _decode_8_bits(file: Path | io.BytesIO, channels: int, alpha: str) -> UInt[np.ndarray, "H W *C"]:
    with _opened(file, levels=256) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if channels < 4:
            image = _opaque(image, alpha)
        return np.asarray(image.convert(MODES[channels]))


def _decode_16_bits(file: Path | io.BytesIO, channels: int, levels: int) -> UInt16[np.ndarray, "H W *C"]:
    """The values as they are; only grey is converted, to colour."""
    with _opened(file, levels) as image:
        stored = len(image.getbands())
        check_deep_channels(stored, channels)
        values = np.asarray(ImageOps.exif_transpose(image))
    if stored > 1:  # Pillow reads the high byte of each colour; told the other byte order, the low one
        with _opened(file, levels) as image:
            image.tile = [tile._replace(args=_in_other_byte_order(tile.args)) for tile in image.tile]
            values = 256 * values.astype(np.uint16) + np.asarray(ImageOps.exif_transpose(image))
    elif channels == 3:
        values = np.stack([values] * 3, axis=-1)
    low, high = values.min(), values.max()
    if low < 0 or high >= levels:
        raise InputError(f"has values from {low} to {high}; they must lie in [0, {levels})")
    return values.astype(np.uint16)


def check_deep_channels(stored: int, channels: int) -> None:
    """Raises `InputError` unless a picture of so many channels of 16 bits can be taken as it is, or is grey, for colour."""
    if stored != channels and (stored, channels) != (1, 3):
        raise InputError(f"has {stored} channels of 16 bits, where {channels} are expected; convert it first")


def _in_other_byte_order(args: Any) -> Any:
    """The arguments of Pillow's decoder, of which the first, or only one, is the layout of the bytes, such as "RGB;16B"."""
    layout, *others = (args,) if isinstance(args, str) else args
    layout = layout[:-3] + OTHER_BYTE_ORDER[layout[-3:]]
    return (layout, *others) if others else layout


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


def read_size(file: Path | io.BytesIO, levels: int = 256) -> tuple[int, int]:
    """Height and width of a picture, from its header; raises as `decode` does, except for faults that only the pixels show."""
    with _opened(file, levels) as image:
        width, height = image.size
        if image.format == "TIFF":
            return height, width  # Pillow turns these
        if image.format == "PNG" and not {"exif", "XML:com.adobe.xmp"} & image.info.keys():
            return height, width  # `getexif` would decode the pixels to look for EXIF data behind them
        on_its_side = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
        return (width, height) if on_its_side else (height, width)


def is_grey(file: Path | io.BytesIO, levels: int) -> bool:
    """Whether a picture is stored without colours."""
    with _opened(file, levels) as image:
        return Image.getmodebase(image.mode) == "L"


def converted(grey: set[bool], channels: int) -> list[str]:
    """A line that says how pictures, some of which are grey or not, were converted to so many channels, if they were."""
    if channels == 1:
        return ["pictures in colour were made grey"] * (False in grey)
    return ["pictures in grey were given three equal channels"] * (True in grey)


def fit(image: UInt[np.ndarray, "H W C"], size: tuple[int, int]) -> UInt[np.ndarray, "h w C"]:
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
def _opened(file: Path | io.BytesIO, levels: int) -> Iterator[Image.Image]:
    with damage_as("cannot be decoded"):
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise InputError("is no PNG, JPEG, WebP or TIFF image") from None
        except OSError:
            if isinstance(file, Path) and is_broken_link(file):
                raise InputError(f"is a link to {str(file.readlink())!r}, which leads to nothing") from None
            raise
        with image:
            _check_kind(image, levels)
            yield image


def _check_kind(image: Image.Image, levels: int) -> None:
    # Phones put a second picture behind the first in a JPEG (MPO), which is no animation.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise InputError(f"is animated ({image.n_frames} frames)")
    # Pillow silently converts 16-bit colour to 8 bits; only its name of what the file holds, "RGB;16B", tells.
    has_16_bits = ";16" in image.mode or ";16" in str(image.tile)
    if image.mode.startswith(("I", "F")) and not has_16_bits:
        raise InputError("has 32 bits per channel; convert it to 8 or 16 bits first")
    if has_16_bits and levels <= 256:
        raise InputError(
            "has more than 8 bits per channel; convert it to 8 bits first, or train with 16 bits (data.source_levels=65536)"
        )
    if levels > 256 and not has_16_bits:
        raise InputError(f"has 8 bits per channel; {levels} levels must come in 16 bits, as PNG or TIFF")
