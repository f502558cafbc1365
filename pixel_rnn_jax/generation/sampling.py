"""Sampling images, and completing images of which some pixels are known."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float32, Integer, Shaped, UInt

from pixel_rnn_jax.errors import InputError, check_integer, check_key, check_size
from pixel_rnn_jax.generation.decoding import DecodeState, decode_row, start
from pixel_rnn_jax.images import Images, check_shape, check_values, is_concrete, value_type
from pixel_rnn_jax.models.conditioning import Conditions, check_conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.multi_scale import Stage, stages
from pixel_rnn_jax.models.output import make_output
from pixel_rnn_jax.models.params import check_params

COMPLETION = 0x636F6D70  # folded into the keys of completions; larger than the number of any image


def sample(
    model: nn.Module,
    params: Any,
    key: jax.Array | Any,
    num: int,
    size: Sequence[int] | Any,
    temperature: ArrayLike = 1.0,
    context: Any = None,
    labels: Any = None,
) -> UInt[Array, "num H W C"]:
    """Draws images from the model, sub-pixel by sub-pixel, each in one decode step.

    Image n depends on the key and on n, not on the number of images, up to rounding: a random number on the border between two
    values may select either.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      key: random key.
      num: number of images.
      size: height and width; any, not only the training size.
      temperature: divides the logits (of a mixture those of its weights, and multiplies its scales); below 1, images get more
        likely and less diverse.
      context: context images, for a model that takes them; see `PixelRNN`.
      labels: integers [num] in [0, num_classes), for a class-conditional model.

    Returns:
      uint8 [num, H, W, C] in [0, levels); uint16 if there are more than 256 levels.

    Raises:
      InputError: (a ValueError) if num, size or temperature are not positive, the parameters do not fit the model, or key,
        context or labels are invalid.
    """
    images, known = nothing_known(model.config, num, size)
    conditions = Conditions(context, labels)
    known = check_completion(model, params, key, images, known, temperature, conditions)
    return _complete(model, params, key, images, known, temperature, conditions)


def nothing_known(
    config: ModelConfig, num: int, size: Sequence[int] | Any
) -> tuple[UInt[np.ndarray, "num H W C"], Bool[np.ndarray, "H W"]]:
    """Images of which no pixel is known, and that none is; raises `InputError` unless number and size are positive."""
    shape = (check_integer("num", num, 1), *check_size("size", size), config.channels)
    return np.zeros(shape, value_type(config.levels)), np.zeros(shape[1:3], bool)


def complete(
    model: nn.Module,
    params: Any,
    key: jax.Array | Any,
    images: Images,
    known: Shaped[Array | np.ndarray, "..."],
    temperature: ArrayLike = 1.0,
    context: Any = None,
    labels: Any = None,
) -> UInt[Array, "B H W C"]:
    """Keeps the known pixels of images and draws the others in the model's order, each from all pixels before it.

    The order is raster order; a Multi-Scale PixelRNN first completes the small image. A known pixel that comes after an
    unknown one is kept, but has no influence on it. The random numbers are not those that `sample` draws with the same key.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      key: random key.
      images: integers [B, H, W, C] in [0, levels); values under unknown pixels have no influence.
      known: bool, [H, W] or [B, H, W].
      temperature: divides the logits, see `sample`.
      context: context images, for a model that takes them; see `PixelRNN`.
      labels: integers [B] in [0, num_classes), for a class-conditional model.

    Returns:
      uint8 [B, H, W, C]; uint16 if there are more than 256 levels.

    Raises:
      InputError: (a ValueError) if the parameters do not fit the model, the key is not a PRNG key, shapes, types or values are
        invalid, or the temperature is not positive. Values of traced images are not checked.
    """
    conditions = Conditions(context, labels)
    known = check_completion(model, params, key, images, known, temperature, conditions)
    images = jnp.where(known[..., None], images, 0).astype(value_type(model.config.levels))
    return _complete(model, params, completion_key(key), images, known, temperature, conditions)


def completion_key(key: jax.Array | Any) -> jax.Array:
    """The key for completions, whose random numbers must not be those of samples: they would complete a sample to itself."""
    return jax.random.fold_in(key, COMPLETION)


def check_completion(model, params, key, images, known, temperature, conditions) -> Bool[Array | np.ndarray, "B H W"]:
    """Checks the arguments of `complete`; returns `known` for each image."""
    check_key("key", key)
    check_params(model, params)
    check_shape(images, channels=model.config.channels)
    check_conditions(model.config, conditions, images.shape[:3])
    if str(getattr(known, "dtype", None)) != "bool" or known.shape not in (images.shape[1:3], images.shape[:3]):
        raise InputError(
            f"known must be bool of shape {images.shape[1:3]} or {images.shape[:3]}, one value for each pixel;"
            f" got {getattr(known, 'dtype', type(known))} of shape {getattr(known, 'shape', None)}."
        )
    xp = np if is_concrete(known) else jnp
    known = xp.broadcast_to(known, images.shape[:3])
    check_values(images, levels=model.config.levels, where=known[..., None])
    if is_concrete(temperature):
        is_number = np.ndim(temperature) == 0 and np.issubdtype(np.asarray(temperature).dtype, np.number)
        if not is_number or not temperature > 0:
            raise InputError(f"temperature must be a number greater than 0; got {temperature!r}.")
    return known


class Rows(NamedTuple):
    """The inputs of one stage, with the rows on the leading axis, since they are read row by row."""

    images: UInt[Array, "H W C B"]  # any values in [0, levels) where unknown
    known: Bool[Array, "H W B"]  # pixels that are kept or that an earlier stage has drawn
    uniform: Float32[Array, "H W C B"]  # in [0, 1); each decides which value is drawn


ROWS_BATCH_AXES = Rows(images=3, known=2, uniform=3)


def draw_uniform(key: jax.Array, numbers: Integer[Array, " B"], shape: tuple[int, int, int]) -> Float32[Array, "B H W C"]:
    """One uniform number in [0, 1) for each sub-pixel of the images with these numbers, of shape (H, W, C)."""
    return jax.vmap(lambda number: jax.random.uniform(jax.random.fold_in(key, number), shape, jnp.float32))(numbers)


def begin_stage(
    stage: Stage,
    params: Any,  # of the whole model
    images: UInt[Array, "B H W C"],  # whole images, complete at the pixels of earlier stages
    known: Bool[Array, "B H W"],
    uniform: Float32[Array, "B H W C"],
    conditions: Conditions,
) -> tuple[DecodeState, Rows]:
    """Returns the decode state before the first row of a stage, and the stage's inputs."""
    conditions = stage.conditions(images, conditions)
    images, known, uniform = (array[:, :: stage.stride, :: stage.stride] for array in (images, known, uniform))
    state = start(stage.network, stage.params(params), images.shape[:3], conditions)
    known = known | ~stage.drawn(*known.shape[1:])
    return state, Rows(*(jnp.moveaxis(array, 0, -1) for array in (images, known, uniform)))


