"""Several processes that train together (`jax.distributed`): connecting them, and what only the main one does."""

import os
import sys
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from pixel_rnn_jax.errors import InputError, one_line

T = TypeVar("T")
MAX_MESSAGE = 1000  # bytes of an error that is sent to all processes
HEARTBEAT_SECONDS = 30  # a process that is silent for longer counts as dead, and the others end


def num_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def connect(
    coordinator: str | None = None,  # HOST:PORT of process 0
    num_processes: int | None = None,
    process: int | None = None,  # number of this process, from 0
    *,
    stop_together: bool = False,
) -> None:
    """Joins the other processes, or raises `InputError`. Must run before JAX is used for anything else.

    Without arguments, JAX detects the cluster itself: on Cloud TPUs, under SLURM, and under Open MPI. `stop_together` hands
    SIGTERM over to JAX, so that all processes agree on a step to stop at (see `StopSignals`).
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
    jax.config.update("jax_enable_preemption_service", stop_together)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process,
            # With an address there is nothing to detect.
            cluster_detection_method=None if coordinator is None else "deactivate",
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        where = "no cluster was found in the environment" if coordinator is None else f"no connection by {coordinator}"
        raise InputError(f"the processes cannot be joined: {where} ({one_line(error)}).") from None


def is_main() -> bool:
    """Whether this is the process that writes metrics and pictures and prints."""
    return jax.process_index() == 0


def tell(line: str) -> None:
    """Prints a line for the user to standard error; of several processes, only the main one does."""
    if is_main():
        print(line, file=sys.stderr)


def on_main(function: Callable[[], T], *, raises: tuple[type[Exception], ...] = (InputError, OSError)) -> T | None:
    """Calls a function in the main process while the others wait. Returns its result there, and None in the others.

    If it raises one of the errors in `raises`, all processes raise the same one, so that none keeps waiting.
    """
    result, error = None, None
    if is_main():
        try:
            result = function()
        except raises as raised:
            error = raised
    if jax.process_count() > 1:
        code = next((number for number, kind in enumerate(raises, 1) if isinstance(error, kind)), 0)  # 0: no error
        sent = bytes([code]) + str(error).encode(errors="replace")[:MAX_MESSAGE].ljust(MAX_MESSAGE)
        code, *message = multihost_utils.broadcast_one_to_all(np.frombuffer(sent, np.uint8)).tolist()
        if code and error is None:
            error = raises[code - 1](bytes(message).decode(errors="replace").strip())
    if error is not None:
        raise error
    return result


def from_main(number: int) -> int:
    """The main process's number, in every process."""
    return number if jax.process_count() == 1 else int(multihost_utils.broadcast_one_to_all(np.array(number)))
