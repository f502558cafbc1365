"""Ctrl-C and SIGTERM during long work: it is told to stop, and ends where nothing is lost."""

import signal
import threading


class Interrupted(Exception):
    """Work was stopped by a signal, and what it had done is saved.

    Attributes:
      signal: the signal's number.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = number


class StopSignals:
    """A context in which the first SIGINT or SIGTERM is only noted, in `received`; the second one acts as usual.

    Outside the main thread, where Python can set no handlers, nothing changes.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception) -> None:
        self._restore()

    def _note(self, number: int, frame: object) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
