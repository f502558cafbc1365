"""What a conditional model is told before the first pixel: an image or map, a class."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import check_images, is_concrete
from pixel_rnn_jax.models.config import ModelConfig

# The map that every layer adds to its input-to-state map; one pixel stands for all, where it is the same everywhere.
Context = Float[Array, "B #H #W context"]
CONTEXT_LAYERS = ("context_to_state", "context_to_hidden")  # what the layers call the weights of their context


class Conditions(NamedTuple):
    """What each image of a batch is given; a tree, of which either part may be missing.

    Attributes:
      context: images [B, H / context_scale, W / context_scale, context_channels], integers in [0, context_levels); for a model
        without `context_channels`, a map [B, H, W, F] of floats.
      labels: integers [B] in [0, num_classes).
    """

    context: Shaped[Array | np.ndarray, "..."] | Any = None
    labels: Shaped[Array | np.ndarray, "..."] | Any = None


UNCONDITIONAL = Conditions()


def check_conditions(
    config: ModelConfig, conditions: Conditions, shape: tuple[int, int, int], *, allow_float: bool = False
) -> None:
    """Raises `InputError` unless a model can take the conditions.

    Args:
      config: of the model.
      conditions: what it is to be given; of traced arrays, values are not checked.
      shape: number, height and width of the images.
      allow_float: also accept context images of floating-point numbers, as `check_images` does.
    """
    batch, height, width = shape
    if height % config.multiple or width % config.multiple:
        reason = f"sizes (={config.sizes})" if config.sizes else f"context_scale (={config.context_scale})"
        raise InputError(
            f"images must have sides that are multiples of {config.multiple}, by {reason}; got {height}x{width} pixels."
        )
    _check_labels(config, conditions.labels, batch)
    if config.context_channels:
        _check_context_image(config, conditions.context, shape, allow_float=allow_float)
    elif conditions.context is not None:
        _check_map(config, conditions.context, shape)


def plain(config: ModelConfig, conditions: Conditions) -> Conditions:
    """Conditions that have been checked, as arrays of one type, whatever the types that they came in."""
    context, labels = conditions
    return Conditions(
        None if context is None else np.asarray(context).astype(np.uint8 if config.context_channels else np.float32),
        None if labels is None else np.asarray(labels).astype(np.int32),
    )


def context_shape(config: ModelConfig, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The shape of the images that a model with `context_channels` is given, for images of this number, height and width."""
    batch, height, width = shape
    return batch, height // config.context_scale, width // config.context_scale, config.context_channels


def blank_conditions(config: ModelConfig, shape: tuple[int, int, int]) -> Conditions:
    """Conditions of the right shapes, for what depends on shapes only.

    Args:
      config: of the model.
      shape: number, height and width of the images.
    """
    return Conditions(
        context=np.zeros(context_shape(config, shape), np.uint8) if config.context_channels else None,
        labels=np.zeros(shape[0], np.int32) if config.num_classes else None,
    )


def _check_labels(config: ModelConfig, labels: Any, batch: int) -> None:
    if not config.num_classes:
        if labels is not None:
            raise InputError("labels must be None: the model is not class-conditional (num_classes=0).")
        return
    expected = f"labels must be integers [{batch}] in [0, {config.num_classes}), one for each image"
    if labels is None:
        raise InputError(f"{expected}; the model is class-conditional, and got none.")
    if not hasattr(labels, "dtype"):
        raise InputError(f"{expected}, as an array; got {type(labels).__name__}.")
    if not jnp.issubdtype(labels.dtype, jnp.integer) or labels.shape != (batch,):
        raise InputError(f"{expected}; got {labels.dtype} of shape {labels.shape}.")
    if is_concrete(labels) and batch:
        low, high = int(np.min(labels)), int(np.max(labels))  # 8 bits may not hold the number of classes
        if low < 0 or high >= config.num_classes:
            raise InputError(f"{expected}; got values from {low} to {high}.")


def _check_context_image(config: ModelConfig, context: Any, shape: tuple[int, int, int], *, allow_float: bool) -> None:
    expected = context_shape(config, shape)
    if context is None:
        raise InputError(f"context must be images of shape {expected}: the model draws images given others, and got none.")
    if not hasattr(context, "ndim"):
        raise InputError(f"context must be images of shape {expected}; got {type(context).__name__}.")
    try:
        check_images(context, levels=config.context_levels, channels=config.context_channels, allow_float=allow_float)
    except InputError as error:
        raise InputError(f"context: {error}") from None
    if context.shape != expected:
        raise InputError(f"context must be images of shape {expected}; got {context.shape}.")


def _check_map(config: ModelConfig, context: Any, shape: tuple[int, int, int]) -> None:
    if config.sizes:
        raise InputError(f"context must be None: a model of several sizes (={config.sizes}) makes its own.")
    fits = hasattr(context, "dtype") and jnp.issubdtype(context.dtype, jnp.floating) and context.ndim == 4
    if not fits or context.shape[:3] != shape or not context.shape[3]:
        got = f"{getattr(context, 'dtype', type(context).__name__)} of shape {np.shape(context)}"
        raise InputError(
            f"context must be a map of floats [{', '.join(map(str, shape))}, F], since the model has no context_channels;"
            f" got {got}."
        )
