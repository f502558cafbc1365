"""Files of the same bytes, which must not fall on both sides of a split."""

import collections
import hashlib
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.distributed import tell
from pixel_rnn_jax.progress import progress_bar

ENDING_BYTES = 4096


def apart(
    folder: Path, files: dict[str, list[Path]], num_threads: int
) -> tuple[dict[str, list[Path]], Integer[np.ndarray, " _"]]:
    """The files by split, the same bytes only in the last split that has them; and `Source.copies` of the training files."""
    numbers = iter(first_copies(list(itertools.chain(*files.values())), num_threads).tolist())
    contents = {split: list(itertools.islice(numbers, len(paths))) for split, paths in files.items()}
    kept, later = {}, set()
    for split in reversed(files):
        kept[split] = [path for path, content in zip(files[split], contents[split], strict=True) if content not in later]
        contents[split] = [content for content in contents[split] if content not in later]
        later.update(contents[split])
        left_out = len(files[split]) - len(kept[split])
        if left_out:
            tell(f"{folder}, {split}: left out {left_out} of {len(files[split])} files, copies of which are in a later split")
        if not kept[split]:
            raise InputError(f"{folder}: {split} must hold files that are in no later split; there is none.")
    copies = len(contents["train"]) - len(set(contents["train"]))
    if copies:
        tell(
            f"{folder}, train: {copies} of {len(kept['train'])} files are copies of others, with which they stay in one split"
        )
    return {split: kept[split] for split in files}, np.array(contents["train"])


def first_copies(files: Sequence[Path], num_threads: int) -> Integer[np.ndarray, " N"]:
    """For each file, the number of the first one with the same bytes: its own, if there is none before.

    Only files alike in size and ending are read whole.
    """
    keys = [()] * len(files)
    with ThreadPoolExecutor(num_threads) as threads:
        for look in (os.path.getsize, _ending, _digest):
            counts = collections.Counter(keys)
            alike = [number for number, key in enumerate(keys) if counts[key] > 1]
            values = threads.map(look, [files[number] for number in alike])
            with progress_bar(len(alike), unit="file", description="looking for copies", delay=2.0, leave=False) as bar:
                for number, value in zip(alike, values, strict=True):
                    keys[number] += (value,)
                    bar.update()
    first = {}
    return np.array([first.setdefault(key, number) for number, key in enumerate(keys)], int)


def _ending(path: Path) -> bytes:
    """The last bytes, in which compressed pictures of one size differ."""
    with path.open("rb") as file:
        file.seek(-min(ENDING_BYTES, path.stat().st_size), os.SEEK_END)
        return file.read()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
