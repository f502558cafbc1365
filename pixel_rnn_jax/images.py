"""What an image is here: integers in [0, levels), [B, H, W, C]."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Integer, Num, Shaped, UInt8

from pixel_rnn_jax.errors import InputError

# Annotates the images that public functions take. Any array passes the annotation, so that `check_images` can say with a
# ValueError what is wrong with it; the functions inside state rank and type.
Images = Shaped[Array | np.ndarray, "..."]


def is_concrete(array: Any) -> bool:
    """Whether the values of `array` can be looked at (they cannot while JAX traces)."""
    return not isinstance(array, jax.core.Tracer)


def check_images(images: Images, *, levels: int, channels: int, allow_float: bool = False) -> None:
    """Raises `InputError` unless `images` are integers in [0, levels) of shape [B, H, W, channels].

    Args:
      images: the array to look at; while it is traced, its values are not checked.
      levels: number of values that a sub-pixel can take.
      channels: number of colour channels.
      allow_float: also accept floating-point images, of any value (for derivatives by the input).
    """
    check_shape(images, channels=channels)
    if not (allow_float and jnp.issubdtype(images.dtype, jnp.floating)):
        check_values(images, levels=levels)


def check_shape(images: Images, *, channels: int) -> None:
    """Raises `InputError` unless `images` have the shape [B, H, W, channels]."""
    if not hasattr(images, "ndim"):
        raise InputError(f"images must be an array [B, H, W, C]; got a {type(images).__name__}.")
    if images.ndim != 4:
        raise InputError(f"images must have 4 axes, [B, H, W, C]; got shape {images.shape}.")
    if images.shape[3] != channels:
        raise InputError(f"images must have {channels} channels on their last axis; got shape {images.shape}.")
    if 0 in images.shape[1:3]:
        raise InputError(f"images must be at least 1 pixel high and wide; got shape {images.shape}.")


def check_values(images: Images, *, levels: int, where: Shaped[Array | np.ndarray, "..."] | None = None) -> None:
    """Raises `InputError` unless `images` are integers in [0, levels); while traced, integers.

    Args:
      images: the array to look at.
      levels: number of values that a sub-pixel can take.
      where: bool, of the images' shape; values elsewhere may be anything.
    """
    if not jnp.issubdtype(images.dtype, jnp.integer):
        raise InputError(f"images must be integers in [0, {levels}); got dtype {images.dtype}.{remedy(images.dtype)}")
    if is_concrete(images) and is_concrete(where) and images.size:
        values = np.asarray(images) if where is None else np.where(where, images, 0)
        if values.min() < 0 or values.max() >= levels:
            raise InputError(f"images must lie in [0, {levels}); got values from {values.min()} to {values.max()}.")


def remedy(dtype: Any) -> str:
    """How to make integers of images of another type, if that is known; a sentence to end an error with."""
    if jnp.issubdtype(dtype, jnp.bool_):
        return " array.astype('uint8') makes 0 and 1 of them."
    if jnp.issubdtype(dtype, jnp.floating):
        return " Those of values in [0, 1] are np.round(array * (levels - 1)).astype('uint8')."
    return ""


def centre(images: Num[Array, "*shape"], levels: int) -> Float32[Array, "*shape"]:
    """Scales values from [0, levels - 1] to [-1, 1] (§3, "inputs are only scaled and centred")."""
    return images.astype(jnp.float32) * (2 / (levels - 1)) - 1


def to_picture(images: Integer[np.ndarray, "*shape"], levels: int) -> UInt8[np.ndarray, "*shape"]:
    """Spreads [0, levels) over the 8 bits of a picture, [0, 255]."""
    return np.round(images.astype(np.float64) * (255 / (levels - 1))).astype(np.uint8)


def from_picture(pixels: UInt8[np.ndarray, "*shape"], levels: int) -> UInt8[np.ndarray, "*shape"]:
    """The inverse of `to_picture`; values that it never gives become the nearest level."""
    return np.round(pixels.astype(np.float64) * ((levels - 1) / 255)).astype(np.uint8)
