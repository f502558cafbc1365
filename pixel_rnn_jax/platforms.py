"""What depends on the platform: how a computation is cut. The numbers are the same up to rounding, the speeds are not.

The platform is that of the devices which a program is compiled for, never that of the machine at hand: a program for a TPU can
be compiled without one.
"""

import math
from collections.abc import Callable
from typing import Any

import jax

SIDE_BY_SIDE = 4
# On a CPU, a microbatch has the most images of these numbers that have no more hidden features than this, H · W · h each.
CPU_IMAGES = (16, 8, 4, 2, 1)
CPU_FEATURES = 2**16


def target_platform() -> str:
    """The platform of the mesh that a function is traced for, such as "cpu"; without a mesh, JAX's default device's."""
    device = jax.sharding.get_abstract_mesh().abstract_device or jax.config.jax_default_device
    return getattr(device, "platform", device) or jax.default_backend()


def images_side_by_side(batch: int) -> int:
    """How many images of a batch lie side by side in the skewed map of the Diagonal BiLSTM.

    One image fills about half of its skewed map, W / (W + H - 1); four fill 4W / (4W + H - 1) of theirs, which has four times
    as many columns. That pays where products take the time, as on a CPU, but not where each step of a scan has a fixed cost.
    """
    return math.gcd(batch, SIDE_BY_SIDE) if target_platform() == "cpu" else 1


def layers_in_a_turn(depth: int) -> int:
    """How many layers of a network a turn of the loop over its layers computes.

    On a CPU all: XLA would copy what each layer keeps for the backward pass into one array. Compilers for accelerators take
    several times as long for layers that are written out, and let the kernels write straight into that array.
    """
    return depth if target_platform() == "cpu" else 1


def fast_microbatches(images: int, size: tuple[int, int], features: int, platform: str | None = None) -> int:
    """The fastest number of microbatches for one device's images, on a platform; by default the `target_platform`.

    An accelerator is fastest with all images at once. A CPU core is fastest with as many as its caches hold; the next
    microbatch then reuses their memory. If that number does not divide the share, microbatches are the largest smaller ones
    that do.
    """
    if (platform or target_platform()) != "cpu":
        return 1
    per_image = size[0] * size[1] * features
    at_most = next((count for count in CPU_IMAGES if count * per_image <= CPU_FEATURES), CPU_IMAGES[-1])
    return next(count for count in range(1, max(images, 1) + 1) if images % count == 0 and images // count <= at_most)


def in_microbatches(function: Callable[[Any], Any], batch: Any, size: tuple[int, int], features: int) -> Any:
    """Applies a function to a batch of images of a size, in as many microbatches as are fast; joins what it returns."""
    images = len(jax.tree.leaves(batch)[0])
    microbatches = fast_microbatches(images, size, features)
    if microbatches == 1:
        return function(batch)
    results = jax.lax.map(function, split_microbatches(batch, microbatches))
    return jax.tree.map(lambda result: result.reshape(images, *result.shape[2:]), results)


def split_microbatches(batch: Any, count: int) -> Any:
    """Splits the leading axis of each array of a tree, [B, ...] -> [count, B / count, ...]."""
    return jax.tree.map(lambda array: array.reshape(count, -1, *array.shape[1:]), batch)
