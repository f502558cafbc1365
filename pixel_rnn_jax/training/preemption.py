"""Ctrl-C and SIGTERM: long work stops at a point where nothing is lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils


class Interrupted(BaseException):
    """Work was stopped by a signal, and its results are saved.

    Like `KeyboardInterrupt`, it is not an `Exception`: it may be raised anywhere, and must not be caught as an error.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = number


@contextlib.contextmanager
def ends_at_sigterm() -> Iterator[None]:
    """A context in which SIGTERM raises `Interrupted`, as SIGINT raises `KeyboardInterrupt`; in the main thread only."""
    if not _takes_signals():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise Interrupted("stopped by SIGTERM", number)

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _takes_signals() -> bool:
    """Python's signal handlers are the main thread's."""
    return threading.current_thread() is threading.main_thread()


class StopSignals:
    """A context in which the first SIGINT or SIGTERM is only noted, for `at`. The second one acts as usual.

    Several processes must stop at the same step: there JAX receives SIGTERM, and tells the others.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        if _takes_signals():
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._note)
            if jax.process_count() == 1:
                self._previous[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._note)
        return self

    def at(self, step: int) -> int | None:
        """The signal to stop for after this step, or None; to be called after each step."""
        if jax.process_count() == 1:
            return self._received
        return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else None

    def __exit__(self, kind, error, traceback) -> None:
        self._restore()
        if jax.process_count() > 1 and _takes_signals():
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # restores Python's handler in place of JAX's
        if self._received is not None and error is None:
            signal.raise_signal(self._received)  # it came after the last call of `at`

    def _note(self, number: int, frame: object) -> None:
        self._received = number
        self._restore()
        if jax.process_count() > 1:
            signal.raise_signal(signal.SIGTERM)

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