def draw_row(
    model: nn.Module, params: Any, state: DecodeState, rows: Rows, row: ArrayLike, temperature: ArrayLike
) -> tuple[DecodeState, tuple[UInt[Array, "W C B"], Float32[Array, "W C B"]]]:
    """Draws a row's unknown pixels. Returns the state after it, its values, and log p(x_i | x_<i) in nats (temperature 1)."""
    output = make_output(model.config)
    images, known, uniform = jax.tree.map(lambda array: array[row], rows)

    def choose(numbers, column, channel):
        place = column, channel
        drawn = output.pick(numbers, uniform[place], temperature).astype(images.dtype)
        value = jnp.where(known[column], images[place], drawn)
        return value, (value, output.log_probs(numbers, value.astype(jnp.int32)))

    state, drawn = decode_row(model, params, state, row, choose)
    return state, jax.tree.map(lambda array: array.reshape(images.shape), drawn)


@functools.partial(jax.jit, static_argnames="model")
def _complete(model, params, key, images, known, temperature, conditions) -> UInt[Array, "B H W C"]:
    uniform = draw_uniform(key, jnp.arange(len(images)), images.shape[1:])
    for stage in stages(model.config):
        state, rows = begin_stage(stage, params, images, known, uniform, conditions)

        def step(state, row, stage=stage, rows=rows):
            state, (values, _) = draw_row(stage.network, stage.params(params), state, rows, row, temperature)
            return state, values

        _, values = jax.lax.scan(step, state, jnp.arange(len(rows.images)))
        images = images.at[:, :: stage.stride, :: stage.stride].set(jnp.moveaxis(values, -1, 0))
    return images
