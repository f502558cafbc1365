"""Identity of a model and of the platform: a model's numbers depend on both, to the last bit."""

import dataclasses
import hashlib
from typing import Any

import flax.linen as nn
import jax
import jaxlib
import numpy as np

from pixel_rnn_jax.parallel.distributed import num_cores
from pixel_rnn_jax.parallel.hardware import processor


def checksum(data: bytes, size: int = 8) -> bytes:
    """BLAKE2b hash of `size` bytes."""
    return hashlib.blake2b(data, digest_size=size).digest()


def fingerprint(model: nn.Module, params: Any) -> bytes:
    """A 16-byte hash of a model's configuration and its parameters."""
    config = dataclasses.asdict(model.config)
    for name in ("dropout", "remat"):  # training only
        del config[name]
    parts = [repr(sorted(config.items()))]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        leaf = np.asarray(leaf)
        parts.append(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape} {checksum(leaf.tobytes(), 16).hex()}")
    return checksum("\n".join(parts).encode(), 16)


def this_platform() -> str:
    """Names library, device and processor, on which the last bits of the numbers may depend."""
    device = jax.devices()[0]
    return f"jaxlib {jaxlib.__version__}, {device.platform} {device.device_kind}, {processor()}, {num_cores()} cores"
