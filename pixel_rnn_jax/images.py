"""Image conventions and checks: images are integers [B, H, W, C] in [0, levels)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Integer, Num, Shaped, UInt, UInt8

from pixel_rnn_jax.errors import InputError, check_integer

# Annotates the images that public functions take. Any array passes, so that `check_images` can raise a ValueError that says
# what is wrong with it. Inner functions state rank and type.
Images = Shaped[Array | np.ndarray, "..."]


def is_concrete(array: Any) -> bool:
    """Whether the values of `array` are known; they are not while JAX traces."""
    return not isinstance(array, jax.core.Tracer)


def value_type(levels: int) -> type[np.uint8] | type[np.uint16]:
    """The type of images of so many levels: uint8 up to 256 levels, uint16 above."""
    return np.uint8 if levels <= 256 else np.uint16


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
    hint = f" pixel_rnn_jax.quantize(array, levels={levels}) gives the levels of pictures, as data.quantize does in training."
    hint = hint if levels <= 256 else ""
    if not jnp.issubdtype(images.dtype, jnp.integer):
        raise InputError(f"images must be integers in [0, {levels}); got dtype {images.dtype}.{hint}")
    if is_concrete(images) and is_concrete(where) and images.size:
        values = np.asarray(images) if where is None else np.where(where, images, 0)
        low, high = values.min(), values.max()
        if low < 0 or high >= levels:
            hint = hint if low >= 0 and high < 256 else ""
            raise InputError(f"images must lie in [0, {levels}); got values from {low} to {high}.{hint}")


def possible(values: Integer[Array | np.ndarray, "*shape"], levels: int) -> Bool[Array, "*shape"]:
    """Which values lie in [0, levels). Traced ones that do not cannot be refused: what depends on them becomes NaN."""
    values = jnp.asarray(values).astype(jnp.int32)  # a uint8 cannot be compared with 256
    return (values >= 0) & (values < levels)


def quantize(pictures: Any, levels: int, source_levels: int = 256) -> UInt[np.ndarray, "..."]:
    """Reduces the values of pictures to the levels of a model, as training does with `data.quantize`, in bins of equal width.

    The formula is floor(value * levels / source_levels). With 2 levels it is that of `data.binarization="threshold"`.

    Args:
      pictures: an array of any shape, or what NumPy makes an array of: integers in [0, source_levels), as in PNG files; or
        floats or truth values in [0, 1], of which 1 stands for source_levels - 1.
      levels: those of the model, 2 to `source_levels`.
      source_levels: number of values in the pictures, 2 to 65,536.

    Returns:
      uint8 of the same shape, in [0, levels); uint16 if there are more than 256 levels.

    Raises:
      InputError: (a ValueError) if the pictures, `levels` or `source_levels` are out of range.
    """
    source_levels = check_integer("source_levels", source_levels, 2, 65_536)
    levels = check_integer("levels", levels, 2, source_levels)
    pictures = np.asarray(pictures)
    low, high = (pictures.min(), pictures.max()) if pictures.size else (0, 0)
    is_integer = np.issubdtype(pictures.dtype, np.integer)
    if not (low >= 0 and high <= (source_levels - 1 if is_integer else 1)):  # NaN is refused, too
        raise InputError(
            f"pictures must be integers in [0, {source_levels}) or floats in [0, 1]; got {pictures.dtype} from {low} to"
            f" {high}. np.round(array).astype(int) converts floats in [0, {source_levels - 1}]."
        )
    values = pictures if is_integer else np.round(pictures.astype(np.float64) * (source_levels - 1))
    return (values.astype(np.int64) * levels // source_levels).astype(value_type(levels))


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
    """The inverse of `to_picture`, of up to 256 levels; values between two levels become the nearest one."""
    return np.round(pixels.astype(np.float64) * ((levels - 1) / 255)).astype(np.uint8)
