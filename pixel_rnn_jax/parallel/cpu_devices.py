"""CPU cores as devices of JAX."""

import os

import jax

from pixel_rnn_jax.parallel.distributed import num_cores

IMAGES_PER_CORE = 4  # fewer images are not worth another core


def share_among_cores(batch_size: int | None, *, microbatches: int = 1) -> None:
    """Makes a CPU device of each core, of as many cores as can have equal shares of a batch; must come before JAX is used.

    Cores gain more by images of their own than by sharing each of a scan's small products. It does nothing if the user has set
    the number of CPU devices. With a batch size of None, all cores are used.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "") or jax.config.jax_num_cpu_devices != -1:
        return
    counts = range(num_cores(), 1, -1)
    if batch_size is not None:
        counts = (
            count for count in counts if batch_size % (count * microbatches) == 0 and batch_size // count >= IMAGES_PER_CORE
        )
    jax.config.update("jax_num_cpu_devices", next(iter(counts), 1))
