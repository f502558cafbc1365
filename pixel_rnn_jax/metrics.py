"""The record of a run: one JSON line for each measurement, and the same as TensorBoard events."""

import json
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

FILE = "metrics.jsonl"


class MetricsLog:
    """Writes measurements to `metrics.jsonl` and `tensorboard/` in a work directory; a context manager.

    A resumed run measures some steps again: the rows after the step that it goes on from are dropped first.

    Args:
      workdir: the work directory.
      last_step: the step that the run goes on from.
    """

    def __init__(self, workdir: str | Path, last_step: int):
        path = Path(workdir) / FILE
        rows = [row for row in read_metrics(workdir) if row["step"] <= last_step]
        # Written beside it and renamed, so that no row is lost whenever the process dies.
        new = path.with_suffix(".tmp")
        new.write_text("".join(json.dumps(row) + "\n" for row in rows))
        new.replace(path)
        self._file = path.open("a")
        self._tensorboard = SummaryWriter(str(Path(workdir) / "tensorboard"), purge_step=last_step + 1)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()
        self._tensorboard.close()

    def write(self, step: int, **values: float) -> None:
        """Records values at a step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._tensorboard.add_scalar(name.replace("_", "/", 1), value, step)


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
    """The rows of a work directory's `metrics.jsonl`; without the last one, if a kill cut it short."""
    path = Path(workdir) / FILE
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
