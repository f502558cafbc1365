"""The machine: what it is, how long a function takes on it, and how fast it multiplies matrices."""

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixel_rnn_jax.parallel.distributed import num_cores

PRODUCT_SIZES = {"cpu": 2048}  # rows and columns of matrices that keep a device busy
PRODUCT_SIZE = 8192  # on all others
PRODUCTS = 4  # one after the other in a program, so that its start does not count


def describe_machine() -> dict[str, Any]:
    """Platform, devices, cores and JAX."""
    devices = jax.local_devices()
    return {
        "platform": devices[0].platform,
        "device_kind": devices[0].device_kind,
        "devices": len(devices),
        "cores": num_cores(),
        "jax": jax.__version__,
    }


def timed(function: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Seconds of the first call, with compilation, and the median of some more."""
    seconds = []
    for _ in range(1 + repeats):
        begin = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - begin)
    return seconds[0], float(np.median(seconds[1:]))


def product_rate(dtype: str, precision: str, repeats: int) -> float:
    """Measures square matrix products, on all local devices at the same time.

    Args:
      dtype: of the matrices.
      precision: of float32 products, see `ModelConfig`.
      repeats: measurements, of which the median counts.

    Returns:
      Floating-point operations per second, of all devices together.
    """
    size, devices = PRODUCT_SIZES.get(jax.default_backend(), PRODUCT_SIZE), jax.local_devices()
    # Random numbers, since a GPU clocks higher on zeros; of a variance that products keep.
    matrix = np.random.default_rng(0).normal(0, 1 / math.sqrt(size), (size, size)).astype(np.float32)
    matrices = [jax.device_put(jnp.asarray(matrix, dtype), device) for device in devices]

    @jax.jit
    def multiply(matrix):
        return functools.reduce(lambda product, _: jnp.matmul(product, matrix, precision=precision), range(PRODUCTS), matrix)

    _, seconds = timed(lambda: [multiply(matrix) for matrix in matrices], repeats)
    return len(devices) * PRODUCTS * 2 * size**3 / seconds
