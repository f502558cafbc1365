"""Many images, drawn in batches over all devices, with a progress bar."""

import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float32, Shaped, UInt

from pixel_rnn_jax.generation.decoding import STATE_BATCH_AXES
from pixel_rnn_jax.generation.sampling import ROWS_BATCH_AXES, begin_stage, check_completion, draw_row, draw_uniform
from pixel_rnn_jax.images import Images, value_type
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.models.multi_scale import Stage, stages
from pixel_rnn_jax.parallel.mesh import (
    batch_sharding,
    batch_spec,
    busy_devices,
    fetch,
    next_multiple,
    on_shares,
    replicate,
    replicated,
)
from pixel_rnn_jax.progress import progress_bar

PIXELS_AT_A_TIME = 2**22  # of a batch; 64 images of 256x256, whose states take some hundred MiB


class Generated(NamedTuple):
    """Images in [0, levels), and log p(x_i | x_<i) of each sub-pixel at temperature 1, in nats."""

    images: UInt[np.ndarray, "N H W C"]
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
    """Keeps the known pixels of images and draws the others, batch by batch, with the result of `sample` up to rounding.

    With `completion_key(key)`, the result is that of `complete`, whose arguments it takes. A batch is never larger than the
    number of images, nor than `PIXELS_AT_A_TIME` allows; it is rounded up to a multiple of the number of devices.
    """
    known = np.asarray(check_completion(model, params, key, images, known, temperature, conditions))
    images = np.where(known[..., None], images, 0).astype(value_type(model.config.levels))
    log_probs = np.zeros(images.shape, np.float32)
    count, height = images.shape[:2]
    if not count:
        return Generated(images, log_probs)
    mesh = busy_devices(mesh, count)
    size = next_multiple(_batch_size(batch_size, images.shape), mesh.size)
    params, key = replicate((params, key), mesh)
    uniform_fn, sharding = _uniform_fn(images.shape[1:], mesh), batch_sharding(mesh)
    firsts = range(0, count, size)
    num_rows = len(firsts) * sum(height // stage.stride for stage in stages(model.config))
    with progress_bar(num_rows, unit="row", description="drawing", delay=2.0, leave=False) as bar:
        for first in firsts:
            numbers = np.arange(first, first + size)
            padded = np.minimum(numbers, count - 1)  # the last batch repeats the last image
            uniform = uniform_fn(key, jax.device_put(numbers, sharding))
            batch_conditions = jax.tree.map(lambda array, padded=padded: np.asarray(array)[padded], conditions)
            for stage in stages(model.config):
                batch = jax.device_put((images[padded], known[padded], uniform, batch_conditions), sharding)
                drawn = []
                for values in draw_rows(stage, params, batch, temperature, mesh):
                    drawn.append(values)
                    jax.block_until_ready(drawn[-2:][0])  # queue one row ahead, not all of them
                    bar.update()
                values, values_log_probs = (
                    np.moveaxis(np.stack(arrays), -1, 0)[: count - first] for arrays in zip(*fetch(drawn), strict=True)
                )
                place = slice(first, first + size), slice(None, None, stage.stride), slice(None, None, stage.stride)
                images[place] = values
                new = stage.drawn(*values.shape[1:3])[:, :, None]  # pixels of earlier stages keep their log-probability
                log_probs[place] = np.where(new, values_log_probs, log_probs[place])
    return Generated(images, log_probs)


def draw_rows(
    stage: Stage, params: Any, batch: tuple[Any, ...], temperature: float, mesh: Mesh
) -> Iterator[tuple[UInt[Array, "W C B"], Float32[Array, "W C B"]]]:
    """Draws a stage's rows, one after the other: their values and log-probabilities, see `draw_row`.

    The batch holds images, known pixels, uniform numbers and conditions of whole images, as `begin_stage` takes them.
    """
    begin, draw = _stage_fns(stage, mesh)
    state, rows = begin(params, *batch)
    for row in range(len(rows.images)):
        state, values = draw(stage.params(params), state, rows, np.int32(row), np.float32(temperature))
        yield values


def seconds_to_generate(
    model: nn.Module,
    params: Any,
    shape: tuple[int, int, int, int],
    *,
    conditions: Conditions = UNCONDITIONAL,
    batch_size: int,
    mesh: Mesh,
) -> float:
    """Estimates the seconds to draw or complete images of a shape, once compiled, from one row of each stage."""
    count, height = shape[:2]
    mesh = busy_devices(mesh, count)
    size, seconds = next_multiple(_batch_size(batch_size, shape), mesh.size), 0.0
    params, shape = replicate(params, mesh), (size, *shape[1:])
    first = jax.tree.map(lambda array: np.asarray(array)[np.minimum(np.arange(size), count - 1)], conditions)
    images = np.zeros(shape, value_type(model.config.levels))
    batch = images, np.zeros(shape[:3], bool), np.zeros(shape, np.float32), first
    batch = jax.device_put(batch, batch_sharding(mesh))
    for stage in stages(model.config):
        begin, draw = _stage_fns(stage, mesh)
        state, rows = begin(params, *batch)
        for _ in range(2):  # the first one compiles
            start = time.perf_counter()
            state, _ = jax.block_until_ready(draw(stage.params(params), state, rows, np.int32(0), np.float32(1)))
            row_seconds = time.perf_counter() - start
        seconds += row_seconds * (height // stage.stride)
    return seconds * math.ceil(count / size)


def lower_row(
    model: nn.Module, params: Any, shape: tuple[int, int, int, int], conditions: Conditions, mesh: Mesh
) -> jax.stages.Lowered:
    """Traces the program of `generate` that draws one row of images of a shape, in the last stage of a model.

    Only shapes and types of parameters and conditions count, and the devices of the mesh may be only described.
    """
    stage = stages(model.config)[-1]
    begin, draw = _stage_fns(stage, mesh)
    images = jax.ShapeDtypeStruct(shape, value_type(model.config.levels))
    known, uniform = (jax.ShapeDtypeStruct(*array) for array in ((shape[:3], bool), (shape, np.float32)))
    state, rows = jax.eval_shape(begin, params, images, known, uniform, conditions)
    axes = STATE_BATCH_AXES, ROWS_BATCH_AXES
    state_sharding, rows_sharding = jax.tree.map(lambda axis: NamedSharding(mesh, batch_spec(axis)), axes)
    shardings = replicated(mesh), state_sharding, rows_sharding, replicated(mesh), replicated(mesh)
    draw = jax.jit(draw, in_shardings=shardings, donate_argnums=1)
    return draw.lower(stage.params(params), state, rows, np.int32(0), np.float32(1))


def _batch_size(asked: int, shape: tuple[int, int, int, int]) -> int:
    count, height, width, _ = shape
    return max(1, min(asked, count, PIXELS_AT_A_TIME // (height * width)))


@functools.cache
def _uniform_fn(shape: tuple[int, int, int], mesh: Mesh) -> Callable[..., Any]:
    draw = functools.partial(draw_uniform, shape=shape)
    return jax.jit(on_shares(draw, mesh, in_specs=(PartitionSpec(), batch_spec()), out_specs=batch_spec()))


@functools.cache
def _stage_fns(stage: Stage, mesh: Mesh) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiled `begin_stage` and `draw_row`. Each device works on its share of the batch, without communication."""
    whole, images = PartitionSpec(), batch_spec()
    state, rows, values = jax.tree.map(batch_spec, (STATE_BATCH_AXES, ROWS_BATCH_AXES, 2))
    begin, draw = functools.partial(begin_stage, stage), functools.partial(draw_row, stage.network)
    begin = on_shares(begin, mesh, in_specs=(whole, images, images, images, images), out_specs=(state, rows))
    draw = on_shares(draw, mesh, in_specs=(whole, state, rows, whole, whole), out_specs=(state, values))
    return jax.jit(begin), jax.jit(draw, donate_argnums=1)
