"""Microbatches: equal pieces of a batch, which a device computes one after the other."""

from typing import Any

import jax

# On a CPU, a microbatch has the most images of these numbers that have no more hidden features than this, H · W · h each.
CPU_IMAGES = (16, 8, 4, 2, 1)
CPU_FEATURES = 2**16


def fast_microbatches(images: int, size: tuple[int, int], features: int, platform: str) -> int:
    """The fastest number of microbatches for a device's share of a batch.

    An accelerator is fastest with all images at once. A CPU core is fastest with as many as its caches hold; the next
    microbatch then reuses their memory. If that number does not divide the share, microbatches are the largest smaller ones
    that do.
    """
    if platform != "cpu":
        return 1
    per_image = size[0] * size[1] * features
    at_most = next((count for count in CPU_IMAGES if count * per_image <= CPU_FEATURES), CPU_IMAGES[-1])
    return next(count for count in range(1, images + 1) if images % count == 0 and images // count <= at_most)


def split_microbatches(batch: Any, count: int) -> Any:
    """Splits the leading axis of each array of a tree, [B, ...] -> [count, B / count, ...]."""
    return jax.tree.map(lambda array: array.reshape(count, -1, *array.shape[1:]), batch)
