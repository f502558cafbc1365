"""Timing of training steps."""

import contextlib
import time
from collections.abc import Iterator


class StepClock:
    """Measures steps in laps; a lap ends when a row of metrics is written. The first one's figures have `compile_seconds`."""

    def __init__(self, images_per_step: int, compile_seconds: float):
        self._images_per_step = images_per_step
        self._once = {"compile_seconds": compile_seconds}
        self._restart()

    def count(self) -> None:
        """Counts a finished step."""
        self._steps += 1

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """A context in which the loop waits for data."""
        start = time.perf_counter()
        yield
        self._waiting += time.perf_counter() - start

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """A context whose time does not count as that of steps, for evaluation and checkpoints."""
        start = time.perf_counter()
        yield
        self._start += time.perf_counter() - start

    def lap(self) -> dict[str, float]:
        """Ends a lap of at least one step.

        Returns:
          images_per_second; step_seconds, of one step; data_wait, the share of the time spent waiting for data; and, once,
          compile_seconds.
        """
        seconds = time.perf_counter() - self._start
        lap = {
            "images_per_second": self._steps * self._images_per_step / seconds,
            "step_seconds": seconds / self._steps,
            "data_wait": self._waiting / seconds,
            **self._once,
        }
        self._once = {}
        self._restart()
        return lap

    def _restart(self) -> None:
        self._start, self._waiting, self._steps = time.perf_counter(), 0.0, 0
