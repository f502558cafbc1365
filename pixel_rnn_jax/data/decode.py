"""Encoded images (PNG, JPEG, WebP) to arrays of 8 bits."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps

from pixel_rnn_jax.errors import InputError, is_of_the_machine, one_line

FORMATS = ("PNG", "JPEG", "WEBP")
MODES = {1: "L", 3: "RGB"}  # number of channels -> Pillow's name
PNG_BIT_DEPTH = 24  # where it stands in the file
UPRIGHT = {  # EXIF's orientation -> what puts the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(file: Path | io.BytesIO, *, channels: int) -> UInt8[np.ndarray, "H W C"]:
    """Decodes an image, turned upright where its EXIF data says so.

    Args:
      file: PNG, JPEG or WebP.
      channels: 1 makes it grey, 3 makes it RGB.

    Raises:
      InputError: if it is no such image, is damaged, transparent, animated, or has more than 8 bits per channel.
    """
    with _opened(file) as image:
        image.load()
        if "A" in image.getbands() and image.getchannel("A").getextrema()[0] < 255:
            raise InputError("is transparent; give it a background first")
        turn = UPRIGHT.get(_orientation(image))
        pixels = np.asarray((image if turn is None else image.transpose(turn)).convert(MODES[channels]))
    return pixels.reshape(*pixels.shape[:2], channels)


def read_size(file: Path | io.BytesIO) -> tuple[int, int]:
    """Height and width of an image, from its header.

    Raises:
      InputError: as `decode` does, except for what only the pixels tell.
    """
    with _opened(file) as image:
        width, height = image.size
        return (width, height) if _orientation(image) > 4 else (height, width)  # from 5 on, it lies on its side


def fit(image: UInt8[np.ndarray, "H W C"], size: tuple[int, int]) -> UInt8[np.ndarray, "h w C"]:
    """Cuts an image around its centre to the proportions of `size`, and reduces it to that.

    Each pixel of the result is the mean of the area it covers, as in the downsampled ImageNet.

    Raises:
      InputError: if the image is smaller.
    """
    if image.shape[:2] == size:
        return image
    check_large_enough(image.shape[:2], size)
    height, width = size
    channels = [Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0)]
    fitted = [ImageOps.fit(channel, (width, height), Image.Resampling.BOX) for channel in channels]
    return np.stack([np.asarray(channel) for channel in fitted], axis=-1)


def check_large_enough(stored: tuple[int, int], size: tuple[int, int]) -> None:
    """Raises `InputError` if an image would have to be enlarged: it would be easier to predict than one of that size."""
    if stored[0] < size[0] or stored[1] < size[1]:
        raise InputError(f"is {stored[0]}x{stored[1]} pixels, smaller than data.size ({size[0]}x{size[1]})")


def check_same_size(size: tuple[int, int], others: tuple[int, int]) -> None:
    """Raises `InputError` unless an image is of the size that the others have."""
    if size != others:
        raise InputError(
            f"is {size[0]}x{size[1]} pixels, others are {others[0]}x{others[1]}; data.size cuts and reduces them to one size"
        )


@contextlib.contextmanager
def _opened(file: Path | io.BytesIO) -> Iterator[Image.Image]:
    try:
        image = Image.open(file, formats=FORMATS)
    except Exception as error:  # Pillow's readers raise many kinds about files that are not what they should be
        if is_of_the_machine(error):
            raise
        if isinstance(error, Image.DecompressionBombError):
            raise InputError(f"is too large ({one_line(error)})") from None
        raise InputError(f"is no PNG, JPEG or WebP image ({type(error).__name__})") from None
    with image:
        _check_kind(image)
        try:
            yield image
        except InputError:
            raise
        except Exception as error:
            if is_of_the_machine(error):
                raise
            raise InputError(f"is a damaged image ({type(error).__name__}: {error})") from None


def _check_kind(image: Image.Image) -> None:
    # A JPEG with a second picture behind the first one, as telephones write it, is no animation.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise InputError(f"is animated ({image.n_frames} frames)")
    if image.info.get("transparency") is not None:
        raise InputError("is transparent; give it a background first")
    if image.mode.startswith(("I", "F")) or (image.format == "PNG" and _png_bit_depth(image) > 8):
        raise InputError("has more than 8 bits per channel; convert it to 8 bits first")


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # without having Pillow look for it behind the pixels, and decode them
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _png_bit_depth(image: Image.Image) -> int:
    # Pillow reads 16-bit colour as 8-bit colour without a word, so the file's own header is asked.
    position = image.fp.tell()
    image.fp.seek(PNG_BIT_DEPTH)
    depth = image.fp.read(1)[0]
    image.fp.seek(position)
    return depth
