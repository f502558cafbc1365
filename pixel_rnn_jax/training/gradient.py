"""The loss of a training, the mean negative log-likelihood of images, and its gradient."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32

from pixel_rnn_jax.errors import InputError, check_integer, check_key
from pixel_rnn_jax.images import Images
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.models.likelihood import check_arguments
from pixel_rnn_jax.platforms import fast_microbatches, split_microbatches


def loss_and_grad(
    model: nn.Module,
    params: Any,
    images: Images,
    context: Any = None,
    labels: Any = None,
    *,
    dropout_key: jax.Array | Any = None,
    microbatches: int | Any = 0,
) -> tuple[Float32[Array, ""], Any]:
    """The mean negative log-likelihood of images in nats, and its gradient by the parameters.

    The same as `jax.value_and_grad` of `-log_prob(model, params, images).mean()` up to rounding, and on a CPU up to twice as
    fast: the images are cut into microbatches that fit the caches. Pure: can be jitted (with `model` static).

    Args:
      model: a `PixelRNN` or a `MultiScalePixelRNN`.
      params: its parameters.
      images: integers [B, H, W, C] in [0, levels).
      context: context images, for a model that takes them, as for `log_prob`.
      labels: integers [B] in [0, num_classes), for a class-conditional model.
      dropout_key: for a model with `dropout`, a new random key in each step. Without it no features are dropped.
      microbatches: their number, a divisor of B. Their gradients are computed one after the other, so that only one
        microbatch's maps are in memory. 0: as many as are fast, which is one on an accelerator.

    Returns:
      The loss, and the gradient, of the shape of `params`.

    Raises:
      InputError: (a ValueError) as `log_prob`, or if `microbatches` does not divide the batch.
    """
    check_arguments(model, params, images, context, labels)
    if dropout_key is not None:
        check_key("dropout_key", dropout_key)
    if check_integer("microbatches", microbatches, 0) and images.shape[0] % microbatches:
        raise InputError(f"microbatches (={microbatches}) must divide {images.shape[0]}, the number of images.")
    return _loss_and_grad(model, params, images, Conditions(context, labels), dropout_key, microbatches)


def nats_and_grad(
    model: nn.Module, params: Any, images: Images, conditions: Conditions, dropout_key: jax.Array | None, microbatches: int
) -> tuple[Float32[Array, ""], Any]:
    """`loss_and_grad` without checks, for traced functions. Each microbatch drops other features."""
    microbatches = microbatches or fast_microbatches(len(images), images.shape[1:3], model.config.features)
    at_once = functools.partial(_nats_and_grad_at_once, model, params)
    if microbatches == 1:
        return at_once(images, conditions, dropout_key)
    keys = None if dropout_key is None else jax.random.split(dropout_key, microbatches)
    split = (*split_microbatches((images, conditions), microbatches), keys)
    shapes = jax.eval_shape(at_once, *jax.tree.map(lambda array: array[0], split))
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    total, _ = jax.lax.scan(lambda total, microbatch: (jax.tree.map(jnp.add, total, at_once(*microbatch)), None), zero, split)
    return jax.tree.map(lambda leaf: leaf / microbatches, total)


_loss_and_grad = jax.jit(nats_and_grad, static_argnums=(0, 5))


def _nats_and_grad_at_once(
    model: nn.Module, params: Any, images: Images, conditions: Conditions, dropout_key: jax.Array | None
) -> tuple[Float32[Array, ""], Any]:
    train, rngs = (False, {}) if dropout_key is None else (True, {"dropout": dropout_key})

    def mean_nats(params):
        log_probs = model.apply({"params": params}, images, train, *conditions, rngs=rngs, method="log_probs")
        return -jnp.mean(jnp.sum(log_probs, (1, 2, 3)))

    return jax.value_and_grad(mean_nats)(params)
