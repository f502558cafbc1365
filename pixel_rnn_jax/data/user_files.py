"""Files that users give to commands: pictures, arrays, labels, masks."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt

from pixel_rnn_jax.data.decode import MODES, converted, decode, fit, is_grey
from pixel_rnn_jax.data.numpy_files import load_npy, load_npz
from pixel_rnn_jax.data.preprocessing import quantize_picture
from pixel_rnn_jax.data.sources.folder import SHOWN
from pixel_rnn_jax.data.sources.folder_files import files_below
from pixel_rnn_jax.errors import InputError, about
from pixel_rnn_jax.images import check_images, to_picture, value_type
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.paths import as_path, is_broken_link

ARRAY = "images"  # its name in an npz file
# Of files that people call pictures, whether we read them or not.
PICTURE_ENDINGS = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"),
    *(".jxl", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".psd", ".ico", ".svg"),
)
SIZE_FLAG = "--size=H,W brings pictures to another size, --size=as-is takes them as they are"


class ImageForm(NamedTuple):
    """The form in which a model takes images."""

    levels: int
    channels: int
    size: tuple[int, int] | None = None  # pictures are cut and reduced to it, as by `data.size`; None: taken as they are
    source_levels: int | None = None  # pictures are quantized from so many, as by `data.quantize`; None: to the nearest level
    alpha: str = "error"  # what becomes of transparency, as by `data.alpha`
    lossless: bool = False  # refuse pictures in colours or values that the model cannot represent
    skip_bad: bool = False  # leave out the pictures of a folder that cannot be used

    @property
    def stored_levels(self) -> int:
        """How many values the pictures' files have, at least 256."""
        return max(self.source_levels or self.levels, 256)


class UserImages(NamedTuple):
    """Images that a user gave.

    Attributes:
      images: in [0, levels).
      names: of each image: its file, below the folder that was given, or its number.
      notes: lines for the user, on files that were left out and pictures that were reduced.
    """

    images: UInt[np.ndarray, "N H W C"]
    names: list[str]
    notes: list[str]


def read_images(path: str | Path, form: ImageForm) -> UserImages:
    """Reads images as a model takes them.

    `path` is a PNG, JPEG, WebP or TIFF file; a folder of these, and of more folders; an npy file of one array, [N, H, W, C] or
    [N, H, W]; or an npz file with such an array named `images`. Pictures are as the commands write them: up to 256 levels are
    spread over 8 bits, more are held as they are in 16 bits. Arrays hold levels, and are taken as they are. Of a folder, files
    whose name is not that of a picture are passed over.
    """
    path = _existing(path)
    if path.is_dir():
        return _read_folder(path, form)
    if is_arrays(path):
        images = _read_array(path, form)
        return UserImages(images, [str(number) for number in range(len(images))], [])
    _check_channels(form)
    with about(str(path), "."):
        image, stored = _read_picture(path, form)
    return UserImages(image[None], [path.name], _reduction(path, {stored}, form.size) + _conversion(path, [path], form))


def _read_folder(folder: Path, form: ImageForm) -> UserImages:
    _check_channels(form)
    found = files_below(folder)
    pictures = [file for file in found if file.suffix.lower() in PICTURE_ENDINGS]
    images, names, stored_sizes, bad = [], [], set(), []
    for file in pictures:
        name = str(file.relative_to(folder))
        try:
            image, stored = _read_picture(file, form)
        except InputError as error:
            if not form.skip_bad:
                raise InputError(f"{file} {error}. --skip_bad leaves such pictures out.") from None
            bad.append(f"{name} {error}")
            continue
        images.append(image)
        names.append(name)
        stored_sizes.add(stored)
    others = [str(file.relative_to(folder)) for file in found if file.suffix.lower() not in PICTURE_ENDINGS]
    notes = [f"{folder}: passed over {len(others)} files that are no pictures by their names: {_some(others)}"] * bool(others)
    notes += [f"{folder}: left out {len(bad)} of {len(pictures)} pictures: {_some(bad)}"] * bool(bad)
    if not images:
        raise InputError(f"{folder} must hold pictures that can be used; {'; '.join(notes) or 'there are no files in it'}.")
    sizes = {image.shape[:2] for image in images}
    if len(sizes) > 1:
        hint = "" if form.lossless else " --size=H,W cuts and reduces them to one size."
        raise InputError(f"the pictures in {folder} must be of one size; got {_sizes(sizes)} pixels.{hint}")
    notes += _reduction(folder, stored_sizes, form.size) + _conversion(folder, [folder / name for name in names], form)
    return UserImages(np.stack(images), names, notes)


