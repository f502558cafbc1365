"""The machine: what it is, how long a function takes on it, how fast it multiplies matrices, and when its memory is full."""

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixel_rnn_jax.parallel.distributed import num_cores

PRODUCT_SIZES = {"cpu": 2048}  # rows and columns of matrices that keep a device busy, by platform
PRODUCT_SIZE = 8192  # on other platforms
PRODUCTS = 4  # in one program, one after the other, so that its start does not count


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
    """Seconds of the first call, with compilation, and the median of `repeats` further calls."""
    seconds = []
    for _ in range(1 + repeats):
        begin = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - begin)
    return seconds[0], float(np.median(seconds[1:]))


def product_rate(dtype: str, precision: str, repeats: int) -> float:
    """Floating-point operations per second in square matrix products, on all local devices together.

    Args:
      dtype: of the matrices.
      precision: of float32 products, see `ModelConfig`.
      repeats: measurements; the median counts.
    """
    size, devices = PRODUCT_SIZES.get(jax.default_backend(), PRODUCT_SIZE), jax.local_devices()
    # Random numbers, since a GPU clocks higher on zeros. Their variance is kept by products.
    matrix = np.random.default_rng(0).normal(0, 1 / math.sqrt(size), (size, size)).astype(np.float32)
    matrices = [jax.device_put(jnp.asarray(matrix, dtype), device) for device in devices]

    @jax.jit
    def multiply(matrix):
        return functools.reduce(lambda product, _: jnp.matmul(product, matrix, precision=precision), range(PRODUCTS), matrix)

    _, seconds = timed(lambda: [multiply(matrix) for matrix in matrices], repeats)
    return len(devices) * PRODUCTS * 2 * size**3 / seconds


def is_out_of_memory(error: MemoryError | jax.errors.JaxRuntimeError) -> bool:
    """Whether an error of Python or JAX means that the memory of the host or of a device is exhausted."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
