"""Runs a command: what its user got wrong becomes one line, and signals an exit status."""

import atexit
import io
import logging
import os
import runpy
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import jax

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.distributed import is_main
from pixel_rnn_jax.parallel.hardware import is_out_of_memory
from pixel_rnn_jax.paths import as_path
from pixel_rnn_jax.training.preemption import Interrupted, ends_at_sigterm

PREEMPTED = 75  # exit status after SIGTERM: the same command continues the work; sysexits.h's EX_TEMPFAIL, "try again"


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Runs a command. A user's mistake ends it with one line on standard error and an exit status other than 0."""
    # absl logs each of Orbax's saves; the others log errors that we report ourselves, with a traceback.
    for library in ("absl", "asyncio", "gcsfs"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    sys.unraisablehook = _hide_late_reads
    warnings.formatwarning = lambda message, *where: f"warning: {message}\n"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be of any encoding
    try:
        with ends_at_sigterm():
            main(_load_plugins(sys.argv[1:] if argv is None else argv))
    except (InputError, FloatingPointError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(
            "error: out of memory. Smaller batches need less: --batch_size or, in training, --config.batch_size. There,"
            " --config.gradient_accumulation, --config.model.remat=True and --config.model.dtype=bfloat16 help as well."
        )
    except Interrupted as interruption:
        print(interruption, file=sys.stderr)
        leave(PREEMPTED if interruption.signal == signal.SIGTERM else 128 + interruption.signal)
    except KeyboardInterrupt:
        print("stopped by SIGINT", file=sys.stderr)
        leave(128 + signal.SIGINT)


def _load_plugins(argv: Sequence[str]) -> list[str]:
    """Runs the Python files that --plugin=FILE names, such as those of a new layer; returns the other arguments."""
    for argument in argv:
        name, _, path = argument.partition("=")
        if name == "--plugin":
            if not as_path(path).is_file():
                raise InputError(f"--plugin=FILE must name a Python file; got {argument!r}.")
            runpy.run_path(str(as_path(path)), run_name=Path(path).stem)
    return [argument for argument in argv if not argument.startswith("--plugin=")]


def _hide_late_reads(failure: "sys.UnraisableHookArgs") -> None:
    """Hides what TensorStore's threads report when a damaged checkpoint has already ended in an error."""
    if "Event loop is closed" not in str(failure.exc_value):
        sys.__unraisablehook__(failure)


def leave(status: int) -> NoReturn:
    """Ends the process at once: XLA's own threads may still be compiling, and would crash if Python ended before them."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def say(*words: str) -> None:
    """Prints a line; of several processes, only the main one does."""
    if is_main():
        print(*words)
