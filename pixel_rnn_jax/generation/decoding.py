"""Decoding: the conditionals of images whose values become known one by one, in raster order.

A decode step runs the network at one pixel, from what the layers left at that pixel's neighbours. Its cost does not depend on
the size of the image. The results are those of `PixelRNN.numbers`, up to rounding.

    state = start(model, params, shape, conditions)
    for each row:
        state, outputs = decode_row(model, params, state, row, choose)

`decode_row` is the one loop behind drawing, completing and coding. A Multi-Scale PixelRNN consists of several models that are
decoded one after the other, see `multi_scale.stages`.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float32, Integer

from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.models.input import input_size
from pixel_rnn_jax.models.layer import STEM_SIZE, Above, Neighbours
from pixel_rnn_jax.models.masked_conv import margin
from pixel_rnn_jax.models.pixel_rnn import make_layer
from pixel_rnn_jax.models.registry import LAYERS

ABOVE, SIDES = margin(STEM_SIZE)


class DecodeState(NamedTuple):
    """What later decode steps need of the pixels so far.

    The layers' caches are trees of arrays [depth, B, 1, 1, features]. A row of them has an axis W + 2 in front, for its pixels
    and one outside the image on either side. The current pixel's are kept apart from the row: XLA would copy an array that is
    read and written in one step.
    """

    canvas: Float32[Array, "rows columns B features"]  # the images so far as `Input`, with the stem's margin; else zero
    context: Float[Array, "H W B F"] | None  # the context map; H and W may be 1, see `Context`
    above: Any  # caches of the row above
    row: Any  # of the current row
    left: Any  # of the pixel to the left
    here: Any  # of the current pixel


STATE_BATCH_AXES = DecodeState(canvas=2, context=2, above=2, row=2, left=1, here=1)  # for sharding by images


# Called from Python, each function below is one compiled program; inside a traced function, it becomes part of that one.
_compiled = functools.partial(jax.jit, static_argnames="model", donate_argnames="state", inline=True)


@functools.partial(jax.jit, static_argnames=("model", "shape"), inline=True)
def start(model: nn.Module, params: Any, shape: tuple[int, int, int], conditions: Conditions = UNCONDITIONAL) -> DecodeState:
    """Returns the state before the first decode step of a `PixelRNN`, for images of this number, height and width."""
    batch, height, width = shape
    features = model.config.channels * input_size(model.config)
    canvas = jnp.zeros((ABOVE + height, SIDES + width + SIDES, batch, features), jnp.float32)
    layer = make_layer(model.config)
    outside = jax.vmap(lambda params: layer.apply(params, batch, method="outside"))(_layer_params(model, params))
    row = jax.tree.map(lambda cache: jnp.broadcast_to(cache, (width + 2, *cache.shape)), outside)
    context = model.apply({"params": params}, shape, conditions, method="context_map")
    context = None if context is None else jnp.moveaxis(context, 0, 2)
    return DecodeState(canvas, context, above=row, row=row, left=outside, here=outside)


@_compiled
def decode_step(
    model: nn.Module, params: Any, state: DecodeState, row: ArrayLike, column: ArrayLike, channel: ArrayLike
) -> tuple[DecodeState, Float32[Array, "B size"]]:
    """Computes the `numbers` of one sub-pixel of each image; all sub-pixels before it must have been decoded and written."""
    size = (ABOVE + 1, SIDES + 1 + SIDES, *state.canvas.shape[2:])
    window = jax.lax.dynamic_slice(state.canvas, _indices(row, column, 0, 0), size)
    left = jax.tree.map(lambda before, same: jnp.where(channel == 0, before, same), state.here, state.left)
    above = (_at(state.above, column + place) for place in range(3))  # pixel j is at index j + 1
    here = _at(state.row, column + 1) if LAYERS[model.config.layer].LOOKS_AHEAD else None
    neighbours = Neighbours(left, *above, here)
    context = _context_row(state, row)
    if context is not None:
        context = jax.lax.dynamic_slice_in_dim(context, column, 1, 2)
    numbers, here = model.apply({"params": params}, jnp.moveaxis(window, 2, 0), neighbours, context, method="decode_step")
    numbers = jax.lax.dynamic_index_in_dim(numbers[:, 0, 0], channel, 1, keepdims=False)
    row = jax.tree.map(lambda caches, new: jax.lax.dynamic_update_index_in_dim(caches, new, column + 1, 0), state.row, here)
    return state._replace(row=row, left=left, here=here), numbers


@_compiled
def write(
    model: nn.Module,
    params: Any,
    state: DecodeState,
    row: ArrayLike,
    column: ArrayLike,
    channel: ArrayLike,
    values: Integer[Array | np.ndarray, " B"],
) -> DecodeState:
    """Writes the values, in [0, levels), of the sub-pixel of the last decode step."""
    features = model.apply({"params": params}, values, channel, method="input_features")[None, None]
    place = _indices(row + ABOVE, column + SIDES, 0, channel * input_size(model.config))
    return state._replace(canvas=jax.lax.dynamic_update_slice(state.canvas, features, place))


def _indices(*places: ArrayLike) -> tuple[jax.Array, ...]:
    """Indices of one type, which a slice must have; also where JAX is set to use 64 bits."""
    return tuple(jnp.asarray(place, jnp.int32) for place in places)


@_compiled
def begin_row(model: nn.Module, params: Any, state: DecodeState, row: ArrayLike) -> DecodeState:
    """Runs layers that look ahead, before the first pixel of a row."""
    size = (ABOVE + 1, *state.canvas.shape[1:])
    window = jnp.moveaxis(jax.lax.dynamic_slice(state.canvas, _indices(row, 0, 0, 0), size), 2, 0)
    above = Above(jax.tree.map(lambda caches: jnp.swapaxes(caches, 0, 1), state.above))
    caches = model.apply({"params": params}, window, above, _context_row(state, row), method="begin_row")
    caches = jax.tree.map(lambda caches: jnp.swapaxes(caches, 0, 1), caches)
    return state._replace(row=jax.tree.map(lambda row, new: row.at[1:-1].set(new), state.row, caches))


@_compiled
def finish_row(model: nn.Module, params: Any, state: DecodeState, row: ArrayLike) -> DecodeState:
    """Makes the current row the row above, after its last pixel. All layers do so in parallel."""
    context = _context_row(state, row)
    finish = functools.partial(make_layer(model.config).apply, method="finish_row")
    caches, above = jax.tree.map(lambda caches: caches[1:-1], (state.row, state.above))
    caches = jax.vmap(finish, (0, 1, 1, None), 1)(_layer_params(model, params), caches, above, context)
    above = jax.tree.map(lambda caches, new: caches.at[1:-1].set(new), state.row, caches)
    return state._replace(above=above, here=_at(above, 0))  # left of the next row's first pixel lies the outside


def decode_row(
    model: nn.Module,
    params: Any,
    state: DecodeState,
    row: ArrayLike,
    choose: Callable[[Float32[Array, "B size"], ArrayLike, ArrayLike], tuple[ArrayLike, Any]],
    *,
    scan: Callable[..., tuple[DecodeState, Any]] = jax.lax.scan,
) -> tuple[DecodeState, Any]:
    """Decodes the sub-pixels of one row, in order. Returns the state after it, and the outputs of `choose`.

    `choose` takes the numbers of a sub-pixel, its column and its channel; it returns its values [B] and any output. If it is
    not traceable, `scan` must be `scan_on_host`.
    """

    def step(state, place):
        state, numbers = decode_step(model, params, state, row, *place)
        values, output = choose(numbers, *place)
        return write(model, params, state, row, *place, values), output

    width, channels = state.canvas.shape[1] - 2 * SIDES, model.config.channels
    places = np.divmod(np.arange(width * channels, dtype=np.int32), np.int32(channels))
    if LAYERS[model.config.layer].LOOKS_AHEAD:
        state = begin_row(model, params, state, row)
    state, outputs = scan(step, state, places)
    return finish_row(model, params, state, row), outputs


def scan_on_host(step: Callable[[Any, Any], tuple[Any, Any]], state: Any, places: tuple[Any, ...]) -> tuple[Any, list[Any]]:
    """A Python loop in place of `jax.lax.scan`; the outputs come in a list."""
    outputs = []
    for place in zip(*places, strict=True):
        state, output = step(state, place)
        outputs.append(output)
    return state, outputs


def _context_row(state: DecodeState, row: ArrayLike) -> Float[Array, "B 1 W F"] | None:
    if state.context is None:
        return None
    # `dynamic_slice` clamps its indices: where the context has one row or column only, every index becomes 0.
    return jnp.moveaxis(jax.lax.dynamic_slice_in_dim(state.context, row, 1, 0), 2, 0)


def _at(caches: Any, index: ArrayLike) -> Any:
    return jax.tree.map(lambda cache: jax.lax.dynamic_index_in_dim(cache, index, 0, keepdims=False), caches)


def _layer_params(model: nn.Module, params: Any) -> Any:
    return {"params": params["layers"][model.config.layer]}
