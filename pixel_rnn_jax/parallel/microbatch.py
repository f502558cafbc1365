"""Parts of a batch, which a device computes one after the other."""

from typing import Any

import jax

# On a CPU: the most images that make up so many hidden features; 2 at least.
FEATURES_OF_A_PART = 2**16
IMAGES_OF_A_PART = (16, 8, 4, 2)


def fast_microbatches(images: int, size: tuple[int, int], features: int, platform: str) -> int:
    """Into how many equal parts to cut a device's share of a batch.

    An accelerator wants all at once. A core wants what its caches hold, and memory that the next part uses again. A share that
    a few powers of two do not divide is cut into the fewest parts that are no larger.

    Args:
      images: in the share.
      size: their height and width.
      features: h.
      platform: of the device.
    """
    if platform != "cpu":
        return 1
    per_image = size[0] * size[1] * features
    at_most = next((count for count in IMAGES_OF_A_PART if count * per_image <= FEATURES_OF_A_PART), IMAGES_OF_A_PART[-1])
    return next(parts for parts in range(1, images + 1) if images % parts == 0 and images // parts <= at_most)


def split_microbatches(batch: Any, parts: int) -> Any:
    """Cuts the leading axis of each array of a tree, [parts, B / parts, ...]."""
    return jax.tree.map(lambda array: array.reshape(parts, -1, *array.shape[1:]), batch)
