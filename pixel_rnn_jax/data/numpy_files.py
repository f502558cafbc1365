"""Reads NumPy's npz and npy files, without unpickling anything."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pixel_rnn_jax.errors import InputError, damage_as


def load_npz(path: Path, wanted: Collection[str]) -> tuple[dict[str, Shaped[np.ndarray, "..."]], list[str]]:
    """The wanted arrays that an npz file holds, by name; and the names of all its arrays."""
    # `np.load` would take a file of another kind for a pickle.
    with (
        damage_as(f"{path} is damaged or no npz file of plain arrays"),
        path.open("rb") as file,
        np.lib.npyio.NpzFile(file, allow_pickle=False) as content,
    ):
        names = list(content)
        arrays = {name: content[name] for name in names if name in wanted}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # the bytes of a file in the archive that is no npy file
            raise InputError(f"{path} must hold {name} as an array, as np.savez writes it; it holds a file of another kind.")
    return arrays, names


def load_npy(path: Path, *, mmap: bool = False) -> Shaped[np.ndarray, "..."]:
    """The array of an npy file; with `mmap`, mapped into memory, so that only the parts in use are read."""
    with damage_as(f"{path} is damaged or no npy file of a plain array"):
        array = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} must be an npy file of one array; it is an npz file.")
    return array
