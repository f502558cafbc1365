"""Image-folder source."""

import functools
import glob
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.decode import MODES, check_large_enough, decode, other_size, read_size
from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.data.sources.source import SPLITS, Source
from pixel_rnn_jax.errors import InputError, about
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.parallel.distributed import is_main
from pixel_rnn_jax.paths import in_data_dir, local_copy
from pixel_rnn_jax.progress import progress_bar

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
SHOWN = 5  # of the files that `skip_bad` leaves out
HINT = "data.skip_bad=True (of an --input, --skip_bad) leaves such files out."


def read_folder(argument: str, config: DataConfig, model: ModelConfig) -> Source:
    """All PNG, JPEG and WebP files under a folder.

    Its subfolders train, validation and test are the splits, if it has any of these. Otherwise all files are for training, in
    an order shuffled once and for all, so that a validation split carved from the end has images of every subfolder. A file's
    class is the subfolder that it is in (of the folder, or of the split's folder); classes are numbered by name.
    """
    folder = local_copy(in_data_dir(config.data_dir, argument)) if argument else Path()
    if not argument or not folder.is_dir():
        raise InputError(
            f"data.source 'folder:PATH' must name a folder; got {argument!r} (looked at {str(folder.resolve())!r})."
        )
    channels = model.channels
    if channels not in MODES:
        raise InputError(f"model.channels must be 1 (grey) or 3 (colour) for image files; got {channels}.")
    images, used, size = {}, {}, config.size
    for split, files in _files_by_split(folder).items():
        used[split], size, skipped = _usable(files, size, config, channels)
        if skipped and is_main():
            shown = "; ".join(sorted(skipped)[:SHOWN]) + "; …" * (len(skipped) > SHOWN)
            print(f"{folder}, {split}: skipped {len(skipped)} of {len(files)} files: {shown}", file=sys.stderr)
        if not used[split]:
            raise InputError(f"{folder} must hold PNG, JPEG or WebP images; there is none for {split}.")
        read = functools.partial(_read_files, files=used[split], size=size, channels=channels)
        images[split] = LazyImages(read, np.arange(len(used[split])), (*size, channels))
    labels, classes = _read_labels(folder, used) if model.num_classes else ({}, None)
    return Source(
        images,
        levels=256,
        labels=labels,
        classes=classes,
        names={split: [str(path.relative_to(folder)) for path in files] for split, files in used.items()},
    )


def _read_labels(folder: Path, files: dict[str, list[Path]]) -> tuple[dict[str, Integer[np.ndarray, " _"]], tuple[str, ...]]:
    """The labels by split, and the names of the classes, which are those of the training files."""
    by_split = {}
    for split, paths in files.items():  # the training split comes first
        root = folder / split if (folder / split).is_dir() else folder
        loose = [path.name for path in paths if path.parent == root]
        if loose:
            raise InputError(
                f"{root} must hold a folder for each class, for a class-conditional model; {loose[0]} is in none."
            )
        by_split[split] = [path.relative_to(root).parts[0] for path in paths]
        names = sorted(set(by_split["train"]))
        unknown = sorted(set(by_split[split]) - set(names))
        if unknown:
            raise InputError(f"{folder}: the classes of {split} must be among {', '.join(names)}; got {', '.join(unknown)}.")
    return {split: np.searchsorted(names, of_files) for split, of_files in by_split.items()}, tuple(names)


def _files_by_split(folder: Path) -> dict[str, list[Path]]:
    names = {path.name for path in folder.glob("[!.]*") if path.is_dir()}
    if not names & set(SPLITS):
        files = files_below(folder)
        return {"train": [files[number] for number in np.random.default_rng(0).permutation(len(files))]}
    pictures = {path.name for path in folder.glob("[!.]*") if path.suffix.lower() in ENDINGS}
    if "train" not in names or not names | pictures <= set(SPLITS):
        raise InputError(
            f"{folder} must hold the folders train, validation and test (the last two are optional) and no other folders or"
            f" pictures, if its folders are splits; got {', '.join(sorted(names | pictures))}."
        )
    return {split: files_below(folder / split) for split in SPLITS if split in names}


def files_below(folder: Path) -> list[Path]:
    """All files below a folder that are not hidden, sorted; links to folders are followed, broken links are among them."""
    paths = (folder / name for name in glob.iglob("**", root_dir=folder, recursive=True))
    return sorted(path for path in paths if not path.is_dir())


def _usable(
    files: list[Path], size: tuple[int, int] | None, config: DataConfig, channels: int
) -> tuple[list[Path], tuple[int, int] | None, list[str]]:
    """The usable files, their common size, and a line about each other file.

    Reads every file's header; with `skip_bad` decodes every file, since images must be counted before the first one is used.
    """

    def look(path: Path) -> tuple[tuple[int, int] | None, str]:
        try:
            stored = read_size(path)
            if config.size is not None:
                check_large_enough(stored, config.size)
            if config.skip_bad:
                decode(path, channels=channels)
        except InputError as error:
            return None, str(error)
        return config.size or stored, ""

    good, bad = [], []
    with (
        ThreadPoolExecutor(config.num_threads) as threads,
        progress_bar(len(files), unit="file", description="looking at the files", delay=2.0) as bar,
    ):
        for path, (stored, fault) in zip(files, threads.map(look, files), strict=True):
            size = size or stored  # that of the first usable file
            fault = fault or (other_size(stored, size) if stored != size else "")
            if not fault:
                good.append(path)
            elif config.skip_bad:
                bad.append(f"{path.name} {fault}")
            else:
                threads.shutdown(cancel_futures=True)
                raise InputError(f"{path} {fault}. {HINT}")
            bar.update()
    return good, size, bad


def _read_files(
    numbers: Integer[np.ndarray, " B"], *, files: list[Path], size: tuple[int, int], channels: int
) -> UInt8[np.ndarray, "B H W C"]:
    images = []
    for number in numbers:
        with about(str(files[number]), f". {HINT}"):
            images.append(decode(files[number], channels=channels, size=size))
    return np.stack(images)
