"""Exact log-probabilities of images, in nats and in bits per dimension (equations 1 and 2, §5.1 of the paper)."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from pixel_rnn_jax.errors import check_key, check_size
from pixel_rnn_jax.images import Images, check_images
from pixel_rnn_jax.models.conditioning import Conditions, check_conditions
from pixel_rnn_jax.models.params import check_params
from pixel_rnn_jax.platforms import in_microbatches


def log_prob(
    model: nn.Module,
    params: Any,
    images: Images,
    context: Any = None,
    labels: Any = None,
    *,
    dropout_key: jax.Array | Any = None,
) -> Float32[Array, " B"]:
    """The exact log-probability of each image under the model, p(x) = Π_i p(x_i | x_<i) (equation 1).

    Pure: can be jitted (with `model` static), vmapped, and differentiated by `params`, in reverse mode. Compiled once for each
    model and shape of the images.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: as `model.init` creates them.
      images: integers [B, H, W, C] in [0, levels).
      context: context images, for a model with `context_channels`; see `PixelRNN`.
      labels: integers [B] in [0, num_classes), for a class-conditional model: the result is then log p(x | y).
      dropout_key: for training a model with `dropout`: the random key of the hidden features that are dropped, a new one for
        each step. Without it none are dropped.

    Returns:
      [B], nats, summed over all sub-pixels. Traced images, labels or context (under `jit`) with a value out of range give NaN.

    Raises:
      InputError: (a ValueError) if the parameters belong to another model; if images, context or labels are missing or
        superfluous, or have the wrong rank, type, shape or, unless traced, range; or if the key is not a PRNG key.
    """
    check_arguments(model, params, images, context, labels)
    if dropout_key is not None:
        check_key("dropout_key", dropout_key)
    return jnp.sum(_log_probs(model, params, images, context, labels, dropout_key), (1, 2, 3))


def log_probs(
    model: nn.Module, params: Any, images: Images, context: Any = None, labels: Any = None
) -> Float32[Array, "B H W C"]:
    """The log-probability of each sub-pixel, log p(x_i | x_<i), whose sum over an image is `log_prob`.

    The negative is a map of where an image is unexpected, given the sub-pixels before. Pure, and compiled, as `log_prob` is.
    Takes the arguments of `log_prob` but for the key, and raises what it raises.

    Returns:
      [B, H, W, C], nats.
    """
    check_arguments(model, params, images, context, labels)
    return _log_probs(model, params, images, context, labels, None)


def conditionals(
    model: nn.Module, params: Any, images: Images, context: Any = None, labels: Any = None
) -> Float32[Array, "B H W C levels"]:
    """The distribution of each sub-pixel, given those before it: p(x_i = v | x_<i) for every value v.

    Pure, and compiled, as `log_prob` is. Takes the arguments of `log_prob` but for the key, and raises what it raises.

    Returns:
      [B, H, W, C, levels], probabilities; they sum to 1 over the last axis.
    """
    check_arguments(model, params, images, context, labels)
    return _conditionals(model, params, images, context, labels)


def check_arguments(model: nn.Module, params: Any, images: Images, context: Any, labels: Any) -> None:
    """Raises `InputError` unless a model takes these parameters, images and conditions."""
    check_images(images, levels=model.config.levels, channels=model.config.channels)
    check_conditions(model.config, Conditions(context, labels), images.shape[:3])
    check_params(model, params)


@functools.partial(jax.jit, static_argnames="model")
def _log_probs(
    model: nn.Module, params: Any, images: Images, context: Any, labels: Any, dropout_key: jax.Array | None
) -> Float32[Array, "B H W C"]:
    """In microbatches, on a CPU; with dropout at once, so that the key alone says what is dropped."""
    if dropout_key is not None:
        rngs = {"dropout": dropout_key}
        return model.apply({"params": params}, images, True, context, labels, rngs=rngs, method="log_probs")

    def microbatch_fn(microbatch):
        images, conditions = microbatch
        return model.apply({"params": params}, images, False, *conditions, method="log_probs")

    batch = images, Conditions(context, labels)
    return in_microbatches(microbatch_fn, batch, images.shape[1:3], model.config.features)


@functools.partial(jax.jit, static_argnames="model")
def _conditionals(
    model: nn.Module, params: Any, images: Images, context: Any, labels: Any
) -> Float32[Array, "B H W C levels"]:
    return jax.nn.softmax(model.apply({"params": params}, images, context=context, labels=labels))


def bits_per_dim(log_prob: Float[Any, "*batch"] | float, image_shape: Any) -> Float[Any, "*batch"] | float:
    """Converts nats per image into bits per dimension, -log_prob / (ln 2 · H · W · C).

    Args:
      log_prob: log-probabilities of whole images in nats, of any shape.
      image_shape: (H, W, C) of one image.

    Raises:
      InputError: (a ValueError) if `image_shape` is not three positive integers.
    """
    return -log_prob / (math.log(2) * math.prod(check_size("image_shape", image_shape, ("height", "width", "channels"))))
