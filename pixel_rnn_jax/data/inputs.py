"""Images that a command is given: a picture, a folder of pictures, or an array file."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from pixel_rnn_jax.conditions import Conditions
from pixel_rnn_jax.data.image_files import MODES, decode
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import check_images, from_picture, to_picture

ARRAY = "images"  # its name in an npz file


def read_input(path: str | Path, *, levels: int, channels: int, lossless: bool = False) -> UInt8[np.ndarray, "N H W C"]:
    """Reads images as a model takes them.

    Args:
      path: of a PNG, JPEG or WebP file; of a folder of such, all of one size; of an npy file of one array, [N, H, W, C] or
        [N, H, W]; or of an npz file that holds such an array by the name of `images`. The values of pictures are spread over 8
        bits, as in the pictures that the commands write; those of arrays are the model's.
      levels: of the model.
      channels: of the model.
      lossless: refuse pictures that have colours or values which the model has not, instead of taking the nearest.

    Raises:
      InputError: if there are no images, or they cannot be used.
    """
    path = Path(path)
    if path.is_dir():
        files = input_files(path)
        if not files:
            raise InputError(f"{path} must hold pictures; there are no files in it. (As a data source it is folder:{path}.)")
        images = [_read_picture(file, levels, channels, lossless) for file in files]
        for file, image in zip(files, images, strict=True):
            if image.shape != images[0].shape:
                sizes = [
                    f"{name.name} has {one.shape[0]}x{one.shape[1]}" for name, one in ((file, image), (files[0], images[0]))
                ]
                raise InputError(f"the pictures in {path} must be of one size; {' pixels, '.join(sizes)}.")
        return np.stack(images)
    if not path.is_file():
        raise InputError(f"the images must be a file or a folder; there is none at {str(path)!r}.")
    if path.suffix not in (".npy", ".npz"):
        return _read_picture(path, levels, channels, lossless)[None]
    images = _read_array(path, ARRAY)
    images = images[..., None] if images.ndim == 3 else images
    try:
        check_images(images, levels=levels, channels=channels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return images.astype(np.uint8)


def input_files(path: str | Path) -> list[Path]:
    """The files of a folder that `read_input` takes, in its order; none, if it is no folder."""
    path = Path(path)
    return sorted(file for file in path.glob("[!.]*") if file.is_file()) if path.is_dir() else []


def holds_images(path: str | Path) -> bool:
    """Whether a path is of an npz file with the array `images`."""
    return Path(path).suffix == ".npz" and _read_array(Path(path), ARRAY, missing=None) is not None


def read_given(path: str | Path) -> Conditions:
    """Reads what images are given: the arrays `labels`, integers [N], and `context`, of an npz file, if it has them.

    Raises:
      InputError: if the file is damaged.
    """
    return Conditions(*(_read_array(Path(path), name, missing=None) for name in ("context", "labels")))


def read_mask(path: str | Path, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """Reads which pixels of an image are known: those where a picture is not black; or an npy file, bool [H, W].

    Raises:
      InputError: if it cannot be read, or is not of this size.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the mask must be a file; there is none at {str(path)!r}.")
    known = _read_array(path, ARRAY) if path.suffix == ".npy" else _decoded(path, 1)[..., 0] > 0
    if known.dtype != bool or known.shape != size:
        raise InputError(f"{path} must be a mask of {size[0]}x{size[1]} pixels; got {known.dtype} of shape {known.shape}.")
    return known


def _decoded(path: Path, channels: int) -> UInt8[np.ndarray, "H W C"]:
    try:
        return decode(path, channels=channels)
    except InputError as error:
        raise InputError(f"{path} {error}.") from None


def _read_picture(path: Path, levels: int, channels: int, lossless: bool) -> UInt8[np.ndarray, "H W C"]:
    if channels not in MODES:
        raise InputError(f"pictures have 1 (grey) or 3 channels; the model has {channels}.")
    pixels = _decoded(path, 3 if lossless else channels)
    if lossless and channels == 1:
        if np.any(pixels != pixels[..., :1]):
            raise InputError(f"{path} is in colour, the model is of grey images: it could not be kept without loss.")
        pixels = pixels[..., :1]
    image = from_picture(pixels, levels)
    if lossless and np.any(to_picture(image, levels) != pixels):
        raise InputError(f"{path} has values between the model's {levels} levels: it could not be kept without loss.")
    return image


def _read_array(path: Path, name: str, missing: Any = InputError) -> Any:
    """The array of an npy file, or the one of this name in an npz file; where there is none, `missing`, or an error."""
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}.")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            if name in loaded:
                return loaded[name]
            names = list(loaded)
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged, or no file of plain arrays ({error}).") from None
    if missing is not InputError:
        return missing
    raise InputError(f"{path} must hold an array named {name}; got {', '.join(names) or 'none'}.")
