"""Exact log-probabilities of images, in nats and in bits per dimension (equations 1 and 2, §5.1 of the paper)."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from pixel_rnn_jax.errors import check_size
from pixel_rnn_jax.images import Images, check_images
from pixel_rnn_jax.models.conditioning import Conditions, check_conditions
from pixel_rnn_jax.models.params import check_params


def log_prob(model: nn.Module, params: Any, images: Images, context: Any = None, labels: Any = None) -> Float32[Array, " B"]:
    """The exact log-probability of each image under the model, p(x) = Π_i p(x_i | x_<i) (equation 1).

    Pure: can be jitted (with `model` static), vmapped, and differentiated by `params`, in reverse mode. Compiled once for each
    model and shape of the images.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: as `model.init` creates them.
      images: integers [B, H, W, C] in [0, levels).
      context: context images, for a model with `context_channels`; see `PixelRNN`.
      labels: integers [B] in [0, num_classes), for a class-conditional model: the result is then log p(x | y).

    Returns:
      [B], nats, summed over all sub-pixels. Traced images (under `jit`) with a value out of range give NaN.

    Raises:
      InputError: (a ValueError) if the parameters belong to another model; or if images, context or labels are missing or
        superfluous, or have the wrong rank, type, shape or, unless traced, range.
    """
    check_images(images, levels=model.config.levels, channels=model.config.channels)
    check_conditions(model.config, Conditions(context, labels), images.shape[:3])
    check_params(model, params)
    return _log_prob(model, params, images, context, labels)


@functools.partial(jax.jit, static_argnames="model")
def _log_prob(model: nn.Module, params: Any, images: Images, context: Any, labels: Any) -> Float32[Array, " B"]:
    log_probs = model.apply({"params": params}, images, context=context, labels=labels, method="log_probs")
    return jnp.sum(log_probs, (1, 2, 3))


def bits_per_dim(log_prob: Float[Any, "*batch"] | float, image_shape: Any) -> Float[Any, "*batch"] | float:
    """Converts nats per image into bits per dimension, -log_prob / (ln 2 · H · W · C).

    Args:
      log_prob: log-probabilities of whole images in nats, of any shape.
      image_shape: (H, W, C) of one image.

    Raises:
      InputError: (a ValueError) if `image_shape` is not three positive integers.
    """
    return -log_prob / (math.log(2) * math.prod(check_size("image_shape", image_shape, ("height", "width", "channels"))))
