"""How batches and parameters lie on the devices: data parallelism over all that are present.

The rest is JAX's: `jax.jit` sees the shardings of what it is given, and adds the collectives.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from pixel_rnn_jax.errors import InputError


def make_mesh() -> Mesh:
    """A mesh of all devices present, with the one axis "data"."""
    return Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis is cut along the data axis of the mesh."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Raises `InputError` unless the devices of the mesh divide the batch."""
    if batch_size < 1 or batch_size % mesh.size:
        near = max(batch_size // mesh.size, 1) * mesh.size
        raise InputError(f"batch_size (={batch_size}) must be a multiple of the {mesh.size} devices, for instance {near}.")


def shard_batch(batch: Any, mesh: Mesh) -> Any:
    """Puts a batch (a tree of host arrays with a common leading axis) onto the devices of the mesh."""
    return jax.device_put(batch, batch_sharding(mesh))
