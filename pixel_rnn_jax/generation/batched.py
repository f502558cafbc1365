"""Many images: drawn in batches, each over all devices, with progress."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Float32, Shaped, UInt8

from pixel_rnn_jax.generation.decoding import DecodeState
from pixel_rnn_jax.generation.sampling import Rows, begin_stage, check_completion, draw_row
from pixel_rnn_jax.images import Images
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.models.multi_scale import Stage, stages
from pixel_rnn_jax.parallel.mesh import batch_sharding, batch_spec, fetch, on_shares, replicate
from pixel_rnn_jax.progress import progress_bar


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
    conditions: Conditions = UNCONDITIONAL,
    temperature: float = 1.0,
    batch_size: int,
    mesh: Mesh,
) -> Generated:
    """Does what `complete` does, with the same result (see `sample`), batch by batch.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      key: random key.
      images: integers [N, H, W, C] in [0, levels); values under unknown pixels have no influence.
      known: bool, [H, W] or [N, H, W].
      conditions: what each image is given.
      temperature: divides the logits.
      batch_size: images at a time; rounded up to a multiple of the devices.
      mesh: devices over which a batch is sharded.

    Raises:
      InputError: (a ValueError) if the parameters are of another model, the key is none, shapes or types do not fit, values
        are out of range, or the temperature is not positive.
    """
    known = np.asarray(check_completion(model, params, key, images, known, temperature, conditions))
    images = np.where(known[..., None], images, 0).astype(np.uint8)
    log_probs = np.zeros(images.shape, np.float32)
    count, height = images.shape[:2]
    if not count:
        return Generated(images, log_probs)
    size = -(-min(batch_size, count) // mesh.size) * mesh.size
    params, key = replicate((params, key), mesh)
    firsts = range(0, count, size)
    num_rows = len(firsts) * sum(height // stage.stride for stage in stages(model.config))
    with progress_bar(num_rows, unit="row", description="drawing", delay=2.0, leave=False) as bar:
        for first, stage in itertools.product(firsts, stages(model.config)):
            numbers = np.arange(first, first + size)
            batch_fn = np.minimum(numbers, count - 1)  # the last batch is filled up
            given = jax.tree.map(lambda array, batch_fn=batch_fn: np.asarray(array)[batch_fn], conditions)
            begin, draw = _compiled(stage, mesh)
            batch = jax.device_put((numbers, images[batch_fn], known[batch_fn], given), batch_sharding(mesh))
            state, rows = begin(params, key, *batch)
            drawn = []
            for row in range(height // stage.stride):
                state, of_row = draw(stage.params(params), state, rows, np.int32(row), np.float32(temperature))
                drawn.append(of_row)
                jax.block_until_ready(drawn[-2:][0])  # the device has the next row at hand, but not all of them
                bar.update()
            values, values_log_probs = (
                np.moveaxis(np.stack(of_rows), -1, 0)[: count - first] for of_rows in zip(*fetch(drawn), strict=True)
            )
            place = slice(first, first + size), slice(None, None, stage.stride), slice(None, None, stage.stride)
            images[place] = values
            new = stage.drawn(*values.shape[1:3])[:, :, None]  # what a smaller size has drawn is certain now
            log_probs[place] = np.where(new, values_log_probs, log_probs[place])
    return Generated(images, log_probs)


@functools.cache
def _compiled(stage: Stage, mesh: Mesh) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The start of a stage's batch, and one row of it. Each device works on its share, and need not know of the others."""
    whole, first, second, third, fourth = PartitionSpec(), *map(batch_spec, range(4))
    state = DecodeState(canvas=third, context=third, above=third, row=third, left=second, here=second)
    rows = Rows(images=fourth, known=third, uniform=fourth)

    return (
        jax.jit(
            on_shares(
                functools.partial(begin_stage, stage),
                mesh,
                in_specs=(whole, whole, first, first, first, first),
                out_specs=(state, rows),
            )
        ),
        jax.jit(
            on_shares(
                functools.partial(draw_row, stage.network),
                mesh,
                in_specs=(whole, state, rows, whole, whole),
                out_specs=(state, third),
            ),
            donate_argnums=1,
        ),
    )
