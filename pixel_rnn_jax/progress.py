"""Progress of long work on the terminal: done, rate, remaining time; on standard error."""

import sys

import jax
from tqdm import tqdm


def progress_bar(
    total: int, *, done: int = 0, unit: str, description: str | None = None, delay: float = 0.0, leave: bool = True
) -> tqdm:
    """A tqdm bar; in a log file, where lines pile up, it is written every 10 seconds only. Of several processes, one shows it.

    Args:
      total: units of work in all.
      done: of those, before this start.
      unit: name of one.
      description: written before the bar.
      delay: seconds for which the work may go on before the bar appears.
      leave: whether it stays on a terminal when the work is done.
    """
    return tqdm(
        total=total,
        initial=done,
        unit=unit,
        desc=description,
        delay=delay,
        leave=leave or not sys.stderr.isatty(),  # it cannot be wiped out there, and what follows needs a line of its own
        file=sys.stderr,
        disable=jax.process_index() > 0,
        mininterval=0.1 if sys.stderr.isatty() else 10,
        dynamic_ncols=True,
    )


def note(bar: tqdm, line: str) -> None:
    """Writes a line above a bar, where the bar is shown."""
    if not bar.disable:
        bar.write(line, file=bar.fp)
