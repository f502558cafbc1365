"""Pictures that a user gives in Python: as Pillow's images, as files, or as arrays."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt
from PIL import Image, ImageOps

from pixel_rnn_jax.data.decode import MODES, converted, decode, fit, is_grey
from pixel_rnn_jax.data.preprocessing import quantize_picture
from pixel_rnn_jax.data.sources.folder_files import files_below
from pixel_rnn_jax.data.sources.source import say
from pixel_rnn_jax.data.user_files import PICTURE_ENDINGS, ImageForm, is_arrays, read_images
from pixel_rnn_jax.errors import InputError, about, damage_as
from pixel_rnn_jax.images import quantize
from pixel_rnn_jax.paths import as_path

IN_COLOUR = ("CMYK", "YCbCr", "LAB", "HSV")  # modes of Pillow that no PNG file has


def bring_pictures(pictures: Any, form: ImageForm) -> UInt[np.ndarray, "N H W C"]:
    """Brings one or several pictures into the form that a model takes, which has a size; prints what was changed.

    The pictures are as `Pretrained` describes them. All are read as files, so that each way to give a picture leads to the
    same values.
    """
    if isinstance(pictures, (str, os.PathLike)) and is_arrays(pictures):
        return read_images(pictures, form).images
    if form.channels not in MODES:
        raise InputError(f"pictures have 1 (grey), 3 or 4 channels; the model has {form.channels}: use its functions.")
    images, sizes, kinds = [], set(), set()
    for name, file in _picture_files(pictures, form.levels):
        with about(name, "."):
            pixels = decode(file, channels=form.channels, alpha=form.alpha, levels=form.stored_levels)
            images.append(quantize_picture(fit(pixels, form.size), form.levels, form.source_levels))
        sizes.add(pixels.shape[:2])
        kinds.add(is_grey(file, form.stored_levels))
    if not images:
        raise InputError("there must be at least 1 picture; got none.")
    others = sorted(f"{height}x{width}" for height, width in sizes - {form.size})
    if others:
        say(f"pictures of {', '.join(others)} pixels: cut and reduced to {form.size[0]}x{form.size[1]}")
    for line in converted(kinds, form.channels):
        say(line)
    return np.stack(images)


def _picture_files(pictures: Any, levels: int) -> Iterator[tuple[str, Path | io.BytesIO]]:
    """Each of the pictures that a user gave, as a file with a name for messages. Those that are no files become PNG files."""
    if isinstance(pictures, (str, os.PathLike)):
        path = as_path(pictures)
        if not path.exists():
            raise InputError(f"there is no file or folder {path}.")
        found = files_below(path) if path.is_dir() else [path]
        for file in found:
            if file == path or file.suffix.lower() in PICTURE_ENDINGS:
                yield str(file), file
    elif isinstance(pictures, Image.Image):
        yield "the picture", _png_file(pictures)
    elif isinstance(pictures, (list, tuple)):
        for number, picture in enumerate(pictures):
            for name, file in _picture_files(picture, levels):
                yield name.replace("the picture", f"picture {number}"), file
    else:
        for pixels in _pixels(pictures, levels):
            yield "the picture", _png_file(Image.fromarray(pixels))


def _pixels(array: Any, levels: int) -> UInt[np.ndarray, "N H W *C"]:
    """The pictures in an array, as Pillow takes them."""
    array = np.asarray(array)
    if array.ndim not in (2, 3, 4) or (array.ndim > 2 and array.shape[-1] not in MODES):
        raise InputError(
            f"pictures must be arrays [H, W], [H, W, C] or [N, H, W, C] of 1, 3 or 4 channels; got {array.shape}."
        )
    pixels, largest = quantize(array, 256), array.max(initial=0)
    if np.issubdtype(array.dtype, np.integer) and 0 < largest < levels < 256:
        raise InputError(
            f"pictures must have values from 0 to 255; got at most {largest}. Images in the model's {levels} levels are for"
            " the functions, such as `pixel_rnn_jax.log_prob`."
        )
    pixels = pixels if array.ndim == 4 else pixels[None]
    return pixels[..., 0] if pixels.shape[-1] == 1 and array.ndim > 2 else pixels


def _png_file(image: Image.Image) -> io.BytesIO:
    """A picture as the PNG file that `decode` reads like any other."""
    buffer = io.BytesIO()
    with damage_as("the picture cannot be used"):
        image = ImageOps.exif_transpose(image)
        (image.convert("RGB") if image.mode in IN_COLOUR else image).save(buffer, "PNG", compress_level=1)
    return buffer