def _read_array(path: Path, form: ImageForm) -> UInt[np.ndarray, "N H W C"]:
    if is_npz(path):
        arrays, names = load_npz(path, {ARRAY})
        if not arrays:
            raise InputError(f"{path} must hold an array named {ARRAY}; got {', '.join(names) or 'none'}.")
    images = arrays[ARRAY] if is_npz(path) else load_npy(path)
    images = images[..., None] if images.ndim == 3 else images
    with about(f"{path}:"):
        check_images(images, levels=form.levels, channels=form.channels)
    return images.astype(value_type(form.levels))


def is_arrays(path: str | Path) -> bool:
    """Whether the name of a path is that of an npy or npz file."""
    return Path(path).suffix.lower() in (".npy", ".npz")


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
    """Reads which pixels are known: those of a picture that are not black; or an npy file, bool [H, W].

    A larger picture is cut and reduced like the images; a pixel is known if all of its area is.
    """
    path = _existing(path)
    known = load_npy(path) if path.suffix.lower() == ".npy" else _read_picture_mask(path, size)
    if known.dtype != bool or known.shape != size:
        raise InputError(f"{path} must be a mask of {size[0]}x{size[1]} pixels; got {known.dtype} of shape {known.shape}.")
    return known


def _read_picture_mask(path: Path, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    with about(str(path), "."):
        white = np.where(decode(path, channels=1) > 0, np.uint8(255), np.uint8(0))
    if white.shape[0] >= size[0] and white.shape[1] >= size[1]:
        white = fit(white, size)
    return white[..., 0] == 255


def _existing(path: str | Path) -> Path:
    path = as_path(path)
    if is_broken_link(path):
        raise InputError(f"{path} is a link to {str(path.readlink())!r}, which leads to nothing.")
    if not path.exists():
        raise InputError(f"there is no file or folder {path}.")
    return path


def _check_channels(form: ImageForm) -> None:
    if form.channels not in MODES:
        raise InputError(f"pictures have 1 (grey), 3 or 4 channels; the model has {form.channels}.")


def _read_picture(path: Path, form: ImageForm) -> tuple[UInt[np.ndarray, "H W C"], tuple[int, int]]:
    """A picture as the model takes it, and the size that it had; an `InputError` continues a sentence, as that of `decode`."""
    channels = max(form.channels, 3 if form.lossless else 1)
    pixels = decode(path, channels=channels, alpha=form.alpha, levels=form.stored_levels)
    stored = pixels.shape[:2]
    if form.lossless and form.channels == 1:
        if np.any(pixels != pixels[..., :1]):
            raise InputError("is in colour, but the model is of grey images: compression would lose the colours")
        pixels = pixels[..., :1]
    if form.size is not None:
        if stored[0] < form.size[0] or stored[1] < form.size[1]:
            raise InputError(
                f"is {_sizes({stored})} pixels, smaller than {_sizes({form.size})}, and never enlarged; {SIZE_FLAG}"
            )
        pixels = fit(pixels, form.size)
    image = quantize_picture(pixels, form.levels, form.source_levels)
    if form.lossless and form.stored_levels == 256 and np.any(to_picture(image, form.levels) != pixels):
        raise InputError(
            f"has values between the model's {form.levels} levels, which compression would lose. A model of 256 levels"
            " (trained without data.quantize and data.binarization) keeps all pictures"
        )
    return image, stored


def _reduction(path: Path, stored_sizes: set[tuple[int, int]], size: tuple[int, int] | None) -> list[str]:
    """A line that says to which size pictures were reduced, if any were."""
    larger = stored_sizes - {size}
    if size is None or not larger:
        return []
    before = _sizes(larger) if len(larger) == 1 else f"{len(larger)} sizes"
    return [f"{path}: cut and reduced from {before} to {_sizes({size})} pixels; {SIZE_FLAG}"]


def _conversion(path: Path, files: list[Path], form: ImageForm) -> list[str]:
    """A line that says if pictures in colour were made grey, or the other way round."""
    if form.lossless:
        return []
    return [f"{path}: {line}" for line in converted({is_grey(file, form.stored_levels) for file in files}, form.channels)]


def _sizes(sizes: set[tuple[int, int]]) -> str:
    return ", ".join(f"{height}x{width}" for height, width in sorted(sizes))


def _some(names: list[str]) -> str:
    return "; ".join(names[:SHOWN]) + "; …" * (len(names) > SHOWN)
