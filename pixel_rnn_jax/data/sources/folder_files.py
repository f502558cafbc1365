"""The files below a folder, and which of its subfolders are splits."""

import collections
import os
from collections.abc import Sequence
from pathlib import Path

from pixel_rnn_jax.data.sources.source import by_split
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.distributed import tell

# Of files that people call pictures, whether we read them or not.
ENDINGS = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"),
    *(".jxl", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".psd", ".ico", ".svg"),
)
SHOWN = 5  # names in a message, at most


def is_picture(path: Path) -> bool:
    """Whether the name of a file is that of a picture, whether we read its kind or not."""
    return path.suffix.lower() in ENDINGS


def some(names: Sequence[str]) -> str:
    """The first of these names, for a message."""
    return "; ".join(names[:SHOWN]) + "; …" * (len(names) > SHOWN)


def split_folders(folder: Path) -> dict[str, Path]:
    """The folder of each split, if the subfolders are splits; otherwise the folder itself, for training."""
    visible = sorted(folder.glob("[!.]*"))
    folders = [path.name for path in visible if path.is_dir()]
    splits = by_split(folders, folder)
    if not splits:
        return {"train": folder}
    pictures = [path.name for path in visible if is_picture(path)]
    if "train" not in splits or len(splits) < len(folders) or pictures:
        raise InputError(
            f"{folder} must hold the folders train, validation and test (the last two are optional) and no other folders or"
            f" pictures, if its folders are splits; got {', '.join(sorted({*folders, *pictures}))}."
        )
    meant = (name if name == split else f"{name} ({split})" for split, name in splits.items())
    tell(f"{folder}: its folders are taken as splits: {', '.join(meant)}")
    return {split: folder / name for split, name in splits.items()}


def check_no_splits_below(folder: Path, files: list[Path]) -> None:
    """Raises `InputError` if there are splits further down, whose test images would be trained on."""
    below = collections.defaultdict(set)
    for path in {file.parent.relative_to(folder) for file in files}:
        for name in (path, *path.parents)[:-1]:
            below[folder / name.parent].add(name.name)
    for parent, names in below.items():
        splits = by_split(sorted(names), parent)
        if "train" in splits and len(splits) > 1:
            raise InputError(
                f"{parent} holds {' and '.join(splits.values())}, which would be mixed: name the folder that holds the splits,"
                " or rename them if they are none."
            )


def files_below(folder: Path) -> list[Path]:
    """All files below a folder that are not hidden, sorted; broken links are among them.

    Links are followed, but each real folder and file comes once: by its own name, if it has one below this folder.
    """
    files, links, seen = {}, [], set()
    folders = collections.deque([folder])
    while folders:
        here = folders.popleft()
        real = os.path.realpath(here)
        if real in seen:
            continue
        seen.add(real)
        for path in sorted(here.glob("[!.]*")):
            if path.is_dir():
                (folders.append if path.is_symlink() else folders.appendleft)(path)
            elif path.is_symlink():
                links.append(path)
            else:
                files[os.path.join(real, path.name)] = path
    for path in links:
        files.setdefault(os.path.realpath(path), path)
    return sorted(files.values())
