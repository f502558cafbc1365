"""Image conventions and checks: images are integers [B, H, W, C] in [0, levels)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Num, Shaped, UInt8

from pixel_rnn_jax.errors import InputError, check_integer

# Annotates the images that public functions take. Any array passes, so that `check_images` can raise a ValueError that says
# what is wrong with it. Inner functions state rank and type.
Images = Shaped[Array | np.ndarray, "..."]


def is_concrete(array: Any) -> bool:
    """Whether the values of `array` are known; they are not while JAX traces."""
    return not isinstance(array, jax.core.Tracer)


def check_images(images: Images, *, levels: int, channels: int, allow_float: bool = False) -> None:
    """Raises `InputError` unless `images` are integers in [0, levels) of shape [B, H, W, channels].

    `allow_float` also accepts floating-point images, with any values (for derivatives by the input).
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
        hint = " Move the channels there with np.moveaxis(images, 1, -1)." if images.shape[1] == channels else ""
        raise InputError(f"images must have {channels} channels on their last axis; got shape {images.shape}.{hint}")
    if 0 in images.shape[1:3]:
        raise InputError(f"images must be at least 1 pixel high and wide; got shape {images.shape}.")


def check_values(images: Images, *, levels: int, where: Shaped[Array | np.ndarray, "..."] | None = None) -> None:
    """Raises `InputError` unless `images` are integers in [0, levels); of traced images only the dtype is checked.

    `where`, bool of the images' shape, says which values to check; all by default.
    """
    if not jnp.issubdtype(images.dtype, jnp.integer):
        raise InputError(f"images must be integers in [0, {levels}); got dtype {images.dtype}.{remedy(images.dtype)}")
    if is_concrete(images) and is_concrete(where) and images.size:
        values = np.asarray(images) if where is None else np.where(where, images, 0)
        if values.min() < 0 or values.max() >= levels:
            raise InputError(f"images must lie in [0, {levels}); got values from {values.min()} to {values.max()}.")


def remedy(dtype: Any) -> str:
    """A sentence for an error message: how to convert images of this dtype to integers; empty if unknown."""
    if jnp.issubdtype(dtype, jnp.bool_):
        return " Convert them with array.astype('uint8')."
    if jnp.issubdtype(dtype, jnp.floating):
        return " Convert values in [0, 1] with np.round(array * (levels - 1)).astype('uint8')."
    return ""


def centre(images: Num[Array, "*shape"], levels: int) -> Float32[Array, "*shape"]:
    """Scales values from [0, levels - 1] to [-1, 1] (§3, "inputs are only scaled and centred")."""
    return images.astype(jnp.float32) * (2 / (levels - 1)) - 1


def to_picture(images: Images, levels: int) -> UInt8[np.ndarray, "..."]:
    """Spreads the levels of images evenly over the 8 bits of a picture, [0, 255], so that image viewers show them.

    Args:
      images: integers in [0, levels), of any shape: one image, or many.
      levels: number of values that a sub-pixel can take, `model.config.levels`.

    Returns:
      uint8, of the images' shape: 0 for the lowest level, 255 for the highest.

    Raises:
      InputError: (a ValueError) if the values are no integers in [0, levels), or `levels` is below 2.
    """
    check_integer("levels", levels, 2)
    check_values(images, levels=levels)
    return np.round(np.asarray(images).astype(np.float64) * (255 / (levels - 1))).astype(np.uint8)


def from_picture(pixels: UInt8[np.ndarray, "*shape"], levels: int) -> UInt8[np.ndarray, "*shape"]:
    """The inverse of `to_picture`; values between two levels become the nearest one."""
    return np.round(pixels.astype(np.float64) * ((levels - 1) / 255)).astype(np.uint8)
