"""Drawing images from a model, and completing images of which some pixels are known: one loop over all sub-pixels."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Float32, Integer, Shaped, UInt8

from pixel_rnn_jax.errors import InputError, check_integer, check_size
from pixel_rnn_jax.generation.decoding import DecodeState, decode_step, finish_row, start, write
from pixel_rnn_jax.images import Images, check_shape, check_values, is_concrete
from pixel_rnn_jax.models.conditioning import Conditions, check_conditions
from pixel_rnn_jax.models.multi_scale import Stage, stages
from pixel_rnn_jax.models.params import check_params


def sample(
    model: nn.Module,
    params: Any,
    key: jax.Array | Any,
    num: int,
    size: Sequence[int] | Any,
    temperature: ArrayLike = 1.0,
    context: Any = None,
    labels: Any = None,
) -> UInt8[Array, "num H W C"]:
    """Draws images from the model, sub-pixel by sub-pixel, each in one visit.

    Image n depends on the key and on n, not on the number of images; up to rounding: among other images, a random number that
    falls next to the border of two values may draw the other one.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      key: random key.
      num: number of images.
      size: height and width; need not be the training size.
      temperature: divides the logits: below 1 the images get more likely and less various.
      context: images that the images are given, for a model that takes them; see `PixelRNN`.
      labels: integers [num] in [0, num_classes), for a class-conditional model.

    Returns:
      uint8 [num, H, W, C] in [0, levels).

    Raises:
      InputError: (a ValueError) if num, size or temperature are not positive, the parameters are of another model, or key,
        context or labels do not fit.
    """
    shape = (check_integer("num", num, 1), *check_size("size", size), model.config.channels)
    images = jnp.zeros(shape, jnp.uint8)
    return complete(model, params, key, images, jnp.zeros(shape[1:3], bool), temperature, context, labels)


def complete(
    model: nn.Module,
    params: Any,
    key: jax.Array | Any,
    images: Images,
    known: Shaped[Array | np.ndarray, "..."],
    temperature: ArrayLike = 1.0,
    context: Any = None,
    labels: Any = None,
) -> UInt8[Array, "B H W C"]:
    """Keeps the known pixels of images and draws the others in the model's order, each given all pixels before it.

    The order is raster order; a Multi-Scale PixelRNN first completes the small image. A known pixel that comes after an
    unknown one is kept, but cannot influence it.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      key: random key.
      images: integers [B, H, W, C] in [0, levels); values under unknown pixels have no influence.
      known: bool, [H, W] or [B, H, W].
      temperature: divides the logits, see `sample`.
      context: images that the images are given, for a model that takes them; see `PixelRNN`.
      labels: integers [B] in [0, num_classes), for a class-conditional model.

    Returns:
      uint8 [B, H, W, C].

    Raises:
      InputError: (a ValueError) if the parameters are of another model, the key is none, shapes or types do not fit, values
        are out of range, or the temperature is not positive. Values of traced images are not checked.
    """
    conditions = Conditions(context, labels)
    known = check_completion(model, params, key, images, known, temperature, conditions)
    images = jnp.where(known[..., None], images, 0).astype(jnp.uint8)
    return _complete(model, params, key, images, known, temperature, conditions)


def check_completion(
    model: nn.Module,
    params: Any,
    key: jax.Array | Any,
    images: Images,
    known: Shaped[Array | np.ndarray, "..."],
    temperature: ArrayLike,
    conditions: Conditions,
) -> Bool[Array | np.ndarray, "B H W"]:
    """Which pixels of each image are known; `InputError`, unless `complete` can take these arguments."""
    _check_key(key)
    check_params(model, params)
    check_shape(images, channels=model.config.channels)
    check_conditions(model.config, conditions, images.shape[:3])
    if str(getattr(known, "dtype", None)) != "bool" or known.shape not in (images.shape[1:3], images.shape[:3]):
        raise InputError(
            f"known must be bool of shape {images.shape[1:3]} or {images.shape[:3]}, as the images' pixels;"
            f" got {getattr(known, 'dtype', type(known))} of shape {getattr(known, 'shape', None)}."
        )
    xp = np if is_concrete(known) else jnp
    known = xp.broadcast_to(known, images.shape[:3])
    check_values(images, levels=model.config.levels, where=known[..., None])
    if is_concrete(temperature) and not (_is_number(temperature) and temperature > 0):
        raise InputError(f"temperature must be a number greater than 0; got {temperature!r}.")
    return known


def _check_key(key: Any) -> None:
    """Raises `InputError` unless this is one random key, as jax.random.key or jax.random.PRNGKey makes it."""
    try:
        typed = key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"key must be a random key, such as jax.random.key(0); got {key!r}.") from None
    if typed.shape:
        raise InputError(f"key must be one random key; got {typed.shape[0]}, of which key[0] is one.")


class Rows(NamedTuple):
    """What one stage of a completion starts from, in the order of the visits.

    Attributes:
      images: with any values, in [0, levels), under unknown pixels.
      known: whether a pixel is kept, or was drawn by the stage before.
      uniform: in [0, 1), decides which value is drawn.
    """

    images: UInt8[Array, "H W C B"]
    known: Bool[Array, "H W B"]
    uniform: Float32[Array, "H W C B"]


def make_rows(
    stage: Stage,
    key: jax.Array,
    numbers: Integer[Array, " B"],
    images: UInt8[Array, "B H W C"],
    known: Bool[Array, "B H W"],
) -> Rows:
    """Takes from whole images what belongs to a stage, and draws the uniform number of each sub-pixel.

    Each sub-pixel has one, which depends on the key and on the image's number; only one stage makes use of it.

    Args:
      stage: of the model.
      key: random key.
      numbers: of the images.
      images: whole images, of which the pixels of earlier stages are known.
      known: the pixels that are kept.
    """
    shape = images.shape[1:]
    uniform = jax.vmap(lambda number: jax.random.uniform(jax.random.fold_in(key, number), shape, jnp.float32))(numbers)
    images, known, uniform = (array[:, :: stage.stride, :: stage.stride] for array in (images, known, uniform))
    known = known | ~stage.drawn(*known.shape[1:])
    return Rows(*(jnp.moveaxis(array, 0, -1) for array in (images, known, uniform)))


def begin_stage(
    stage: Stage,
    params: Any,
    key: jax.Array,
    numbers: Integer[Array, " B"],
    images: UInt8[Array, "B H W C"],
    known: Bool[Array, "B H W"],
    conditions: Conditions,
) -> tuple[DecodeState, Rows]:
    """What a stage starts from: the state, and `make_rows`.

    Args:
      stage: of the model.
      params: of the whole model.
      key: see `make_rows`, as for the rest.
      numbers: of the images.
      images: whole images, of which the pixels of earlier stages are known.
      known: the pixels that are kept.
      conditions: what the images are given.
    """
    rows = make_rows(stage, key, numbers, images, known)
    height, width, _, batch = rows.images.shape
    state = start(stage.network, stage.params(params), (batch, height, width), stage.conditions(images, conditions))
    return state, rows


def draw_row(
    model: nn.Module, params: Any, state: DecodeState, rows: Rows, row: ArrayLike, temperature: ArrayLike
) -> tuple[DecodeState, tuple[UInt8[Array, "W C B"], Float32[Array, "W C B"]]]:
    """Visits the pixels of one row, and draws those that are unknown.

    Args:
      model: the `PixelRNN` of a stage.
      params: its parameters.
      state: of the rows before.
      rows: the images and what else is given.
      row: which one is visited.
      temperature: divides the logits.

    Returns:
      The state with this row, the row's values, and log p(x_i | x_<i) of each sub-pixel, in nats, at temperature 1.
    """
    images, known, uniform = jax.tree.map(lambda array: array[row], rows)
    width, channels, _ = images.shape

    def draw(state, place):
        column, channel = place
        state, logits = decode_step(model, params, state, row, column, channel)
        value = jnp.where(known[column], images[place], pick(cooled(logits, temperature), uniform[place]))
        log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits), value[:, None].astype(jnp.int32), -1)[:, 0]
        return write(model, state, row, column, channel, value), (value, log_prob)

    places = jnp.divmod(jnp.arange(width * channels), channels)
    state, drawn = jax.lax.scan(draw, state, places)
    drawn = jax.tree.map(lambda array: array.reshape(width, channels, -1), drawn)
    return finish_row(model, params, state, row), drawn


def cooled(logits: Float[Array, "B levels"], temperature: ArrayLike) -> Float[Array, "B levels"]:
    """The logits divided by the temperature, the largest 0: so that it may be as low as you like."""
    above_zero = jnp.maximum(temperature, jnp.finfo(jnp.float32).tiny)  # what is smaller, processors take for 0
    return (logits - jnp.max(logits, -1, keepdims=True)) / above_zero


def pick(logits: Float[Array, "B levels"], uniform: Float32[Array, " B"]) -> UInt8[Array, " B"]:
    """The value at which the cumulative distribution exceeds a uniform number in [0, 1); one of probability 0 never is."""
    cumulative = jnp.cumsum(jax.nn.softmax(logits), -1)
    threshold = uniform * cumulative[:, -1]  # below the last one, which rounding may leave below 1
    return jnp.sum(cumulative <= threshold[:, None], -1).astype(jnp.uint8)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and np.ndim(value) == 0 and np.issubdtype(np.asarray(value).dtype, np.number)


@functools.partial(jax.jit, static_argnames="model")
def _complete(
    model: nn.Module,
    params: Any,
    key: jax.Array,
    images: UInt8[Array, "B H W C"],
    known: Bool[Array, "B H W"],
    temperature: ArrayLike,
    conditions: Conditions,
) -> UInt8[Array, "B H W C"]:
    for stage in stages(model.config):
        state, rows = begin_stage(stage, params, key, jnp.arange(len(images)), images, known, conditions)

        def step(state, row, stage=stage, rows=rows):
            state, (values, _) = draw_row(stage.network, stage.params(params), state, rows, row, temperature)
            return state, values

        _, values = jax.lax.scan(step, state, jnp.arange(len(rows.images)))
        images = images.at[:, :: stage.stride, :: stage.stride].set(jnp.moveaxis(values, -1, 0))
    return images
