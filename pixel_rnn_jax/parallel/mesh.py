"""The device mesh, and how batches and training states are sharded over its axes "data" and "fsdp".

Every device works on its share of the batch. The arrays that last from step to step (parameters, their average, the
optimiser's state) are replicated along "data" and sharded along "fsdp". Computations on images run on each device by itself,
under `on_shares`. For the rest `jax.jit` derives the collectives from the shardings of inputs and outputs.
"""

import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from pixel_rnn_jax.errors import InputError, check_integer

AXES = ("data", "fsdp")
IMAGES_PER_DEVICE = 4  # at least, in a batch to score


def make_mesh(data: int = -1, fsdp: int = 1, *, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Makes a mesh with axes of these lengths, by default of all devices of all processes. -1 takes what there is.

    Raises:
      InputError: if the number of devices does not fit.
    """
    check_integer("mesh.fsdp", fsdp, 1)
    check_integer("mesh.data", data, -1)
    # In the order of processes, so that a process's share of a batch is one slice, and "fsdp" runs over devices of one host.
    devices = sorted(devices or jax.devices(), key=lambda device: (device.process_index, device.id))
    count = len(devices)
    devices_by_process = Counter(device.process_index for device in devices)
    if len(set(devices_by_process.values())) > 1:
        raise InputError(f"all processes must have the same number of devices; got {dict(devices_by_process)}.")
    if count % fsdp:
        raise InputError(f"mesh.fsdp must divide {count}, the number of devices; got {fsdp}.")
    if data not in (-1, count // fsdp):
        raise InputError(
            f"mesh.data must be {count // fsdp} with mesh.fsdp={fsdp} on {count} device{'s' * (count > 1)}, or -1; got {data}."
            " JAX_NUM_CPU_DEVICES=N makes N devices of a CPU."
        )
    return Mesh(np.array(devices).reshape(-1, fsdp), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def platform_of(mesh: Mesh) -> str:
    """The platform of a mesh's devices, such as "cpu"."""
    return mesh.devices.flat[0].platform


def batch_spec(axis: int = 0) -> PartitionSpec:
    """Shards one axis, by default the leading one, over all devices."""
    return PartitionSpec(*(None,) * axis, AXES)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Shards the leading axis over all devices."""
    return NamedSharding(mesh, batch_spec())


def on_shares(function: Callable[..., Any], mesh: Mesh, *, in_specs: Any, out_specs: Any) -> Callable[..., Any]:
    """Turns a function of shards, which runs on every device, into a function of whole arrays."""
    # JAX's check of what varies over devices would require annotations in the loops.
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def replicated(mesh: Mesh) -> NamedSharding:
    """Puts the whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def state_sharding(state: Any, mesh: Mesh) -> Any:
    """Shards the longest divisible axis of each array along "fsdp"; arrays without one are replicated."""
    shards = mesh.shape["fsdp"]

    def leaf_sharding(leaf: Any) -> NamedSharding:
        divisible = [axis for axis, length in enumerate(leaf.shape) if length and length % shards == 0]
        if shards == 1 or not divisible:
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
        times = f" times {microbatches} microbatches" if microbatches > 1 else ""
        raise InputError(f"batch_size (={batch_size}) must be a multiple of the {mesh.size} devices{times}: {near}.")


def scoring_batch_size(asked: int | None, training_batch_size: int, mesh: Mesh, *, area: float = 1.0) -> int:
    """The number of images to score at a time: as asked, else about as many as in training, and a few for each device.

    Of images larger than those of the training, fewer are scored at a time; `area` is an image's, in training images.
    """
    if asked is None:
        usual = max(training_batch_size, IMAGES_PER_DEVICE * mesh.size)
        return next_multiple(math.ceil(usual / max(area, 1)), mesh.size)
    check_batch_size(asked, mesh)
    return asked


def busy_devices(mesh: Mesh, images: int) -> Mesh:
    """The mesh; or as many of its devices as there are images, so that none computes copies only.

    Several processes must all take part, and keep the whole mesh.
    """
    if images >= mesh.size or jax.process_count() > 1:
        return mesh
    return make_mesh(devices=mesh.devices.flat[: max(images, 1)].tolist())


def next_multiple(number: int, divisor: int) -> int:
    """The smallest multiple of the divisor that is not below the number."""
    return -(-number // divisor) * divisor


def process_share(batch_size: int) -> slice:
    """The rows of a batch that this process must provide, for its own devices."""
    process, count = jax.process_index(), jax.process_count()
    return slice(process * batch_size // count, (process + 1) * batch_size // count)


def shard_batch(batch: Any, mesh: Mesh) -> Any:
    """Puts a batch on the devices, sharded by its leading axis, from this process's share: a tree of host arrays."""
    sharding = batch_sharding(mesh)
    return jax.tree.map(lambda array: jax.make_array_from_process_local_data(sharding, np.asarray(array)), batch)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Puts a tree of arrays, which must be the same in every process, on each device of the mesh."""
    return jax.tree.map(functools.partial(_replicate, sharding=replicated(mesh)), tree)


def _replicate(array: Any, sharding: NamedSharding) -> jax.Array:
    if sharding.is_fully_addressable or not isinstance(array, jax.Array) or not array.is_fully_addressable:
        return jax.device_put(array, sharding)
    # Arrays on this process's devices reach those of other processes through the host, which random keys cannot.
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return _whole(sharding)(array)
    return jax.device_put(np.asarray(array), sharding)


def fetch(tree: Any) -> Any:
    """Returns the arrays of a tree as whole NumPy arrays, in every process."""
    return jax.tree.map(_fetch, tree)


def _fetch(array: Any) -> np.ndarray:
    if isinstance(array, jax.Array) and not array.is_fully_addressable and not array.is_fully_replicated:
        array = _whole(replicated(array.sharding.mesh))(array)
    return np.asarray(array)


@functools.cache
def _whole(sharding: NamedSharding) -> Callable[[jax.Array], jax.Array]:
    return jax.jit(lambda array: array, out_shardings=sharding)
