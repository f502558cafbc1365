"""A trace of a few training steps, for JAX's profiler (xprof, TensorBoard or Perfetto show it)."""

import jax

from pixel_rnn_jax.paths import AnyPath

FIRST, COUNT = 3, 5  # the first steps of a run are not like the others


class StepProfile:
    """Traces some steps into a folder; a context manager around the loop.

    Args:
      folder: where the trace goes; None: there is none.
      first_step: of this start.
    """

    def __init__(self, folder: AnyPath | None, first_step: int):
        self._folder, self._first = folder, first_step + FIRST - 1
        self._running = False

    def __enter__(self) -> "StepProfile":
        return self

    def __exit__(self, *exception) -> None:
        self._stop()

    def before(self, step: int) -> None:
        """To be called before each step; starts and stops the trace."""
        if self._folder is not None and step == self._first:
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        elif step == self._first + COUNT:
            self._stop()

    def _stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
