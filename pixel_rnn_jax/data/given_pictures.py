"""Pictures that a user gives in Python: as Pillow's images, as files, or as arrays."""

import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt
from PIL import Image, ImageOps

from pixel_rnn_jax.data.decode import MODES
from pixel_rnn_jax.data.user_files import ImageForm, Picture, UserImages, existing, picture_files, read_images, read_pictures
from pixel_rnn_jax.errors import InputError, damage_as
from pixel_rnn_jax.images import quantize

IN_COLOUR = ("CMYK", "YCbCr", "LAB", "HSV")  # modes of Pillow that no PNG file has


def read_given(pictures: Any, form: ImageForm) -> UserImages:
    """Brings one or several pictures into the form that a model takes. They are as `Pretrained` describes them."""
    if isinstance(pictures, (str, os.PathLike)):
        return read_images(pictures, form)
    given = pictures if isinstance(pictures, (list, tuple)) else [pictures]
    several = [(name, picture) for one in given for name, picture in _pictures(one, form)]
    numbered = [(name or str(number), picture) for number, (name, picture) in enumerate(several)]
    return read_pictures("pictures", numbered, form)


def _pictures(given: Any, form: ImageForm) -> Iterator[tuple[str, Picture]]:
    """The pictures of one item, as `read_pictures` takes them, each with the path of its file, if it has one.

    All of 8 bits are made files, so that each way to give a picture leads to the same values.
    """
    if isinstance(given, (str, os.PathLike)):
        for _, file in picture_files(existing(given))[0]:
            yield str(file), file
    elif isinstance(given, Image.Image):
        yield "", _png_file(given)
    else:
        for pixels in _pixels(given, form):
            if form.stored_levels > 256:  # Pillow writes no colours of 16 bits
                yield "", pixels
            else:
                yield "", _png_file(Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))


def _pixels(array: Any, form: ImageForm) -> UInt[np.ndarray, "N H W C"]:
    """The pictures in an array, in the values of files."""
    array = np.asarray(array)
    if array.ndim not in (2, 3, 4) or (array.ndim > 2 and array.shape[-1] not in MODES):
        raise InputError(
            f"pictures must be arrays [H, W], [H, W, C] or [N, H, W, C] of 1, 3 or 4 channels; got {array.shape}."
        )
    pixels, largest = quantize(array, form.stored_levels, form.stored_levels), array.max(initial=0)
    if np.issubdtype(array.dtype, np.integer) and 0 < largest < form.levels < form.stored_levels:
        raise InputError(
            f"pictures must have values from 0 to {form.stored_levels - 1}; got at most {largest}. Images in the model's"
            f" {form.levels} levels are for the functions, such as `pixel_rnn_jax.log_prob`."
        )
    pixels = pixels[..., None] if array.ndim == 2 else pixels
    return pixels if array.ndim == 4 else pixels[None]


def _png_file(image: Image.Image) -> io.BytesIO:
    """A picture as the PNG file that `decode` reads like any other."""
    buffer = io.BytesIO()
    with damage_as(f"a picture of mode {image.mode} cannot be used"):
        image = ImageOps.exif_transpose(image)
        (image.convert("RGB") if image.mode in IN_COLOUR else image).save(buffer, "PNG", compress_level=1)
    return buffer
