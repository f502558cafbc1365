"""Files that users give to commands: pictures, arrays, labels, masks."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from pixel_rnn_jax.data.decode import MODES, decode
from pixel_rnn_jax.data.numpy_files import load_npy, load_npz
from pixel_rnn_jax.data.preprocessing import quantize_picture
from pixel_rnn_jax.errors import InputError, about
from pixel_rnn_jax.images import check_images, to_picture
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.paths import as_path, is_broken_link

ARRAY = "images"  # its name in an npz file


class ImageForm(NamedTuple):
    """The form in which a model takes images."""

    levels: int
    channels: int
    size: tuple[int, int] | None = None  # pictures are cut and reduced to it, as by `data.size`
    source_levels: int | None = None  # pictures are quantized from so many, as by `data.quantize`; None: to the nearest level
    alpha: str = "error"  # what becomes of transparency, as by `data.alpha`
    lossless: bool = False  # refuse pictures in colours or values that the model cannot represent


def read_images(path: str | Path, form: ImageForm) -> UInt8[np.ndarray, "N H W C"]:
    """Reads images as a model takes them.

    `path` is a PNG, JPEG or WebP file; a folder of these, all of one size; an npy file of one array, [N, H, W, C] or
    [N, H, W]; or an npz file with such an array named `images`. Pictures spread the levels over 8 bits, as those that the
    commands write; arrays hold levels.
    """
    path = _existing(path)
    files = picture_files(path)
    if files:
        images = [_read_picture(file, form) for file in files]
        sizes = sorted({f"{image.shape[0]}x{image.shape[1]}" for image in images})
        if len(sizes) > 1:
            raise InputError(f"the pictures in {path} must be of one size; got {', '.join(sizes)} pixels.")
        return np.stack(images)
    if path.is_dir():
        raise InputError(f"{path} must hold pictures; there are no files in it.")
    if is_npz(path):
        arrays, names = load_npz(path, {ARRAY})
        if not arrays:
            raise InputError(f"{path} must hold an array named {ARRAY}; got {', '.join(names) or 'none'}.")
    images = arrays[ARRAY] if is_npz(path) else load_npy(path)
    images = images[..., None] if images.ndim == 3 else images
    with about(f"{path}:"):
        check_images(images, levels=form.levels, channels=form.channels)
    return images.astype(np.uint8)


def picture_files(path: str | Path) -> list[Path]:
    """The pictures that `read_images` reads, in its order; none for an npy or npz file."""
    path = as_path(path)
    if path.is_dir():
        return sorted(file for file in path.glob("[!.]*") if file.is_file())
    return [] if path.suffix.lower() in (".npy", ".npz") else [path]


def is_npz(path: str | Path) -> bool:
    """Whether the name of a path is that of an npz file."""
    return Path(path).suffix.lower() == ".npz"


def holds_images(path: str | Path) -> bool:
    """Whether a path is an npz file with the array `images`."""
    return is_npz(path) and ARRAY in load_npz(_existing(path), ())[1]


def read_conditions(path: str | Path) -> Conditions:
    """Reads the arrays `labels`, integers [N], and `context`, images, that an npz file may hold."""
    arrays, _ = load_npz(_existing(path), Conditions._fields)
    return Conditions(**arrays)


def read_mask(path: str | Path, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """Reads which pixels are known: those of a picture that are not black; or an npy file, bool [H, W]."""
    path = _existing(path)
    known = load_npy(path) if path.suffix.lower() == ".npy" else _decode(path, channels=1)[..., 0] > 0
    if known.dtype != bool or known.shape != size:
        raise InputError(f"{path} must be a mask of {size[0]}x{size[1]} pixels; got {known.dtype} of shape {known.shape}.")
    return known


def _existing(path: str | Path) -> Path:
    path = as_path(path)
    if is_broken_link(path):
        raise InputError(f"{path} is a link to {str(path.readlink())!r}, which leads to nothing.")
    if not path.exists():
        raise InputError(f"there is no file or folder {path}.")
    return path


def _read_picture(path: Path, form: ImageForm) -> UInt8[np.ndarray, "H W C"]:
    if form.channels not in MODES:
        raise InputError(f"pictures have 1 (grey), 3 or 4 channels; the model has {form.channels}.")
    pixels = _decode(path, channels=max(form.channels, 3 if form.lossless else 1), size=form.size, alpha=form.alpha)
    if form.lossless and form.channels == 1:
        if np.any(pixels != pixels[..., :1]):
            raise InputError(f"{path} is in colour, but the model is of grey images: compression would lose the colours.")
        pixels = pixels[..., :1]
    image = quantize_picture(pixels, form.levels, form.source_levels)
    if form.lossless and np.any(to_picture(image, form.levels) != pixels):
        raise InputError(
            f"{path} has values between the model's {form.levels} levels, which compression would lose. A model of 256 levels"
            " (trained without data.quantize and data.binarization) keeps all pictures."
        )
    return image


def _decode(
    path: Path, *, channels: int, size: tuple[int, int] | None = None, alpha: str = "error"
) -> UInt8[np.ndarray, "H W C"]:
    with about(str(path), "."):
        return decode(path, channels=channels, size=size, alpha=alpha)
