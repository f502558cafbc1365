"""Files that commands write: types of the flags that name them, and writing them whole.

Each gets its name when it is complete.
"""

import argparse
import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pixel_rnn_jax.paths import is_remote, write_whole


def output_file(*endings: str) -> Callable[[str], Path]:
    """An argparse type: a file of one of these endings, in a folder that exists."""

    def check(path: str) -> Path:
        file = writable_file(path)
        if file.suffix.lower() not in endings:
            raise argparse.ArgumentTypeError(f"{path!r} must end in {' or '.join(endings)}")
        if not file.resolve().parent.is_dir():
            raise argparse.ArgumentTypeError(f"{path!r} must be a file in a folder that exists")
        return file

    return check


def writable_file(path: str) -> Path:
    """An argparse type: a file that can be written, in a folder that exists or can be made."""
    file = _local(path)
    try:
        real = file.resolve()  # what a link leads to is what is written
        is_made = real.is_file() or not real.exists()  # and not a pipe, for instance
        writable = os.access(real, os.W_OK) if real.exists() else True
        possible = not real.is_dir() and writable and (not is_made or _can_be_written(real.parent))
    except (OSError, RuntimeError):  # links in a circle
        possible = False
    if not possible:
        raise argparse.ArgumentTypeError(f"{path!r} must be a file that can be written")
    return file


def output_folder(path: str) -> Path:
    """An argparse type: a folder that can be written to, and that exists or can be made."""
    folder = _local(path)
    if not _can_be_written(folder.absolute()):
        raise argparse.ArgumentTypeError(f"{path!r} must be a folder that can be written to")
    return folder


def _local(path: str) -> Path:
    if is_remote(path):
        raise argparse.ArgumentTypeError(f"{path!r} must be on this machine, not at gs://")
    return Path(path)


def _can_be_written(folder: Path) -> bool:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz file of exactly this name, which is there when it is complete."""
    write_whole(path, npz_bytes(**arrays))


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """The bytes of an npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Writes rows, the first of which holds the names of the columns, as a CSV file."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    _write_text(path, file.getvalue())


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Writes a JSON file, and the folder that it is to be in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, [json.dumps(record, indent=2)])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a file of lines."""
    _write_text(path, "".join(f"{line}\n" for line in lines))


def _write_text(path: Path, text: str) -> None:
    write_whole(path, text.encode(errors="surrogateescape"))  # names of files are bytes, of any encoding
