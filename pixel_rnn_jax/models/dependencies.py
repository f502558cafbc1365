"""What a sub-pixel's distribution depends on: derivatives of its logits by the image."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Float32

from pixel_rnn_jax.errors import InputError, check_integer
from pixel_rnn_jax.images import Images, check_images
from pixel_rnn_jax.models.conditioning import Conditions, check_conditions
from pixel_rnn_jax.models.params import check_params


def dependencies(
    model: nn.Module,
    params: Any,
    images: Images,
    row: int,
    column: int,
    channel: int = 0,
    context: Any = None,
    labels: Any = None,
) -> Float32[Array, "B H W C"]:
    """How strongly the distribution of one sub-pixel depends on each sub-pixel of the image.

    The magnitude of the derivative, by each sub-pixel's value, of the logit of the value that is there, less the mean of all
    logits. (Unlike the derivative of the log-probability, it does not vanish where the model is certain.) It is exactly zero
    outside the receptive field: at the sub-pixel itself, at all that come after it, and in a PixelCNN in its blind spot.

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`, of which `input` is "scaled".
      params: its parameters.
      images: integers [B, H, W, C] in [0, levels).
      row: of the pixel, from 0 at the top.
      column: of the pixel, from 0 at the left.
      channel: of the sub-pixel.
      context: context images, for a model that takes them; see `PixelRNN`.
      labels: integers [B] in [0, num_classes), for a class-conditional model.

    Returns:
      [B, H, W, C], per level.

    Raises:
      InputError: (a ValueError) if the place is outside the images, values are embedded and so have no derivative, or the
        other arguments are none that `log_prob` takes.
    """
    config = model.config
    check_images(images, levels=config.levels, channels=config.channels)
    check_conditions(config, Conditions(context, labels), images.shape[:3])
    check_params(model, params)
    if config.input != "scaled":
        raise InputError(f"model must take scaled values (input='scaled'), which have derivatives; it has {config.input!r}.")
    names = ("row", "column", "channel")
    place = zip(names, (row, column, channel), images.shape[1:], strict=True)
    place = tuple(check_integer(name, value, 0, size - 1) for name, value, size in place)
    return _dependencies(model, params, images, place, context, labels)


@functools.partial(jax.jit, static_argnames="model")
def _dependencies(
    model: nn.Module, params: Any, images: Images, place: tuple[ArrayLike, ...], context: Any, labels: Any
) -> Float32[Array, "B H W C"]:
    images = jnp.asarray(images)
    values = images[:, *place].astype(jnp.int32)

    def logit_there(floats: Float[Array, "B H W C"]) -> Float32[Array, ""]:
        logits = model.apply({"params": params}, floats, context=context, labels=labels)[:, *place]
        there = jnp.take_along_axis(logits, values[:, None], 1)[:, 0]
        return jnp.sum(there - jnp.mean(logits, 1))  # an image's logits do not depend on the others

    return jnp.abs(jax.grad(logit_there)(images.astype(jnp.float32)))
