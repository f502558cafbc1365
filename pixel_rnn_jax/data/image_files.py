"""Encoded images (PNG, JPEG, WebP) to arrays of 8 bits."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps

from pixel_rnn_jax.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP")
MODES = {1: "L", 3: "RGB"}  # number of channels -> Pillow's name
PNG_BIT_DEPTH = 24  # where it stands in the file


def decode(file: Path | io.BytesIO, *, channels: int) -> UInt8[np.ndarray, "H W C"]:
    """Decodes an image, turned upright where its EXIF data says so.

    Args:
      file: PNG, JPEG or WebP.
      channels: 1 makes it grey, 3 makes it RGB.

    Raises:
      InputError: if it is no such image, is damaged, transparent, animated, or has more than 8 bits per channel.
    """
    with _open(file) as image, _named_damage():
        pixels = np.asarray(_upright(image).convert(MODES[channels]))
        if "A" in image.getbands() and np.asarray(image.getchannel("A")).min() < 255:
            raise InputError("is transparent; give it a background first")
    return pixels.reshape(*pixels.shape[:2], channels)


def read_size(file: Path | io.BytesIO) -> tuple[int, int]:
    """Height and width of an image, from its header.

    Raises:
      InputError: as `decode` does, except for what only the pixels tell.
    """
    with _open(file) as image, _named_damage():
        width, height = image.size
        if _orientation(image) > 4:  # it lies on its side
            width, height = height, width
    return height, width


def fit(image: UInt8[np.ndarray, "H W C"], size: tuple[int, int]) -> UInt8[np.ndarray, "h w C"]:
    """Cuts an image around its centre to the proportions of `size`, and reduces it to that.

    Each pixel of the result is the mean of the area it covers, as in the downsampled ImageNet.

    Raises:
      InputError: if the image is smaller. (Enlarged, it would be easier to predict than an image of that size.)
    """
    height, width = size
    if image.shape[:2] == size:
        return image
    if image.shape[0] < height or image.shape[1] < width:
        raise InputError(f"is {image.shape[0]}x{image.shape[1]} pixels, smaller than data.size ({height}x{width})")
    channels = [Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0)]
    fitted = [ImageOps.fit(channel, (width, height), Image.Resampling.BOX) for channel in channels]
    return np.stack([np.asarray(channel) for channel in fitted], axis=-1)


def check_same_size(size: tuple[int, int], others: tuple[int, int]) -> None:
    """Raises `InputError` unless an image is of the size that the others have."""
    if size != others:
        raise InputError(
            f"is {size[0]}x{size[1]} pixels, others are {others[0]}x{others[1]}; data.size cuts and reduces them to one size"
        )


def _open(file: Path | io.BytesIO) -> Image.Image:
    try:
        image = Image.open(file, formats=FORMATS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"is no PNG, JPEG or WebP image ({type(error).__name__})") from None
    if getattr(image, "is_animated", False):
        raise InputError(f"is animated ({image.n_frames} frames)")
    if image.info.get("transparency") is not None:
        raise InputError("is transparent; give it a background first")
    if image.mode.startswith(("I", "F")) or (image.format == "PNG" and _png_bit_depth(image) > 8):
        raise InputError("has more than 8 bits per channel; convert it to 8 bits first")
    return image


@contextlib.contextmanager
def _named_damage() -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"is a damaged image ({error})") from None


def _orientation(image: Image.Image) -> int:
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _upright(image: Image.Image) -> Image.Image:
    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


def _png_bit_depth(image: Image.Image) -> int:
    # Pillow reads 16-bit colour as 8-bit colour without a word, so the file's own header is asked.
    position = image.fp.tell()
    image.fp.seek(PNG_BIT_DEPTH)
    depth = image.fp.read(1)[0]
    image.fp.seek(position)
    return depth
