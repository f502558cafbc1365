"""What images take in PNG and lossless WebP: what a model's compression is compared with."""

import io
import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image

FORMATS = {"PNG": {"optimize": True}, "WebP": {"lossless": True, "quality": 100, "method": 6}}
MAX_SIDE = 16_383  # WebP's


def encoded_sizes(images: UInt8[np.ndarray, "N H W C"], levels: int) -> dict[str, int]:
    """The bytes that images take in each format, as one file for each or as one sheet of all, whichever is smaller.

    Args:
      images: in [0, levels). Those of two levels are stored in 1 bit, where the format has that.
      levels: number of values.

    Returns:
      Bytes by name of the format; nothing for images that are too large, or neither grey nor of three colours.
    """
    if images.shape[-1] not in (1, 3) or not len(images):
        return {}
    candidates = [pictures for pictures in (images, _sheet(images)[None]) if max(pictures.shape[1:]) <= MAX_SIDE]
    return {
        name: min(sum(_encoded_size(picture, levels, name) for picture in pictures) for pictures in candidates)
        for name in FORMATS
        if candidates
    }


def _sheet(images: UInt8[np.ndarray, "N H W C"]) -> UInt8[np.ndarray, "height width C"]:
    num, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(num))
    rows = -(-num // columns)
    filled = np.concatenate([images, np.zeros((rows * columns - num, height, width, channels), np.uint8)])
    return (
        filled.reshape(rows, columns, height, width, channels).swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    )


def _encoded_size(image: UInt8[np.ndarray, "H W C"], levels: int, name: str) -> int:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if levels == 2 and name == "PNG" and image.shape[-1] == 1:
        picture = Image.fromarray(image[..., 0].astype(bool))
    buffer = io.BytesIO()
    picture.save(buffer, format=name, **FORMATS[name])
    return buffer.tell()
