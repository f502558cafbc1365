"""A trace of a few training steps by JAX's profiler, for xprof, TensorBoard or Perfetto."""

import contextlib
import warnings
from collections.abc import Iterator

import jax

from pixel_rnn_jax.paths import AnyPath, WritableFolder

SKIP, COUNT = 2, 5  # the first steps of a run are slower than the rest


class StepProfile(contextlib.ExitStack):
    """Traces some steps of the training loop around which it is the context, into a folder if that is not None.

    A trace that fails is a warning: the training counts.
    """

    def __init__(self, folder: AnyPath | None, first_step: int, last_step: int):
        super().__init__()
        self._folder = folder
        self._first = max(min(first_step + SKIP, last_step - COUNT + 1), first_step)

    def before(self, step: int) -> None:
        """Starts or stops the trace; to be called before each step."""
        if self._folder is not None and step == self._first:
            with _failures_as_warnings():
                self._folder.mkdir(parents=True, exist_ok=True)
                written = WritableFolder(self._folder)  # JAX's profiler can write to gs://, but lacks our credentials
                self.callback(written.close)
                jax.profiler.start_trace(str(written.local))
                self.callback(jax.profiler.stop_trace)
        elif step == self._first + COUNT:
            self.close()

    def __exit__(self, *error) -> None:
        with _failures_as_warnings():
            super().__exit__(*error)


@contextlib.contextmanager
def _failures_as_warnings() -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        warnings.warn(f"the steps could not be traced ({error})", stacklevel=3)
