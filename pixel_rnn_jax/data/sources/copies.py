"""Files of the same bytes, which must not fall on both sides of a split."""

import collections
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from pixel_rnn_jax.progress import progress_bar

ENDING_BYTES = 4096


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
