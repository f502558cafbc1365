"""People's own pictures: a folder of image files."""

import functools
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.image_files import MODES, check_same_size, decode, fit, read_size
from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.data.source import SPLITS, Source
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.progress import progress_bar


def read_folder(argument: str, config: DataConfig, channels: int) -> Source:
    """All PNG, JPEG and WebP files under a folder.

    Its subfolders train, validation and test are the splits, if there is a train/. Else every file below it is for training,
    in an order that is shuffled once and for all, so that validation images carved from the end are of every subfolder.

    Raises:
      InputError: if the folder is missing or without images, or a file cannot be used (unless `skip_bad`).
    """
    folder = Path(config.data_dir or "") / argument
    if not argument or not folder.is_dir():
        raise InputError(
            f"data.source 'folder:PATH' must name a folder; got {argument!r} (looked at {str(folder.resolve())!r})."
        )
    if channels not in MODES:
        raise InputError(f"model.channels must be 1 (grey) or 3 (colour) for image files; got {channels}.")
    splits, notes, size = {}, [], config.size
    for split, files in _files_of_splits(folder).items():
        good, size, skipped = _check(files, size, config, channels)
        if not good:
            raise InputError(f"{folder} must hold PNG, JPEG or WebP images; there is none for {split}. {skipped}".strip())
        if skipped:
            notes.append(f"{split}: {skipped}")
        splits[split] = _lazy_images(good, size, channels)
    return Source(splits, levels=256, notes=tuple(notes))


def _files_of_splits(folder: Path) -> dict[str, list[Path]]:
    if not (folder / "train").is_dir():
        files = _files(folder)
        order = np.random.default_rng(0).permutation(len(files))
        return {"train": [files[number] for number in order]}
    unknown = sorted(entry.name for entry in folder.iterdir() if entry.name not in SPLITS and not entry.name.startswith("."))
    if unknown:
        raise InputError(f"{folder}: beside train/ there may be {SPLITS[1]}/ and {SPLITS[2]}/; got {', '.join(unknown)}.")
    return {split: _files(folder / split) for split in SPLITS if (folder / split).is_dir()}


def _files(folder: Path) -> list[Path]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _check(
    files: list[Path], size: tuple[int, int] | None, config: DataConfig, channels: int
) -> tuple[list[Path], tuple[int, int] | None, str]:
    """The files that can be used, their common size, and what is to be said of the others."""
    good, bad = [], []
    with progress_bar(len(files), unit="file", description="looking at the files", delay=2.0) as bar:
        for path in files:
            try:
                _check_file(path, size, config, channels)
            except InputError as error:
                if not config.skip_bad:
                    raise InputError(f"{path} {error}. data.skip_bad=True leaves such files out.") from None
                bad.append(f"{path.name} {error}")
            else:
                size = size or read_size(path)
                good.append(path)
            bar.update()
    return good, size, f"skipped {len(bad)} of {len(files)} files; the first, {bad[0]}." if bad else ""


def _check_file(path: Path, size: tuple[int, int] | None, config: DataConfig, channels: int) -> None:
    height, width = read_size(path)
    if config.size is None:
        check_same_size((height, width), size or (height, width))
    elif height < size[0] or width < size[1]:
        raise InputError(f"is {height}x{width} pixels, smaller than data.size ({size[0]}x{size[1]})")
    if config.skip_bad:  # what only decoding tells must be known before the images are counted
        decode(path, channels=channels)


def _lazy_images(files: list[Path], size: tuple[int, int], channels: int) -> LazyImages:
    read = functools.partial(_read_files, files=files, size=size, channels=channels)
    return LazyImages(read, np.arange(len(files)), (*size, channels))


def _read_files(
    numbers: Integer[np.ndarray, " B"], *, files: list[Path], size: tuple[int, int], channels: int
) -> UInt8[np.ndarray, "B H W C"]:
    images = []
    for number in numbers:
        try:
            images.append(fit(decode(files[number], channels=channels), size))
        except InputError as error:
            raise InputError(f"{files[number]} {error}. data.skip_bad=True leaves such files out.") from None
    return np.stack(images)
