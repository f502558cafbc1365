"""People's own pictures: a folder of image files."""

import collections
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.decode import MODES, check_large_enough, check_same_size, decode, fit, read_size
from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.data.sources.source import SPLITS, Source
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.paths import in_data_dir, local_copy
from pixel_rnn_jax.progress import progress_bar

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")  # of files that are pictures without doubt


def read_folder(argument: str, config: DataConfig, channels: int) -> Source:
    """All PNG, JPEG and WebP files under a folder.

    Its subfolders train, validation and test are the splits, if there are such. Else every file below it is for training,
    in an order that is shuffled once and for all, so that validation images carved from the end are of every subfolder.
    A file's class is the subfolder (of the folder, or of the split's) that it is in; they are numbered by name.

    Raises:
      InputError: if the folder is missing or without images, or a file cannot be used (unless `skip_bad`).
    """
    folder = local_copy(in_data_dir(config.data_dir, argument)) if argument else Path()
    if not argument or not folder.is_dir():
        raise InputError(
            f"data.source 'folder:PATH' must name a folder; got {argument!r} (looked at {str(folder.resolve())!r})."
        )
    if channels not in MODES:
        raise InputError(f"model.channels must be 1 (grey) or 3 (colour) for image files; got {channels}.")
    splits, kept, notes, size = {}, {}, [], config.size
    for split, files in _files_of_splits(folder).items():
        good, size, skipped = _check(files, size, config, channels)
        if not good:
            raise InputError(f"{folder} must hold PNG, JPEG or WebP images; there is none for {split}. {skipped}".strip())
        if skipped:
            notes.append(f"{folder}, {split}: {skipped}" if split in SPLITS[1:] else f"{folder}: {skipped}")
        splits[split], kept[split] = _lazy_images(good, size, channels), good
    return Source(
        splits,
        levels=256,
        labels=functools.partial(_labels, folder, kept),
        classes=functools.partial(_classes, folder, kept),
        names={split: [str(path.relative_to(folder)) for path in files] for split, files in kept.items()},
        notes=tuple(notes),
    )


def _labels(folder: Path, files: dict[str, list[Path]], split: str) -> Integer[np.ndarray, " N"]:
    """The number of each file's class, among those of the training files."""
    names, of_files = _classes(folder, files), _classes_of_files(folder, files, split)
    unknown = sorted(set(of_files) - set(names))
    if unknown:
        raise InputError(f"{folder}: the classes of {split} must be among {', '.join(names)}; got {', '.join(unknown)}.")
    return np.array([names.index(name) for name in of_files], np.int32)


def _classes(folder: Path, files: dict[str, list[Path]]) -> tuple[str, ...]:
    """The names of the classes that there are in training."""
    return tuple(sorted(set(_classes_of_files(folder, files, "train"))))


def _classes_of_files(folder: Path, files: dict[str, list[Path]], split: str) -> list[str]:
    root = folder / split if (folder / split).is_dir() else folder
    inside = [path.relative_to(root).parts for path in files[split]]
    loose = [parts[0] for parts in inside if len(parts) == 1]
    if loose:
        raise InputError(f"{root} must hold a folder for each class, for a class-conditional model; {loose[0]} is in none.")
    return [parts[0] for parts in inside]


def _files_of_splits(folder: Path) -> dict[str, list[Path]]:
    names = {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    if not names & set(SPLITS):
        files = _files(folder)
        order = np.random.default_rng(0).permutation(len(files))
        return {"train": [files[number] for number in order]}
    unknown = sorted(names - set(SPLITS))
    if unknown or "train" not in names:
        raise InputError(
            f"{folder} must hold train/, and beside it validation/ and test/ only, if its folders are splits;"
            f" got {', '.join(sorted(names))}."
        )
    loose = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in ENDINGS and entry.is_file())
    if loose:
        raise InputError(f"{folder} must hold its pictures in {' and '.join(sorted(names))}; {loose[0]} is beside them.")
    return {split: _files(folder / split) for split in SPLITS if split in names}


def _files(folder: Path) -> list[Path]:
    """All files below a folder that are not hidden, in order; links to folders are followed."""
    paths = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(parent) / name for name in names if not name.startswith(".")]
    return sorted(paths)


def _check(
    files: list[Path], size: tuple[int, int] | None, config: DataConfig, channels: int
) -> tuple[list[Path], tuple[int, int] | None, str]:
    """The files that can be used, their common size, and what is to be said of the others.

    Every file's header is looked at; with `skip_bad` all pixels are, since the images must be counted before the first one is
    used.
    """

    def fault(path: Path) -> str | None:
        try:
            stored = read_size(path)
            if config.size is None:
                check_same_size(stored, size)
            else:
                check_large_enough(stored, size)
            if config.skip_bad:
                decode(path, channels=channels)
        except InputError as error:
            return str(error)
        return None

    good, bad = [], collections.defaultdict(list)
    size = size or _first_size(files)
    with (
        ThreadPoolExecutor(config.num_threads) as threads,
        progress_bar(len(files), unit="file", description="looking at the files", delay=2.0) as bar,
    ):
        for path, reason in zip(files, threads.map(fault, files), strict=True):
            if reason is None:
                good.append(path)
            elif config.skip_bad:
                bad[reason].append(path.name)
            else:
                threads.shutdown(cancel_futures=True)
                raise InputError(f"{path} {reason}. data.skip_bad=True leaves such files out.")
            bar.update()
    return good, size, _told(bad, len(files))


def _told(bad: dict[str, list[str]], count: int) -> str:
    """What is to be said of files that are left out: for each reason, the first by name and how many more."""
    if not bad:
        return ""
    names = {reason: sorted(files) for reason, files in bad.items()}
    told = [f"{first}{f' (and {len(more)} more)' * bool(more)} {reason}" for reason, (first, *more) in names.items()]
    return f"skipped {sum(map(len, bad.values()))} of {count} files: {'; '.join(sorted(told))}."


def _first_size(files: list[Path]) -> tuple[int, int] | None:
    for path in files:
        try:
            return read_size(path)
        except InputError:
            continue
    return None


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
