"""Parts of a batch, which a device computes one after the other."""

from typing import Any

import jax
import numpy as np

# On a CPU: as many images as make up so many hidden features, but no fewer and no more than these.
FEATURES_OF_A_PART = 2**16
IMAGES_OF_A_PART = (2, 16)


def fast_parts(images: int, size: tuple[int, int], features: int, platform: str) -> int:
    """Into how many equal parts to cut a device's share of a batch.

    An accelerator wants all at once. A core wants what its caches hold, and memory that the next part uses again.

    Args:
      images: in the share.
      size: their height and width.
      features: h.
      platform: of the device.
    """
    if platform != "cpu":
        return 1
    at_most = np.clip(FEATURES_OF_A_PART // (size[0] * size[1] * features), *IMAGES_OF_A_PART)
    return next(parts for parts in range(1, images + 1) if images % parts == 0 and images // parts <= at_most)


def cut(batch: Any, parts: int) -> Any:
    """Cuts the leading axis of each array of a tree, [parts, B / parts, ...]."""
    return jax.tree.map(lambda array: array.reshape(parts, -1, *array.shape[1:]), batch)
