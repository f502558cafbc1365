"""Images that a command is given: a picture, a folder of pictures, or an array file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from pixel_rnn_jax.data.decode import MODES, decode, fit
from pixel_rnn_jax.data.numpy_files import load_npy, load_npz
from pixel_rnn_jax.data.preprocessing import quantized
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import check_images, from_picture, to_picture
from pixel_rnn_jax.models.conditioning import Conditions

ARRAY = "images"  # its name in an npz file


class PictureForm(NamedTuple):
    """What becomes of pictures; by default, they keep their size, and every value becomes the nearest level.

    Attributes:
      size: height and width to which they are cut and reduced, as `data.size` says.
      source_levels: levels of which the model's are made as `data.quantize` makes them.
      lossless: pictures that have colours or values which the model has not are refused.
    """

    size: tuple[int, int] | None = None
    source_levels: int | None = None
    lossless: bool = False


def read_input(
    path: str | Path, *, levels: int, channels: int, form: PictureForm | None = None
) -> UInt8[np.ndarray, "N H W C"]:
    """Reads images as a model takes them.

    Args:
      path: of a PNG, JPEG or WebP file; of a folder of such, all of one size; of an npy file of one array, [N, H, W, C] or
        [N, H, W]; or of an npz file that holds such an array by the name of `images`. The values of pictures are spread over 8
        bits, as in the pictures that the commands write; those of arrays are the model's.
      levels: of the model.
      channels: of the model.
      form: what becomes of pictures; the default's, if None.

    Raises:
      InputError: if there are no images, or they cannot be used.
    """
    path, form = Path(path), form or PictureForm()
    if path.is_dir():
        files = input_files(path)
        if not files:
            raise InputError(f"{path} must hold pictures; there are no files in it. (As a data source it is folder:{path}.)")
        images = [_read_picture(file, levels, channels, form) for file in files]
        for file, image in zip(files, images, strict=True):
            if image.shape != images[0].shape:
                sizes = [
                    f"{name.name} has {one.shape[0]}x{one.shape[1]}" for name, one in ((file, image), (files[0], images[0]))
                ]
                raise InputError(f"the pictures in {path} must be of one size; {' pixels, '.join(sizes)}.")
        return np.stack(images)
    if not path.is_file():
        raise InputError(f"the images must be a file or a folder; there is none at {str(path)!r}.")
    if not _is_array_file(path):
        return _read_picture(path, levels, channels, form)[None]
    images = _read_array(path, ARRAY)
    images = images[..., None] if images.ndim == 3 else images
    try:
        check_images(images, levels=levels, channels=channels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return images.astype(np.uint8)


def input_files(path: str | Path) -> list[Path]:
    """The pictures that `read_input` takes, in its order; none of an npy or npz file."""
    path = Path(path)
    if path.is_dir():
        return sorted(file for file in path.glob("[!.]*") if file.is_file())
    return [] if _is_array_file(path) else [path]


def is_npz(path: str | Path) -> bool:
    """Whether a path is of an npz file, by its name."""
    return Path(path).suffix.lower() == ".npz"


def holds_images(path: str | Path) -> bool:
    """Whether a path is of an npz file with the array `images`."""
    return is_npz(path) and ARRAY in load_npz(_existing(path), ())[1]


def read_given(path: str | Path) -> Conditions:
    """Reads what images are given: the arrays `labels`, integers [N], and `context`, of an npz file, if it has them.

    Raises:
      InputError: if there is no such file, or it is damaged.
    """
    arrays, _ = load_npz(_existing(path), Conditions._fields)
    return Conditions(**arrays)


def read_mask(path: str | Path, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """Reads which pixels of an image are known: those where a picture is not black; or an npy file, bool [H, W].

    Raises:
      InputError: if it cannot be read, or is not of this size.
    """
    path = _existing(path)
    known = load_npy(path) if path.suffix.lower() == ".npy" else _decoded(path, 1)[..., 0] > 0
    if known.dtype != bool or known.shape != size:
        raise InputError(f"{path} must be a mask of {size[0]}x{size[1]} pixels; got {known.dtype} of shape {known.shape}.")
    return known


def _existing(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise InputError(f"there is no file {str(path)!r}.")
    return Path(path)


def _decoded(path: Path, channels: int) -> UInt8[np.ndarray, "H W C"]:
    try:
        return decode(path, channels=channels)
    except InputError as error:
        raise InputError(f"{path} {error}.") from None


def _read_picture(path: Path, levels: int, channels: int, form: PictureForm) -> UInt8[np.ndarray, "H W C"]:
    if channels not in MODES:
        raise InputError(f"pictures have 1 (grey) or 3 channels; the model has {channels}.")
    if not form.lossless:
        return _formed(path, _decoded(path, channels), levels, form)
    pixels = _decoded(path, 3)
    if channels == 1:
        if np.any(pixels != pixels[..., :1]):
            raise InputError(f"{path} is in colour, the model is of grey images: it could not be kept without loss.")
        pixels = pixels[..., :1]
    image = from_picture(pixels, levels)
    if np.any(to_picture(image, levels) != pixels):
        raise InputError(
            f"{path} has values between the model's {levels} levels: it could not be kept without loss. A model of 256 levels"
            " (trained without data.quantize and data.binarization) keeps all pictures."
        )
    return image


def _formed(path: Path, pixels: UInt8[np.ndarray, "H W C"], levels: int, form: PictureForm) -> UInt8[np.ndarray, "h w C"]:
    if form.size is not None:
        try:
            pixels = fit(pixels, form.size)
        except InputError as error:
            raise InputError(f"{path} {error}.") from None
    if form.source_levels is None:
        return from_picture(pixels, levels)
    return quantized(from_picture(pixels, form.source_levels), form.source_levels, levels)


def _is_array_file(path: Path) -> bool:
    return path.suffix.lower() in (".npy", ".npz")


def _read_array(path: Path, name: str) -> Shaped[np.ndarray, "..."]:
    """The array of an npy file, or the one of this name in an npz file."""
    if path.suffix.lower() == ".npy":
        return load_npy(path)
    arrays, names = load_npz(path, {name})
    if not arrays:
        hint = f" (As a data source it is npz:{path}.)" if "train" in names else ""
        raise InputError(f"{path} must hold an array named {name}; got {', '.join(names) or 'none'}.{hint}")
    return arrays[name]
