"""NumPy's own files, of which nothing is unpickled."""

import contextlib
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pixel_rnn_jax.errors import InputError, is_of_the_machine, one_line


def load_npz(path: Path, wanted: Collection[str]) -> tuple[dict[str, Shaped[np.ndarray, "..."]], list[str]]:
    """Those of the wanted arrays that an npz file holds, by name; and the names of all that it holds.

    Raises:
      InputError: if the file is damaged, or none of plain arrays.
    """
    with (
        _named_damage(path, "npz file of plain arrays"),
        path.open("rb") as file,
        zipfile.ZipFile(file),
    ):
        file.seek(0)  # NumPy tells the kind of file by the bytes that come next; ZipFile has stopped behind the directory
        with np.load(file, allow_pickle=False) as content:
            names = list(content)
            arrays = {name: content[name] for name in names if name in wanted}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InputError(f"{path} must hold {name} as an array, as np.savez writes it; it holds a file of another kind.")
    return arrays, names


def load_npy(path: Path, *, mmap: bool = False) -> Shaped[np.ndarray, "..."]:
    """The array of an npy file; with `mmap`, of which only those parts are read that are used.

    Raises:
      InputError: if the file is damaged, or none of a plain array.
    """
    with _named_damage(path, "npy file of a plain array"):
        array = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} must be an npy file of one array; it is an npz file.")
    return array


@contextlib.contextmanager
def _named_damage(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of many kinds: by NumPy, zipfile, zlib and tokenize
        if is_of_the_machine(error):
            raise
        raise InputError(f"{path} is damaged or no {kind} ({one_line(error)}).") from None
