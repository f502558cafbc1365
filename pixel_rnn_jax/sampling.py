"""Drawing images from a model, and completing images of which some pixels are known: one loop over all sub-pixels.

Here the whole network runs once for each sub-pixel.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Integer, Shaped, UInt8

from pixel_rnn_jax.errors import InputError, check_integer
from pixel_rnn_jax.images import Images, check_shape, check_values, is_concrete


def sample(
    model: nn.Module,
    params: Any,
    key: jax.Array,
    num: int,
    size: Sequence[int],
    temperature: ArrayLike = 1.0,
) -> UInt8[Array, "num H W C"]:
    """Draws images from the model, sub-pixel by sub-pixel.

    Args:
      model: a `PixelRNN`.
      params: its parameters.
      key: random key.
      num: number of images.
      size: height and width; need not be the training size.
      temperature: divides the logits: below 1 the images get more likely and less various.

    Returns:
      uint8 [num, H, W, C] in [0, levels).

    Raises:
      InputError: (a ValueError) if num, size or temperature are not positive.
    """
    if not isinstance(size, Sequence) or len(size) != 2:
        raise InputError(f"size must be (height, width); got {size}.")
    for name, number in (("num", num), ("height", size[0]), ("width", size[1])):
        check_integer(name, number, 1)
    shape = (num, *size, model.config.channels)
    images = jnp.zeros(shape, jnp.uint8)
    return complete(model, params, key, images, jnp.zeros(shape[1:3], bool), temperature=temperature)


def complete(
    model: nn.Module,
    params: Any,
    key: jax.Array,
    images: Images,
    known: Shaped[Array | np.ndarray, "..."],
    temperature: ArrayLike = 1.0,
) -> UInt8[Array, "B H W C"]:
    """Keeps the known pixels of images and draws the others in raster order, each given all pixels before it.

    A known pixel that comes after an unknown one is kept, but cannot influence it.

    Args:
      model: a `PixelRNN`.
      params: its parameters.
      key: random key.
      images: integers [B, H, W, C] in [0, levels); values under unknown pixels have no influence.
      known: bool, [H, W] or [B, H, W].
      temperature: divides the logits, see `sample`.

    Returns:
      uint8 [B, H, W, C].

    Raises:
      InputError: (a ValueError) if shapes or types do not fit, or the temperature is not positive.
    """
    check_shape(images, channels=model.config.channels)
    if str(getattr(known, "dtype", None)) != "bool" or known.shape not in (images.shape[1:3], images.shape[:3]):
        raise InputError(
            f"known must be bool of shape {images.shape[1:3]} or {images.shape[:3]}, as the images' pixels;"
            f" got {getattr(known, 'dtype', type(known))} of shape {getattr(known, 'shape', None)}."
        )
    known = jnp.broadcast_to(jnp.asarray(known)[..., None], images.shape)  # [H, W] or [B, H, W] -> [B, H, W, C]
    check_values(images, levels=model.config.levels, where=known)
    if is_concrete(temperature) and not temperature > 0:
        raise InputError(f"temperature must be greater than 0; got {temperature}.")
    return _complete(model, params, key, jnp.asarray(images), known, temperature)


@functools.partial(jax.jit, static_argnames="model")
def _complete(
    model: nn.Module,
    params: Any,
    key: jax.Array,
    images: Integer[Array, "B H W C"],
    known: Bool[Array, "B H W C"],
    temperature: ArrayLike,
) -> UInt8[Array, "B H W C"]:
    _, height, width, channels = images.shape

    def visit(index, images):
        row, column, channel = jnp.unravel_index(index, (height, width, channels))
        logits = model.apply({"params": params}, images)[:, row, column, channel]
        drawn = jax.random.categorical(jax.random.fold_in(key, index), logits / temperature)
        here = known[:, row, column, channel]
        value = jnp.where(here, images[:, row, column, channel], drawn.astype(jnp.uint8))
        return images.at[:, row, column, channel].set(value)

    images = jnp.where(known, images, 0).astype(jnp.uint8)
    return jax.lax.fori_loop(0, math.prod((height, width, channels)), visit, images)
