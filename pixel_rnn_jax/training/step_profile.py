"""A trace of a few training steps by JAX's profiler, for xprof, TensorBoard or Perfetto."""

import contextlib
import warnings
from collections.abc import Iterator

import jax

from pixel_rnn_jax.paths import AnyPath, WritableFolder

SKIP, COUNT = 2, 5  # the first steps of a run are slower than the rest


class StepProfile(contextlib.ExitStack):
    """Traces some steps into a folder; a context manager around the training loop. A trace that fails is only a warning.

    Args:
      folder: where the trace goes; None for no trace.
      first_step: the first of this start.
      last_step: the last of the training.
    """

    def __init__(self, folder: AnyPath | None, first_step: int, last_step: int):
        super().__init__()
        self._folder = folder
        self._first = max(min(first_step + SKIP, last_step - COUNT + 1), first_step)

    def before(self, step: int) -> None:
        """Starts or stops the trace; to be called before each step."""
        if self._folder is not None and step == self._first:
            with _failure_is_a_warning():
                self._start(self._folder)
        elif step == self._first + COUNT:
            self.close()

    def _start(self, folder: AnyPath) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        written = WritableFolder(folder)  # JAX's profiler can write to gs://, but lacks our credentials
        jax.profiler.start_trace(str(written.local))
        self.callback(_stop, written)


def _stop(written: WritableFolder) -> None:
    with _failure_is_a_warning():
        jax.profiler.stop_trace()
        written.close()


@contextlib.contextmanager
def _failure_is_a_warning() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, OSError) as error:
        warnings.warn(f"the steps cannot be traced ({error})", stacklevel=2)
