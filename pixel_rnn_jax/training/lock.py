"""A work directory belongs to one run at a time."""

import os
import socket
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

from pixel_rnn_jax.errors import InputError

FILE = "lock"


def lock_workdir(workdir: str | Path) -> AbstractContextManager:
    """Locks a work directory, which is created if need be, for a context.

    The operating system also releases the lock, however the process dies.

    Raises:
      InputError: if another process holds it, or the directory cannot be written to.
    """
    file = Path(workdir) / FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file, fallback_to_soft=False).acquire(timeout=0)
        file.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
    except Timeout:
        holder = file.read_text(errors="replace").strip() or "another process"
        raise InputError(f"{workdir} is in use by {holder}; only one run at a time can work on a directory.") from None
    except OSError as error:
        raise InputError(f"{workdir} must be a folder that can be written to; got {error.strerror}.") from None
    return lock
