"""The machine: what it is, how long a function takes on it, how fast it multiplies matrices, and when its memory is full."""

import contextlib
import functools
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixel_rnn_jax.parallel.distributed import num_cores

PRODUCT_SIZES = {"cpu": 2048}  # rows and columns of matrices that keep a device busy, by platform
PRODUCT_SIZE = 8192  # on other platforms
PRODUCTS = 4  # in one program, one after the other, so that its start does not count
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of versions 2 and 1
# On a CPU, a model needs up to 2.7 times the memory that XLA plans, which leaves out arrays inside fused products.
BEYOND_PLAN = 3  # times the plan, to be safe
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "YNNPACK operation failed")  # the latter on a CPU, without a word of memory


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
    return isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


def free_memory(devices: int) -> float:
    """Bytes of memory that each of so many CPU devices may still take; infinite for other devices, which tell XLA themselves.

    On a CPU, the system lets XLA allocate more than there is, and ends the process when it uses it.
    """
    if jax.default_backend() != "cpu":
        return math.inf
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError):  # only Linux has it
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        limits.append(int(fields["MemAvailable"].split()[0]) * 1024)
    for file in CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            limits.append(int(Path(file).read_text()))
    return min(limits) / devices


@functools.cache
def processor() -> str:
    """The processor's name, since XLA compiles for it; its architecture where the system does not tell the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
