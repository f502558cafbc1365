"""One visit for each sub-pixel: the conditionals of images whose values become known one by one, in raster order.

A visit runs the network at one pixel, from what the layers have left at that pixel's neighbours, so it costs the same whatever
the size of the image. The numbers are those of `PixelRNN.__call__`, to rounding.

    state = start(model, params, shape, conditions)
    for each row:
        for each column, and each colour:
            state, logits = decode_step(model, params, state, row, column, channel)
            state = write(model, state, row, column, channel, values)  # drawn from the logits, or known
        state = finish_row(model, params, state, row)

A Multi-Scale PixelRNN consists of several such models, see `multi_scale.stages`.

In the arrays of the state the batch is the third axis; in those of single pixels, the second.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float32, Integer

from pixel_rnn_jax.images import centre
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, Conditions
from pixel_rnn_jax.models.masked_conv import margin
from pixel_rnn_jax.models.neighbours import Neighbours
from pixel_rnn_jax.models.pixel_rnn import STEM_SIZE, make_layer

ABOVE, SIDES = margin(STEM_SIZE)


class DecodeState(NamedTuple):
    """What later visits need of the pixels visited so far.

    Attributes:
      canvas: the images so far, centred, with the stem's margin; zero where nothing has been written.
      context: the map that all layers are given, of as many rows and columns as the images or, where it is the same
        everywhere, of one; None if there is none.
      above: the cells that the layers left at the pixels of the row above, and of one pixel more on either side.
      row: likewise, of the row that is being visited.
      left: the cells of the pixel to the left, and
      here: of the pixel that is being visited. Not read from `row`: an array that one visit reads and writes, XLA would copy.
    """

    canvas: Float32[Array, "rows columns B C"]
    context: Float[Array, "H W B F"] | None
    above: Any  # a tree of arrays [W+2, depth, B, 1, 1, features]
    row: Any
    left: Any  # a tree of arrays [depth, B, 1, 1, features]
    here: Any


def start(model: nn.Module, params: Any, shape: tuple[int, int, int], conditions: Conditions = UNCONDITIONAL) -> DecodeState:
    """The state before the first visit.

    Args:
      model: a `PixelRNN`.
      params: its parameters.
      shape: number, height and width of the images.
      conditions: what the images are given.
    """
    batch, height, width = shape
    canvas = jnp.zeros((ABOVE + height, SIDES + width + SIDES, batch, model.config.channels), jnp.float32)
    layer = make_layer(model.config)
    outside = jax.vmap(lambda params: layer.apply(params, batch, method="outside"))(_layer_params(model, params))
    row = jax.tree.map(lambda cell: jnp.broadcast_to(cell, (width + 2, *cell.shape)), outside)
    context = model.apply({"params": params}, shape, conditions, method="context_map")
    context = None if context is None else jnp.moveaxis(context, 0, 2)
    return DecodeState(canvas, context, above=row, row=row, left=outside, here=outside)


def decode_step(
    model: nn.Module, params: Any, state: DecodeState, row: ArrayLike, column: ArrayLike, channel: ArrayLike
) -> tuple[DecodeState, Float32[Array, "B levels"]]:
    """Computes the logits of one sub-pixel of each image.

    Args:
      model: a `PixelRNN`.
      params: its parameters.
      state: in which all sub-pixels before this one have been visited and written.
      row: of the sub-pixel.
      column: of the sub-pixel.
      channel: of the sub-pixel.

    Returns:
      The state, for `write`; and the logits, unnormalised log-probabilities of each value in nats.
    """
    _, _, batch, channels = state.canvas.shape
    window = jax.lax.dynamic_slice(state.canvas, (row, column, 0, 0), (ABOVE + 1, SIDES + 1 + SIDES, batch, channels))
    left = jax.tree.map(lambda before, same: jnp.where(channel == 0, before, same), state.here, state.left)
    neighbours = Neighbours(left, *(_at(state.above, column + place) for place in range(3)))  # pixel j is cell j + 1
    context = _context_row(state, row)
    if context is not None:
        context = jax.lax.dynamic_slice_in_dim(context, column, 1, 2)
    logits, here = model.apply({"params": params}, jnp.moveaxis(window, 2, 0), neighbours, context, method="decode_step")
    logits = jax.lax.dynamic_index_in_dim(logits[:, 0, 0], channel, 1, keepdims=False)
    row = jax.tree.map(lambda cells, new: jax.lax.dynamic_update_index_in_dim(cells, new, column + 1, 0), state.row, here)
    return state._replace(row=row, left=left, here=here), logits


def write(
    model: nn.Module, state: DecodeState, row: ArrayLike, column: ArrayLike, channel: ArrayLike, values: Integer[Array, " B"]
) -> DecodeState:
    """Writes the values of the sub-pixel that was visited last; after each visit.

    Args:
      model: a `PixelRNN`.
      state: as `decode_step` returned it.
      row: of the sub-pixel.
      column: of the sub-pixel.
      channel: of the sub-pixel.
      values: in [0, levels), one for each image.
    """
    values = centre(values, model.config.levels)[None, None, :, None]
    place = (row + ABOVE, column + SIDES, 0, channel)
    return state._replace(canvas=jax.lax.dynamic_update_slice(state.canvas, values, place))


def finish_row(model: nn.Module, params: Any, state: DecodeState, row: ArrayLike) -> DecodeState:
    """Makes the row that has been visited the row above, after its last pixel; all layers do so at the same time.

    Args:
      model: a `PixelRNN`.
      params: its parameters.
      state: in which the whole row has been visited and written.
      row: its number.
    """
    context = _context_row(state, row)

    def finish(params, cells, above):
        with jax.default_matmul_precision(model.config.precision):
            return make_layer(model.config).apply(params, cells, above, context, method="finish_row")

    cells, above = jax.tree.map(lambda cells: cells[1:-1], (state.row, state.above))
    cells = jax.vmap(finish, in_axes=(0, 1, 1), out_axes=1)(_layer_params(model, params), cells, above)
    above = jax.tree.map(lambda cells, new: cells.at[1:-1].set(new), state.row, cells)
    return state._replace(above=above, here=_at(above, 0))  # left of the next row's first pixel lies the outside


def _context_row(state: DecodeState, row: ArrayLike) -> Float[Array, "B 1 W F"] | None:
    if state.context is None:
        return None
    # Where the context has one row or column only, every index becomes that one: a slice never leaves its array.
    return jnp.moveaxis(jax.lax.dynamic_slice_in_dim(state.context, row, 1, 0), 2, 0)


def _at(cells: Any, index: ArrayLike) -> Any:
    return jax.tree.map(lambda cell: jax.lax.dynamic_index_in_dim(cell, index, 0, keepdims=False), cells)


def _layer_params(model: nn.Module, params: Any) -> Any:
    return {"params": params["layers"][model.config.layer]}
