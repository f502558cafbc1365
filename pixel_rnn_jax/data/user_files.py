"""Files that users give to commands: pictures, arrays, labels, masks."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt

from pixel_rnn_jax.data.decode import MODES, check_deep_channels, converted, decode, fit, is_grey
from pixel_rnn_jax.data.numpy_files import load_npy, load_npz
from pixel_rnn_jax.data.preprocessing import quantize_picture
from pixel_rnn_jax.data.sources.folder_files import files_below, is_picture, some
from pixel_rnn_jax.errors import InputError, about
from pixel_rnn_jax.images import check_images, to_picture, value_type
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.paths import as_path, is_broken_link, is_remote, local_copy

ARRAY = "images"  # its name in an npz file
# A file, one in memory, or pixels [H, W, C] of `ImageForm.stored_levels` values.
Picture = Path | io.BytesIO | UInt[np.ndarray, "h w c"]
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
    flags: bool = False  # name the flags of commands in messages

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
    path = existing(path)
    if is_arrays(path):
        images = _read_array(path, form)
        return UserImages(images, [str(number) for number in range(len(images))], [])
    pictures, others = picture_files(path)
    passed_over = [f"{path}: passed over {len(others)} files that are no pictures by their names: {some(others)}"]
    if not pictures:
        raise InputError(f"{path} must hold pictures; {passed_over[0] if others else 'there are no files in it'}.")
    found = read_pictures(str(path), pictures, form)
    return found._replace(notes=passed_over * bool(others) + found.notes)


def picture_files(path: Path) -> tuple[list[tuple[str, Path]], list[str]]:
    """The pictures below a folder, or the one file, each with its name below the folder; and the names of other files."""
    if not path.is_dir():
        return [(path.name, path)], []
    found = [(str(file.relative_to(path)), file) for file in files_below(path)]
    return [(name, file) for name, file in found if is_picture(file)], [name for name, file in found if not is_picture(file)]


def read_pictures(whole: str, pictures: Sequence[tuple[str, Picture]], form: ImageForm) -> UserImages:
    """Reads pictures as a model takes them, each with its name; the name of the whole begins the notes."""
    if form.channels not in MODES:
        raise InputError(f"pictures have 1 (grey), 3 or 4 channels; the model has {form.channels}.")
    images, names, stored_sizes, kinds, bad = [], [], set(), set(), []
    for name, picture in pictures:
        try:
            image, stored, grey = _read_picture(picture, form)
        except InputError as error:
            if not form.skip_bad:
                subject = picture if isinstance(picture, Path) else f"picture {name}"
                hint = " --skip_bad leaves such pictures out." if form.flags and len(pictures) > 1 else ""
                raise InputError(f"{subject} {error}.{hint}") from None
            bad.append(f"{name} {error}")
            continue
        images.append(image)
        names.append(name)
        stored_sizes.add(stored)
        kinds.add(grey)
    left_out = [f"{whole}: left out {len(bad)} of {len(pictures)} pictures: {some(bad)}"] * bool(bad)
    if not images:
        raise InputError(f"{whole} must hold at least 1 picture that can be used; {left_out[0] if bad else 'got none'}.")
    sizes = {image.shape[:2] for image in images}
    if len(sizes) > 1:
        hint = " --size=H,W cuts and reduces them to one size." if form.flags and not form.lossless else ""
        raise InputError(f"the pictures in {whole} must be of one size; got {_sizes(sizes)} pixels.{hint}")
    conversions = [] if form.lossless else [f"{whole}: {line}" for line in converted(kinds, form.channels)]
    return UserImages(np.stack(images), names, left_out + _reduction(whole, stored_sizes, form) + conversions)


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
    return is_npz(path) and ARRAY in load_npz(existing(path), ())[1]


def read_conditions(path: str | Path) -> Conditions:
    """Reads the arrays `labels`, integers [N], and `context`, images, that an npz file may hold."""
    arrays, _ = load_npz(existing(path), Conditions._fields)
    return Conditions(**arrays)


def read_mask(path: str | Path, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """Reads which pixels are known: those of a picture that are neither black nor transparent; or an npy file, bool [H, W].

    A larger picture is cut and reduced like the images; a pixel is known if all of its area is.
    """
    path = existing(path)
    known = load_npy(path) if path.suffix.lower() == ".npy" else _read_picture_mask(path, size)
    if known.dtype != bool or known.shape != size:
        raise InputError(
            f"{path} must be a mask of {size[0]}x{size[1]} pixels, bool; got {known.dtype} of shape {known.shape}."
        )
    return known


def _read_picture_mask(path: Path, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    with about(str(path), "."):
        white = np.where(decode(path, channels=1, alpha="black") > 0, np.uint8(255), np.uint8(0))
    if white.shape[0] >= size[0] and white.shape[1] >= size[1]:
        white = fit(white, size)
    return white[..., 0] == 255


def existing(path: str | Path) -> Path:
    """The path, or a copy of what is at gs://; raises `InputError` if nothing is there."""
    if not str(path):
        raise InputError("a path must name a file or a folder; got ''.")
    path = as_path(path)
    if is_remote(path):
        return local_copy(path)
    if is_broken_link(path):
        raise InputError(f"{path} is a link to {str(path.readlink())!r}, which leads to nothing.")
    if not path.exists():
        raise InputError(f"there is no file or folder {path}.")
    return path


