"""Progress of long work on the terminal: done, rate, remaining time; on standard error."""

import sys

from tqdm import tqdm


def progress_bar(total: int, *, done: int = 0, unit: str) -> tqdm:
    """A tqdm bar; in a log file, where lines pile up, it is written every 10 seconds only."""
    interval = 0.1 if sys.stderr.isatty() else 10
    return tqdm(total=total, initial=done, unit=unit, file=sys.stderr, mininterval=interval, dynamic_ncols=True)
