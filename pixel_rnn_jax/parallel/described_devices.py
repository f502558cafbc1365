"""TPUs and GPUs that are only described: JAX's compilers take a description for the devices themselves.

What was compiled for them cannot run here. It tells what a machine would be given to do, before one is rented.
"""

import importlib.util
import os
from typing import NamedTuple

import jax
from jax.experimental import topologies

from pixel_rnn_jax.errors import InputError, one_line

TPU_GIB = {"v2": 8, "v3": 16, "v4": 32, "v5e": 16, "v5p": 95, "v6e": 32}  # of a device: a chip, or a core of v2 and v3
TWO_CORES = ("v4", "v5p")  # whose chips have two cores that JAX shows as one device
# libtpu asks the machine at hand what it is, unless it is told, and refuses to serve two processes, unless it may.
TPU_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v4-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
GPUS_PER_HOST = 8
GPU_SHARE = 0.75  # of a GPU's memory, which JAX takes unless XLA_PYTHON_CLIENT_MEM_FRACTION is set


class GPU(NamedTuple):
    """What XLA needs to know of a GPU."""

    name: str
    capability: int  # compute capability's first number
    memory: int  # bytes
    bandwidth: int  # bytes a second
    cores: int  # streaming multiprocessors
    fpus: int  # of a core
    clock: float  # GHz
    l2_cache: int  # bytes
    shared_memory: int  # bytes of a core

    def target_config(self) -> str:
        """XLA's GpuTargetConfigProto, as text."""
        return f"""
            gpu_device_info {{
              threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
              shared_memory_per_block: 49152 shared_memory_per_block_optin: {self.shared_memory - 1024}
              shared_memory_per_core: {self.shared_memory} core_count: {self.cores} fpus_per_core: {self.fpus}
              block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
              memory_bandwidth: {self.bandwidth} l2_cache_size: {self.l2_cache} clock_rate_ghz: {self.clock}
              device_memory_size: {self.memory} cuda_compute_capability {{ major: {self.capability} minor: 0 }}
              registers_per_core_limit: 65536 registers_per_block_limit: 65536
            }}
            platform_name: "CUDA"
            dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
            runtime_version {{ major: 13 minor: 0 patch: 0 }}
            device_description_str: "{self.name}"
        """


GPUS = {
    "a100": GPU("NVIDIA A100-SXM4-80GB", 8, 85_100_068_864, 2_039_040_000_000, 108, 64, 1.41, 40 * 2**20, 164 * 2**10),
    "h100": GPU("NVIDIA H100 80GB HBM3", 9, 84_942_979_072, 3_352_320_000_000, 132, 128, 1.98, 50 * 2**20, 228 * 2**10),
    "h200": GPU("NVIDIA H200 141GB HBM3e", 9, 151_397_597_184, 4_800_000_000_000, 132, 128, 1.98, 50 * 2**20, 228 * 2**10),
}


class Described(NamedTuple):
    """Devices of one kind: for `make_mesh`, and the bytes of memory of each."""

    devices: list[jax.Device]
    memory: int  # that JAX can use


def described_devices(topology: str) -> Described:
    """The devices of a topology, such as "v5e:4x4" (TPU chips, by their layout) or "h100:8" (a kind of GPU, and how many).

    Raises:
      InputError: if it is unknown, or JAX's compiler for it is not installed.
    """
    kind, _, layout = topology.partition(":")
    if kind in TPU_GIB:
        _check_installed(topology, "libtpu", "tpu")
        return Described(_tpu_devices(topology, kind, layout), TPU_GIB[kind] * 2**30)
    if kind in GPUS:
        _check_installed(topology, "jax_cuda13_plugin", "cuda")
        return Described(_gpu_devices(topology, kind, layout or "1"), int(GPU_SHARE * GPUS[kind].memory))
    raise InputError(_expected(topology))


def _tpu_devices(topology: str, kind: str, layout: str) -> list[jax.Device]:
    lengths = layout.split("x")
    if len(lengths) not in (2, 3) or not all(length.isdecimal() for length in lengths):
        raise InputError(_expected(topology))
    for name, value in TPU_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    per_host = [min(2, int(length)) for length in lengths[:2]]  # four chips, 2 x 2, on each host of a slice
    options = {"chip_config_name": "megacore"} if kind in TWO_CORES else {}
    return _devices(
        topology, platform="tpu", topology_name=topology, chips_per_host_bounds=(*per_host, 1), num_slices=1, **options
    )


def _gpu_devices(topology: str, kind: str, count: str) -> list[jax.Device]:
    hosts = -(-int(count) // GPUS_PER_HOST) if count.isdecimal() else 0
    if not hosts or int(count) % hosts:
        raise InputError(_expected(topology))
    return _devices(
        topology,
        platform="cuda",
        topology_name=kind,
        topology=f"1x{hosts}x{int(count) // hosts}",
        target_config=GPUS[kind].target_config(),
    )


def _devices(name: str, **options) -> list[jax.Device]:
    try:
        return list(topologies.get_topology_desc(**options).devices)
    except jax.errors.JaxRuntimeError as error:
        raise InputError(f"{_expected(name)} ({one_line(error)})") from None


def _expected(topology: str) -> str:
    names = ", ".join(TPU_GIB), ", ".join(GPUS)
    return (
        f"--topology must be TPU chips, such as v5e:4x4 or v4:2x2x4 ({names[0]}), or GPUs, such as h100:8 ({names[1]}; up to"
        f" {GPUS_PER_HOST}, or as many on each of several hosts); got {topology!r}."
    )


def _check_installed(topology: str, module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise InputError(f"compiling for {topology} needs JAX's compiler for it: pip install 'pixel_rnn_jax[{extra}]'.")
