"""Conditioning inputs: a context image and a class label."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import check_images, is_concrete, possible, value_type
from pixel_rnn_jax.models.config import ModelConfig

# The map of which every layer adds a 1x1 convolution to its input-to-state map (§3.6). Axes of length 1 stand for a map that
# is the same everywhere.
Context = Float[Array, "B #H #W context"]


class Conditions(NamedTuple):
    """The conditioning inputs of a batch of images, see `PixelRNN.__call__`; either may be None."""

    context: Shaped[Array | np.ndarray, "..."] | Any = None
    labels: Shaped[Array | np.ndarray, "..."] | Any = None


UNCONDITIONAL = Conditions()


def check_conditions(
    config: ModelConfig, conditions: Conditions, shape: tuple[int, int, int], *, allow_float: bool = False
) -> None:
    """Raises `InputError` unless the conditions are those that a model needs for images of this number, height and width.

    Values of traced arrays are not checked. `allow_float` is that of `check_images`.
    """
    batch, height, width = shape
    if height % config.multiple or width % config.multiple:
        reason = f"sizes (={config.sizes})" if config.sizes else f"context_scale (={config.context_scale})"
        raise InputError(
            f"images must have sides that are multiples of {config.multiple}, by {reason}; got {height}x{width} pixels."
        )
    _check_labels(config, conditions.labels, batch)
    _check_context(config, conditions.context, shape, allow_float=allow_float)


def possible_conditions(config: ModelConfig, conditions: Conditions) -> Bool[Array, "#B 1 1 1"]:
    """For which images of a batch the conditions lie in range; those of floats always do."""
    found = jnp.ones((1, 1, 1, 1), bool)
    if config.num_classes:
        found &= possible(conditions.labels, config.num_classes)[:, None, None, None]
    if config.context_channels and jnp.issubdtype(conditions.context.dtype, jnp.integer):
        found &= possible(conditions.context, config.context_levels).all((1, 2, 3), keepdims=True)
    return found


def plain(config: ModelConfig, conditions: Conditions) -> Conditions:
    """Checked conditions as NumPy arrays of fixed types: a context of the model's `value_type`, labels of int32."""
    context, labels = conditions
    return Conditions(
        None if context is None else np.asarray(context).astype(value_type(config.context_levels)),
        None if labels is None else np.asarray(labels).astype(np.int32),
    )


def context_shape(config: ModelConfig, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The shape of the context images, from number, height and width of the modelled ones."""
    batch, height, width = shape
    return batch, height // config.context_scale, width // config.context_scale, config.context_channels


def blank_conditions(config: ModelConfig, shape: tuple[int, int, int]) -> Conditions:
    """Conditions of zeros, for what depends on shapes only, such as the creation of parameters."""
    return Conditions(
        context=np.zeros(context_shape(config, shape), value_type(config.context_levels)) if config.context_channels else None,
        labels=np.zeros(shape[0], np.int32) if config.num_classes else None,
    )


def _is_needed(name: str, value: Any, field: str, config: ModelConfig, expected: str) -> bool:
    """Whether the model takes an input; raises `InputError` if it is superfluous, missing, or not an array."""
    if not getattr(config, field):
        if value is not None:
            raise InputError(f"{name} must be None: the model takes none ({field}=0).")
        return False
    if not hasattr(value, "dtype"):
        raise InputError(f"{expected}, as an array; got {'none' if value is None else type(value).__name__}.")
    return True


def _check_labels(config: ModelConfig, labels: Any, batch: int) -> None:
    expected = f"labels must be integers [{batch}] in [0, {config.num_classes}), one for each image"
    if not _is_needed("labels", labels, "num_classes", config, expected):
        return
    if not jnp.issubdtype(labels.dtype, jnp.integer) or labels.shape != (batch,):
        raise InputError(f"{expected}; got {labels.dtype} of shape {labels.shape}.")
    if is_concrete(labels) and batch:
        low, high = int(np.min(labels)), int(np.max(labels))  # the labels' own dtype may not hold num_classes
        if low < 0 or high >= config.num_classes:
            raise InputError(f"{expected}; got values from {low} to {high}.")


def _check_context(config: ModelConfig, context: Any, shape: tuple[int, int, int], *, allow_float: bool) -> None:
    expected = f"context must be images of shape {context_shape(config, shape)}"
    if not _is_needed("context", context, "context_channels", config, expected):
        return
    try:
        check_images(context, levels=config.context_levels, channels=config.context_channels, allow_float=allow_float)
    except InputError as error:
        raise InputError(f"context: {error}") from None
    if context.shape != context_shape(config, shape):
        raise InputError(f"{expected}; got {context.shape}.")
