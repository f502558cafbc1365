"""How batches and training states lie on devices: a mesh with the axes "data" and "fsdp".

Every device works on its share of the batch. The arrays that last from step to step (parameters, their average, the
optimiser's state) are whole on each device along "data", and cut into pieces along "fsdp". What concerns images runs under
`on_shares`, each device by itself; the rest is JAX's: `jax.jit` sees the shardings of what goes in and out, and
adds the collectives.
"""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from pixel_rnn_jax.errors import InputError, check_integer

AXES = ("data", "fsdp")


def make_mesh(data: int = -1, fsdp: int = 1, *, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of devices.

    Args:
      data: length of the axis "data"; -1: as many as there are devices for.
      fsdp: length of the axis "fsdp".
      devices: those that it consists of; all, of all processes, if not given.

    Raises:
      InputError: if the devices do not make up such a mesh.
    """
    check_integer("mesh.fsdp", fsdp, 1)
    check_integer("mesh.data", data, -1)
    # Process by process: so a process's share of a batch is one slice of it, and pieces along "fsdp" have short ways.
    devices = sorted(devices or jax.devices(), key=lambda device: (device.process_index, device.id))
    count = len(devices)
    devices_by_process = Counter(device.process_index for device in devices)
    if len(set(devices_by_process.values())) > 1:
        raise InputError(f"all processes must have as many devices; got {dict(devices_by_process)}.")
    if count % fsdp:
        raise InputError(f"mesh.fsdp must be a divisor of {count}, the number of devices; got {fsdp}.")
    if data not in (-1, count // fsdp):
        raise InputError(
            f"mesh.data must be {count // fsdp} with mesh.fsdp={fsdp} on {count} devices, or -1 for what there is; got {data}."
        )
    return Mesh(np.array(devices).reshape(-1, fsdp), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def batch_spec(axis: int = 0) -> PartitionSpec:
    """An axis, the leading one if not given, is cut over all devices."""
    return PartitionSpec(*(None,) * axis, AXES)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis is cut over all devices."""
    return NamedSharding(mesh, batch_spec())


def on_shares(function: Callable[..., Any], mesh: Mesh, *, in_specs: Any, out_specs: Any) -> Callable[..., Any]:
    """Runs a function on every device, on the pieces of the arguments that lie there.

    Args:
      function: of pieces.
      mesh: the devices.
      in_specs: how each argument is cut, a `PartitionSpec` (or a tree of such) for each.
      out_specs: how the results are put together.

    Returns:
      The function of whole arrays.
    """
    # JAX's check of what varies over devices would ask for annotations in the loops.
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def state_sharding(state: Any, mesh: Mesh) -> Any:
    """For each array of a tree, the sharding that cuts its longest axis along "fsdp"; whole, if no axis can be divided.

    Args:
      state: a tree of arrays, or of their shapes.
      mesh: the devices.
    """
    pieces = mesh.shape["fsdp"]

    def leaf_sharding(leaf: Any) -> NamedSharding:
        divisible = [axis for axis, length in enumerate(leaf.shape) if length and length % pieces == 0]
        if pieces == 1 or not divisible:
            return replicated(mesh)
        longest = max(divisible, key=lambda axis: (leaf.shape[axis], axis))
        return NamedSharding(mesh, PartitionSpec(*(None,) * longest, "fsdp"))

    return jax.tree.map(leaf_sharding, state)


def check_batch_size(batch_size: int, mesh: Mesh, *, microbatches: int = 1) -> None:
    """Raises `InputError` unless the batch splits evenly over the devices of a mesh and the microbatches of each device."""
    divisor = mesh.size * microbatches
    if batch_size < 1 or batch_size % divisor:
        below = batch_size // divisor * divisor
        near = " or ".join(str(size) for size in (below, below + divisor) if size > 0)
        of = (
            f"{divisor} ({mesh.size} devices times {microbatches} microbatches)"
            if microbatches > 1
            else f"the {divisor} devices"
        )
        raise InputError(f"batch_size (={batch_size}) must be a multiple of {of}: {near}.")


def process_share(batch_size: int) -> slice:
    """The rows of a batch that this process provides: those of its devices."""
    process, count = jax.process_index(), jax.process_count()
    return slice(process * batch_size // count, (process + 1) * batch_size // count)


def shard_batch(batch: Any, mesh: Mesh) -> Any:
    """Puts a batch onto the devices of the mesh: of a tree of host arrays, this process's share, the leading axis is cut."""
    sharding = batch_sharding(mesh)
    return jax.tree.map(lambda array: jax.make_array_from_process_local_data(sharding, np.asarray(array)), batch)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Puts a tree of arrays, the same ones in every process, onto each device of the mesh."""
    return jax.tree.map(functools.partial(_replicate, sharding=replicated(mesh)), tree)


def _replicate(array: Any, sharding: NamedSharding) -> jax.Array:
    if sharding.is_fully_addressable or not isinstance(array, jax.Array) or not array.is_fully_addressable:
        return jax.device_put(array, sharding)
    # From this process's own devices onto those of all processes: by way of the host, which random keys cannot take.
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return _whole(sharding)(array)
    return jax.device_put(np.asarray(array), sharding)


def fetch(tree: Any) -> Any:
    """The arrays of a tree as whole NumPy arrays, in every process."""
    return jax.tree.map(_fetch, tree)


def _fetch(array: Any) -> np.ndarray:
    if isinstance(array, jax.Array) and not array.is_fully_addressable and not array.is_fully_replicated:
        array = _whole(replicated(array.sharding.mesh))(array)
    return np.asarray(array)


@functools.cache
def _whole(sharding: NamedSharding) -> Callable[[jax.Array], jax.Array]:
    return jax.jit(lambda array: array, out_shardings=sharding)
