"""A trace of a few training steps, for JAX's profiler (xprof, TensorBoard or Perfetto show it)."""

import warnings

import jax

from pixel_rnn_jax.paths import AnyPath, WritableFolder

FIRST, COUNT = 3, 5  # the first steps of a run are not like the others


class StepProfile:
    """Traces some steps into a folder; a context manager around the loop. A trace that fails is a warning, and no more.

    Args:
      folder: where the trace goes; None: there is none.
      first_step: of this start.
      last_step: of the training; where few are left, those are traced.
    """

    def __init__(self, folder: AnyPath | None, first_step: int, last_step: int):
        self._folder = folder
        self._first = max(min(first_step + FIRST - 1, last_step - COUNT + 1), first_step)
        self._written: WritableFolder | None = None

    def __enter__(self) -> "StepProfile":
        return self

    def __exit__(self, *exception) -> None:
        self._stop()

    def before(self, step: int) -> None:
        """To be called before each step; starts and stops the trace."""
        if self._folder is not None and step == self._first:
            self._start()
        elif step == self._first + COUNT:
            self._stop()

    def _start(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            written = WritableFolder(self._folder)  # the profiler knows gs://, but not who we are there
            jax.profiler.start_trace(str(written.local))
            self._written = written
        except (RuntimeError, OSError) as error:
            warnings.warn(f"the profiler cannot be started ({error})", stacklevel=2)

    def _stop(self) -> None:
        if self._written is None:
            return
        try:
            jax.profiler.stop_trace()
            self._written.close()
        except (RuntimeError, OSError) as error:
            warnings.warn(f"the trace cannot be written ({error})", stacklevel=2)
        self._written = None
