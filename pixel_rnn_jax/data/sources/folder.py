"""Image-folder source."""

import collections
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.decode import MODES, check_large_enough, check_same_size, decode, read_size
from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.data.sources.source import SPLITS, Labels, Source
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.paths import in_data_dir, local_copy
from pixel_rnn_jax.progress import progress_bar

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def read_folder(argument: str, config: DataConfig, channels: int) -> Source:
    """All PNG, JPEG and WebP files under a folder.

    Its subfolders train, validation and test are the splits, if it has any of these. Otherwise all files are for training, in
    an order shuffled once and for all, so that a validation split carved from the end has images of every subfolder. A file's
    class is the subfolder that it is in (of the folder, or of the split's folder); classes are numbered by name.

    Raises:
      InputError: if the folder is missing or has no images, or a file cannot be used (unless `skip_bad`).
    """
    folder = local_copy(in_data_dir(config.data_dir, argument)) if argument else Path()
    if not argument or not folder.is_dir():
        raise InputError(
            f"data.source 'folder:PATH' must name a folder; got {argument!r} (looked at {str(folder.resolve())!r})."
        )
    if channels not in MODES:
        raise InputError(f"model.channels must be 1 (grey) or 3 (colour) for image files; got {channels}.")
    images, used, notes, size = {}, {}, [], config.size
    for split, files in _files_by_split(folder).items():
        good, size, skipped = _check(files, size, config, channels)
        if not good:
            raise InputError(f"{folder} must hold PNG, JPEG or WebP images; there is none for {split}. {skipped}".strip())
        if skipped:
            notes.append(f"{folder}, {split}: {skipped}" if split in SPLITS[1:] else f"{folder}: {skipped}")
        read = functools.partial(_read_files, files=good, size=size, channels=channels)
        images[split], used[split] = LazyImages(read, np.arange(len(good)), (*size, channels)), good
    return Source(
        images,
        levels=256,
        read_labels=functools.partial(_read_labels, folder, used),
        names={split: [str(path.relative_to(folder)) for path in files] for split, files in used.items()},
        notes=tuple(notes),
    )


def _read_labels(folder: Path, files: dict[str, list[Path]]) -> Labels:
    """The classes are those of the training files."""
    by_split = {split: _class_names(folder, split, paths) for split, paths in files.items()}
    names = sorted(set(by_split["train"]))
    for split, of_files in by_split.items():
        unknown = sorted(set(of_files) - set(names))
        if unknown:
            raise InputError(f"{folder}: the classes of {split} must be among {', '.join(names)}; got {', '.join(unknown)}.")
    numbers = {name: number for number, name in enumerate(names)}
    labels = {split: np.array([numbers[name] for name in of_files], np.int32) for split, of_files in by_split.items()}
    return Labels(labels, tuple(names))


def _class_names(folder: Path, split: str, files: list[Path]) -> list[str]:
    """The class of each file."""
    root = folder / split if (folder / split).is_dir() else folder
    inside = [path.relative_to(root).parts for path in files]
    loose = [parts[0] for parts in inside if len(parts) == 1]
    if loose:
        raise InputError(f"{root} must hold a folder for each class, for a class-conditional model; {loose[0]} is in none.")
    return [parts[0] for parts in inside]


def _files_by_split(folder: Path) -> dict[str, list[Path]]:
    names = {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    if not names & set(SPLITS):
        files = _files(folder)
        order = np.random.default_rng(0).permutation(len(files))
        return {"train": [files[number] for number in order]}
    if "train" not in names or not names <= set(SPLITS):
        raise InputError(
            f"{folder} must hold the folders train, validation and test (the last two are optional) and no others, if its"
            f" folders are splits; got {', '.join(sorted(names))}."
        )
    loose = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in ENDINGS and entry.is_file())
    if loose:
        raise InputError(f"{folder} must hold its pictures in {' and '.join(sorted(names))}; {loose[0]} is beside them.")
    return {split: _files(folder / split) for split in SPLITS if split in names}


def _files(folder: Path) -> list[Path]:
    """All files below a folder that are not hidden, sorted; links to folders are followed."""
    paths = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(parent) / name for name in names if not name.startswith(".")]
    return sorted(paths)


def _check(
    files: list[Path], size: tuple[int, int] | None, config: DataConfig, channels: int
) -> tuple[list[Path], tuple[int, int] | None, str]:
    """The usable files, their common size, and a sentence about the others.

    Reads every file's header; with `skip_bad` decodes every file, since images must be counted before the first one is used.
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
    return good, size, _summary(bad, len(files))


def _summary(bad: dict[str, list[str]], count: int) -> str:
    """A sentence about skipped files: for each reason, the first one's name and how many more there are."""
    if not bad:
        return ""
    names = {reason: sorted(files) for reason, files in bad.items()}
    reasons = [f"{first}{f' (and {len(more)} more)' * bool(more)} {reason}" for reason, (first, *more) in names.items()]
    return f"skipped {sum(map(len, bad.values()))} of {count} files: {'; '.join(sorted(reasons))}."


def _first_size(files: list[Path]) -> tuple[int, int] | None:
    for path in files:
        try:
            return read_size(path)
        except InputError:
            continue
    return None


def _read_files(
    numbers: Integer[np.ndarray, " B"], *, files: list[Path], size: tuple[int, int], channels: int
) -> UInt8[np.ndarray, "B H W C"]:
    images = []
    for number in numbers:
        try:
            images.append(decode(files[number], channels=channels, size=size))
        except InputError as error:
            raise InputError(f"{files[number]} {error}. data.skip_bad=True leaves such files out.") from None
    return np.stack(images)
