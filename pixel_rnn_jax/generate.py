"""Many images: drawn in batches, each over all devices, with progress."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Float32, Shaped, UInt8

from pixel_rnn_jax.images import Images
from pixel_rnn_jax.incremental import Memory, start
from pixel_rnn_jax.progress import progress_bar
from pixel_rnn_jax.sampling import Rows, check_completion, draw_row, make_rows
from pixel_rnn_jax.sharding import replicated


class Generated(NamedTuple):
    """Images, and how probable each of their sub-pixels was.

    Attributes:
      images: in [0, levels).
      log_probs: log p(x_i | x_<i) at temperature 1, in nats.
    """

    images: UInt8[np.ndarray, "N H W C"]
    log_probs: Float32[np.ndarray, "N H W C"]


def generate(
    model: nn.Module,
    params: Any,
    key: jax.Array,
    images: Images,
    known: Shaped[np.ndarray, "..."],
    *,
    temperature: float = 1.0,
    batch_size: int,
    mesh: Mesh,
) -> Generated:
    """Does what `complete` does, with the same result, batch by batch.

    Args:
      model: a `PixelRNN`.
      params: its parameters.
      key: random key.
      images: integers [N, H, W, C] in [0, levels); values under unknown pixels have no influence.
      known: bool, [H, W] or [N, H, W].
      temperature: divides the logits.
      batch_size: images at a time; rounded up to a multiple of the devices.
      mesh: devices over which a batch is sharded.

    Raises:
      InputError: (a ValueError) if shapes or types do not fit, or the temperature is not positive.
    """
    known = np.asarray(check_completion(model, images, known, temperature))
    images = np.where(known[..., None], images, 0).astype(np.uint8)
    count, height = images.shape[:2]
    if not count:
        return Generated(images, np.zeros(images.shape, np.float32))
    size = -(-min(batch_size, count) // mesh.size) * mesh.size
    params = jax.device_put(params, replicated(mesh))
    begin, draw = _compiled(model, mesh)
    batches = []
    with progress_bar(-(-count // size) * height, unit="row", description="drawing", delay=2.0, leave=False) as bar:
        for first in range(0, count, size):
            numbers = np.arange(first, first + size)
            of_batch = np.minimum(numbers, count - 1)  # the last batch is filled up, and cut later
            memory, rows = begin(params, key, numbers, images[of_batch], known[of_batch])
            drawn = []
            for row in range(height):
                memory, of_row = draw(params, memory, rows, np.int32(row), np.float32(temperature))
                drawn.append(of_row)
                jax.block_until_ready(drawn[-2:][0])  # the device has the next row at hand, but not all of them
                bar.update()
            batches.append(jax.tree.map(lambda *of_rows: np.moveaxis(np.stack(of_rows), -1, 0), *drawn))
    return Generated(*(np.concatenate(arrays)[:count] for arrays in zip(*batches, strict=True)))


@functools.cache
def _compiled(model: nn.Module, mesh: Mesh) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The start of a batch, and one row of it. Each device works on its share, and need not know of the others."""
    whole, first, second, third, fourth = PartitionSpec(), *(PartitionSpec(*(None,) * axis, "data") for axis in range(4))
    memory = Memory(canvas=third, above=third, row=third, left=second, here=second)
    rows = Rows(images=fourth, known=third, uniform=fourth)

    def begin(params: Any, key: jax.Array, numbers: Any, images: Any, known: Any) -> tuple[Memory, Rows]:
        return start(model, params, images.shape[:3]), make_rows(key, numbers, images, known)

    # JAX's check of what varies over devices would ask for annotations in the loops.
    shard = functools.partial(jax.shard_map, mesh=mesh, check_vma=False)
    return (
        jax.jit(shard(begin, in_specs=(whole, whole, first, first, first), out_specs=(memory, rows))),
        jax.jit(
            shard(
                functools.partial(draw_row, model),
                in_specs=(whole, memory, rows, whole, whole),
                out_specs=(memory, third),
            ),
            donate_argnums=1,
        ),
    )
