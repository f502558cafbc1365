"""A work directory belongs to one run at a time."""

import fcntl
import os
import socket
from pathlib import Path

from pixel_rnn_jax.errors import InputError

FILE = "lock"


class WorkdirLock:
    """Holds a work directory until it is closed; the operating system lets go of it when the process dies, however it dies.

    A context manager that closes it.

    Args:
      workdir: the work directory; made, if it does not exist.

    Raises:
      InputError: if another process holds it, or it cannot be written to.
    """

    def __init__(self, workdir: str | Path):
        workdir = Path(workdir)
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(workdir / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except BlockingIOError:
            holder = os.read(self._descriptor, 200).decode(errors="replace").strip() or "another process"
            os.close(self._descriptor)
            raise InputError(f"{workdir} is in use by {holder}; only one run at a time can work on a directory.") from None
        except OSError as error:
            raise InputError(f"{workdir} must be a folder that can be written to; got {error.strerror}.") from None

    def __enter__(self) -> "WorkdirLock":
        return self

    def __exit__(self, *exception) -> None:
        os.close(self._descriptor)  # the file stays: removed, it could be held twice under one name
