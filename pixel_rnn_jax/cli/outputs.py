"""Files that commands write: types of the flags that name them, and functions that write them.

A file gets its name only when it is complete.
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

from pixel_rnn_jax.data import DataConfig
from pixel_rnn_jax.evaluation.score import Score
from pixel_rnn_jax.paths import as_path, is_remote, write_whole


def output_file(*endings: str) -> Callable[[str], Path]:
    """An argparse type: a file with one of these endings, in an existing folder."""

    def check(path: str) -> Path:
        file = writable_file(path)
        if file.suffix.lower() not in endings:
            raise argparse.ArgumentTypeError(f"{path!r} must end in {' or '.join(endings)}")
        if not file.resolve().parent.is_dir():
            raise argparse.ArgumentTypeError(f"{path!r} must be a file in a folder that exists")
        return file

    return check


def writable_file(path: str) -> Path:
    """An argparse type: a file that can be written, in a folder that exists or can be created."""
    file = local_path(path)
    target = Path(os.path.realpath(file))  # a link stays, and its target is written
    is_device = target.exists() and not target.is_file()  # or a pipe: see `write_whole`
    writable = (is_device or _is_writable(target.parent)) and (not target.exists() or os.access(target, os.W_OK))
    if target.is_dir() or not writable:
        raise argparse.ArgumentTypeError(f"{path!r} must be a file that can be written, in a folder that can be written to")
    return file


def output_folder(path: str) -> Path:
    """An argparse type: a folder that can be written to, existing or not."""
    folder = local_path(path)
    if not _is_writable(folder.absolute()):
        raise argparse.ArgumentTypeError(f"{path!r} must be a folder that can be written to")
    return folder


def local_path(path: str) -> Path:
    """An argparse type: a path on this machine."""
    if is_remote(path):
        raise argparse.ArgumentTypeError(f"{path!r} must be on this machine, not at gs://")
    return as_path(path)


def _is_writable(folder: Path) -> bool:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def report(score: Score, data: DataConfig, path: Path | None, **more: Any) -> None:
    """Prints a score as the last line of standard output; writes it and `more` as JSON to a path, if not None."""
    if path is not None:
        write_json(path, {**score.figures, "source": data.source, "treatment": data.preprocessing, **more})
    print(f"{score.num_images} images of {data.source}, {data.preprocessing}")
    print(score)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz file of exactly this name."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    write_whole(path, file.getvalue())


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file; the first row holds the names of the columns."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    _write_text(path, file.getvalue())


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Writes a JSON file, and creates its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, [json.dumps(record, indent=2)])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a file of lines."""
    _write_text(path, "".join(f"{line}\n" for line in lines))


def _write_text(path: Path, text: str) -> None:
    write_whole(path, text.encode(errors="surrogateescape"))  # names of files may be of any encoding
