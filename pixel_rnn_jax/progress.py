"""Progress of long work on standard error: done, rate, remaining time."""

import sys

import jax
from tqdm import tqdm


def progress_bar(
    total: int, *, done: int = 0, unit: str, description: str | None = None, delay: float = 0.0, leave: bool = True
) -> tqdm:
    """A tqdm bar, shown by the main process only, after `delay` seconds. In a log file it is written every 10 seconds."""
    return tqdm(
        total=total,
        initial=done,
        unit=unit,
        desc=description,
        delay=delay,
        leave=leave or not sys.stderr.isatty(),  # elsewhere it cannot be erased; it then ends its line
        file=sys.stderr,
        disable=jax.process_index() > 0,
        mininterval=0.1 if sys.stderr.isatty() else 10,
        dynamic_ncols=True,
    )


def note(bar: tqdm, line: str) -> None:
    """Writes a line above a bar, where the bar is shown."""
    if not bar.disable:
        bar.write(line, file=bar.fp)
