"""Ctrl-C and SIGTERM during long work: it is told to stop, and ends where nothing is lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils


class Interrupted(BaseException):
    """Work was stopped by a signal, and what it had done is saved.

    No `Exception`, as `KeyboardInterrupt` is none: it may come at any place, and is not for those who handle errors there.

    Attributes:
      signal: the signal's number.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = number


@contextlib.contextmanager
def ends_at_sigterm() -> Iterator[None]:
    """A context that SIGTERM ends with `Interrupted`, as SIGINT ends it with `KeyboardInterrupt`."""

    def end(number: int, frame: object) -> None:
        raise Interrupted("stopped by SIGTERM", number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class StopSignals:
    """A context in which the first SIGINT or SIGTERM is only noted, for `at`; the second one acts as usual.

    Of several processes, all are to stop at the same step: there JAX takes SIGTERM, and tells the others. Outside the main
    thread, where Python can set no handlers, nothing changes.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._note)
            if jax.process_count() == 1:
                self._previous[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._note)
        return self

    def at(self, step: int) -> int | None:
        """The signal that has been received, if the work is to stop after this step. To be called after each step."""
        if jax.process_count() == 1:
            return self._received
        return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else None

    def __exit__(self, kind, error, traceback) -> None:
        self._restore()
        if jax.process_count() > 1 and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # Python's again, no longer JAX's
        if self._received is not None and error is None:
            signal.raise_signal(self._received)  # it came too late for `at`, or nobody asked

    def _note(self, number: int, frame: object) -> None:
        self._received = number
        self._restore()
        if jax.process_count() > 1:
            signal.raise_signal(signal.SIGTERM)

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
