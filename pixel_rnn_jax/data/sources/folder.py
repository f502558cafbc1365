"""Image-folder source."""

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.decode import MODES, check_large_enough, decode, other_size, read_size
from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.data.sources.copies import apart
from pixel_rnn_jax.data.sources.folder_files import check_no_splits_below, files_below, some, split_folders
from pixel_rnn_jax.data.sources.source import Source
from pixel_rnn_jax.errors import InputError, about
from pixel_rnn_jax.images import value_type
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.parallel.distributed import tell
from pixel_rnn_jax.paths import in_data_dir, local_copy
from pixel_rnn_jax.progress import progress_bar

HINT = "data.skip_bad=True (of an --input, --skip_bad) leaves such files out."


def read_folder(argument: str, config: DataConfig, model: ModelConfig) -> Source:
    """All PNG, JPEG, WebP and TIFF files under a folder; links are followed, but each real file is read once.

    Its subfolders train, validation and test (also Training, val and so on) are the splits, if it has any of these. Otherwise
    all files are for training. A file's class is the subfolder that it is in (of the folder, or of the split's folder);
    classes are numbered by name.
    """
    folder = local_copy(in_data_dir(config.data_dir, argument)) if argument else Path()
    if not argument or not folder.is_dir():
        raise InputError(
            f"data.source 'folder:PATH' must name a folder; got {argument!r} (looked at {str(folder.resolve())!r})."
        )
    channels, levels = model.channels, max(config.source_levels or model.levels, 256)
    _check_channels(channels, config.alpha)
    used, size, roots = {}, config.size, split_folders(folder)
    for split, root in roots.items():
        files = files_below(root)
        if root == folder:
            check_no_splits_below(folder, files)
        used[split], size, skipped = _usable(files, size, config, channels, levels)
        if skipped:
            names = [f"{path.relative_to(folder)} {fault}" for path, fault in skipped]
            tell(f"{folder}, {split}: skipped {len(skipped)} of {len(files)} files: {some(names)}")
        if not used[split]:
            raise InputError(f"{folder} must hold PNG, JPEG, WebP or TIFF images; there is none for {split}.")
    used, copies = apart(folder, used, config.num_threads)
    labels, classes = _read_labels(folder, roots, used) if model.num_classes else ({}, None)
    form = {"channels": channels, "size": config.size, "alpha": config.alpha, "levels": levels}
    read = functools.partial(_read_files, size=size, form=form)
    return Source(
        {
            split: LazyImages(
                functools.partial(read, files=files), np.arange(len(files)), (*size, channels), value_type(levels)
            )
            for split, files in used.items()
        },
        levels=levels,
        labels=labels,
        classes=classes,
        names={split: np.array([str(path.relative_to(folder)) for path in files], object) for split, files in used.items()},
        copies=copies,
    )


def _check_channels(channels: int, alpha: str) -> None:
    if channels not in MODES:
        choices = "1 (grey), 3 (colour) or 4 (with transparency)"
        raise InputError(f"model.channels must be {choices} for image files; got {channels}.")
    if channels == 4 and alpha != "error":
        raise InputError(f"data.alpha must be 'error' with 4 channels, which keep transparency; got {alpha!r}.")


def _read_labels(
    folder: Path, roots: dict[str, Path], files: dict[str, list[Path]]
) -> tuple[dict[str, Integer[np.ndarray, " _"]], tuple[str, ...]]:
    """The labels by split, and the names of the classes, which are those of the training files."""
    found = {}
    for split, paths in files.items():  # the training split comes first
        root = roots[split]
        loose = [path.name for path in paths if path.parent == root]
        if loose:
            raise InputError(
                f"{root} must hold a folder for each class, for a class-conditional model; {loose[0]} is in none."
            )
        found[split] = [path.relative_to(root).parts[0] for path in paths]
        names = sorted(set(found["train"]))
        unknown = sorted(set(found[split]) - set(names))
        if unknown:
            raise InputError(f"{folder}: the classes of {split} must be among {', '.join(names)}; got {', '.join(unknown)}.")
    return {split: np.searchsorted(names, of_files) for split, of_files in found.items()}, tuple(names)


def _usable(
    files: list[Path], size: tuple[int, int] | None, config: DataConfig, channels: int, levels: int
) -> tuple[list[Path], tuple[int, int] | None, list[tuple[Path, str]]]:
    """The usable files, their common size, and the other files, each with what is wrong with it.

    Reads every file's header; with `skip_bad` decodes every file, since images must be counted before the first one is used.
    """

    def look(path: Path) -> tuple[tuple[int, int] | None, str]:
        try:
            if config.skip_bad:
                stored = decode(path, channels=channels, alpha=config.alpha, levels=levels).shape[:2]
            else:
                stored = read_size(path, levels)
            if config.size is not None:
                check_large_enough(stored, config.size)
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
                bad.append((path, fault))
            else:
                threads.shutdown(cancel_futures=True)
                raise InputError(f"{path} {fault}. {HINT}")
            bar.update()
    return good, size, bad


def _read_files(
    numbers: Integer[np.ndarray, " B"], *, files: list[Path], size: tuple[int, int], form: dict[str, Any]
) -> UInt[np.ndarray, "B H W C"]:
    images = []
    for number in numbers:
        with about(str(files[number]), f". {HINT}"):
            image = decode(files[number], **form)
            if image.shape[:2] != size:  # of a header that does not tell how its picture is turned
                raise InputError(other_size(image.shape[:2], size))
            images.append(image)
    return np.stack(images)