def _read_picture(picture: Picture, form: ImageForm) -> tuple[UInt[np.ndarray, "H W C"], tuple[int, int], bool]:
    """A picture as the model takes it, the size that it had, and whether it was grey.

    An `InputError` continues a sentence, as that of `decode`.
    """
    if isinstance(picture, np.ndarray):
        check_deep_channels(picture.shape[-1], form.channels)
        pixels, grey = np.broadcast_to(picture, (*picture.shape[:2], form.channels)), picture.shape[-1] == 1
    else:
        channels = max(form.channels, 3 if form.lossless else 1)
        pixels = decode(picture, channels=channels, alpha=form.alpha, levels=form.stored_levels)
        grey = is_grey(picture, form.stored_levels)
    stored = pixels.shape[:2]
    if form.lossless and form.channels == 1:
        if np.any(pixels != pixels[..., :1]):
            raise InputError("is in colour, but the model is of grey images: compression would lose the colours")
        pixels = pixels[..., :1]
    if form.size is not None:
        if stored[0] < form.size[0] or stored[1] < form.size[1]:
            hint = f"; {SIZE_FLAG}" if form.flags else ""
            raise InputError(f"is {_sizes({stored})} pixels, smaller than {_sizes({form.size})}, and never enlarged{hint}")
        pixels = fit(pixels, form.size)
    image = quantize_picture(pixels, form.levels, form.source_levels)
    if form.lossless and form.stored_levels == 256 and np.any(to_picture(image, form.levels) != pixels):
        raise InputError(
            f"has values between the model's {form.levels} levels, which compression would lose. A model of 256 levels"
            " (trained without data.quantize and data.binarization) keeps all pictures"
        )
    return image, stored, grey


def _reduction(whole: str, stored_sizes: set[tuple[int, int]], form: ImageForm) -> list[str]:
    """A line that says to which size pictures were reduced, if any were."""
    larger = stored_sizes - {form.size}
    if form.size is None or not larger:
        return []
    before = _sizes(larger) if len(larger) == 1 else f"{len(larger)} sizes"
    hint = f"; {SIZE_FLAG}" if form.flags else ""
    return [f"{whole}: cut and reduced from {before} to {_sizes({form.size})} pixels{hint}"]


def _sizes(sizes: set[tuple[int, int]]) -> str:
    return ", ".join(f"{height}x{width}" for height, width in sorted(sizes))
