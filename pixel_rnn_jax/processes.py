"""Several processes that work as one, by `jax.distributed`: started, told apart, and brought to the same point."""

import jax
from jax.experimental import multihost_utils

from pixel_rnn_jax.errors import InputError

HEARTBEAT_SECONDS = 20  # a process that is silent for so long is taken for dead, and ends the others


def connect(coordinator: str | None = None, num_processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes; before JAX is used for anything else.

    Args:
      coordinator: HOST:PORT at which process 0 can be reached. If nothing is given, JAX finds out itself what there is: on
        Cloud TPUs, under SLURM and under Open MPI.
      num_processes: how many there are.
      process: which of them this one is.

    Raises:
      InputError: if only some of the three are given, or nothing is and JAX finds no cluster, or the others are not there.
    """
    explicit = (coordinator, num_processes, process)
    if any(value is None for value in explicit) and any(value is not None for value in explicit):
        raise InputError(
            f"coordinator, num_processes and process go together; got {coordinator!r}, {num_processes} and {process}."
        )
    if coordinator is not None:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdecimal():
            raise InputError(f"coordinator must be HOST:PORT; got {coordinator!r}.")
        if not 0 <= process < num_processes:
            raise InputError(f"process must be in [0, num_processes); got {process} of {num_processes}.")
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process,
            # One that starts on its own devices needs no look around for a cluster.
            cluster_detection_method=None if coordinator is None else "deactivate",
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        where = "no cluster was found in the environment" if coordinator is None else f"no connection by {coordinator}"
        raise InputError(f"the processes cannot be joined: {where} ({' '.join(str(error).split())[:200]}).") from None


def is_main() -> bool:
    """Whether this is the one process that writes metrics and pictures and speaks to the user."""
    return jax.process_index() == 0


def meet(name: str) -> None:
    """Waits until all processes are here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
