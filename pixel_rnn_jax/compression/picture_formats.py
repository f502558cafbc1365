"""Sizes in PNG and lossless WebP, for comparison with a model's compression."""

import io
import math
from typing import Any

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt
from PIL import Image

from pixel_rnn_jax.images import Images, check_images, value_type

FORMATS = {"PNG": {"optimize": True}, "WebP": {"lossless": True, "quality": 100, "method": 6}}
QUICK = {"lossless": True, "quality": 75, "method": 4}  # of a photo of 32x32: 3 % smaller, in a twentieth of the time
MAX_SIDE = 16_383  # WebP's
CHANNELS = (1, 3, 4)


def encoded_sizes(images: Images, levels: int) -> dict[str, int]:
    """Bytes of images in [0, levels) in each format, as one file for each image or as one sheet, whichever is smaller.

    Images of more than 256 levels are sized as PNG only, and only in grey. Empty for images that are too large, or that have
    neither 1, 3 nor 4 channels.

    Raises:
      InputError: (a ValueError) if the images are not integers in [0, levels) of shape [N, H, W, C].
    """
    check_images(images, levels=levels, channels=np.shape(images)[-1])
    images, deep = np.asarray(images).astype(value_type(levels)), levels > 256
    if images.shape[-1] not in ((1,) if deep else CHANNELS) or not len(images):
        return {}
    candidates = [pictures for pictures in (images, _sheet(images)[None]) if max(pictures.shape[1:]) <= MAX_SIDE]
    return {
        name: min(sum(_encoded_size(picture, levels, name, options) for picture in pictures) for pictures in candidates)
        for name, options in FORMATS.items()
        if candidates and not (deep and name == "WebP")
    }


def webp_holds(shape: tuple[int, ...], levels: int) -> bool:
    """Whether WebP can hold images [H, W, C] of so many levels."""
    return levels <= 256 and shape[-1] in CHANNELS and max(shape[:2]) <= MAX_SIDE


def webp_bits(images: UInt[np.ndarray, "N H W C"], levels: int) -> Float[np.ndarray, " N"]:
    """Bits of each image in [0, levels) as a lossless WebP file of its own; NaN if WebP cannot hold such images."""
    if not webp_holds(images.shape[1:], levels):
        return np.full(len(images), np.nan)
    return np.array([8.0 * _encoded_size(image, levels, "WebP", QUICK) for image in images])


def _sheet(images: UInt[np.ndarray, "N H W C"]) -> UInt[np.ndarray, "height width C"]:
    columns = math.ceil(math.sqrt(len(images)))
    filled = np.pad(images, ((0, -len(images) % columns), (0, 0), (0, 0), (0, 0)))
    return rearrange(filled, "(rows columns) h w c -> (rows h) (columns w) c", columns=columns)


def _encoded_size(image: UInt[np.ndarray, "H W C"], levels: int, name: str, options: dict[str, Any]) -> int:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if levels == 2 and name == "PNG" and image.shape[-1] == 1:
        picture = Image.fromarray(image[..., 0].astype(bool))
    buffer = io.BytesIO()
    picture.save(buffer, format=name, **options)
    return buffer.tell()
