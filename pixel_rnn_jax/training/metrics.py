"""The metrics of a run: one JSON line for each measurement, and the same as TensorBoard events."""

import contextlib
import json
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import UInt8
from tqdm import tqdm

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.paths import AnyPath, WritableFolder, as_path, reaching
from pixel_rnn_jax.training.config import TrainConfig
from pixel_rnn_jax.training.event_log import EventLog
from pixel_rnn_jax.training.optimizer import learning_rate_schedule
from pixel_rnn_jax.training.step_clock import StepClock

FILE = "metrics.jsonl"
UPLOAD_SECONDS = 30.0  # between two uploads to gs://


class MetricsLog:
    """Writes measurements to `metrics.jsonl` and `tensorboard/` in a work directory; a context manager.

    A resumed run repeats some steps, so the rows after `last_step`, from which it starts, are dropped first. The rows until
    then are in the work directory `history`, if it is another one.
    """

    def __init__(self, workdir: str | AnyPath, last_step: int, *, history: str | AnyPath | None = None):
        rows = [row for row in read_metrics(workdir if history is None else history) if row["step"] <= last_step]
        self._folder = WritableFolder(as_path(workdir))
        path = self._folder.local / FILE
        # A new file is renamed when it is complete, so that no row is lost whenever the process dies.
        new = path.with_suffix(".tmp")
        new.write_text("".join(json.dumps(row) + "\n" for row in rows))
        new.replace(path)
        self._file = path.open("a")
        self._events = EventLog(path.parent / "tensorboard", last_step + 1)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        with contextlib.suppress(OSError) if error else contextlib.nullcontext():  # the first error counts
            self._file.close()
            self._events.close()
            self._folder.close()

    def write(self, step: int, **values: float) -> None:
        """Records values at a step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        self._events.write(step, **values)
        try:
            self._folder.upload(not_within=UPLOAD_SECONDS)
        except OSError as error:  # the rows are kept, and uploaded with later ones
            tqdm.write(f"warning: {error}", file=sys.stderr)

    def write_picture(self, step: int, name: str, rgb: UInt8[np.ndarray, "H W 3"]) -> None:
        """Records a picture at a step, in TensorBoard's events only."""
        self._events.write_picture(step, name, rgb)

    def save(self) -> None:
        """Stores all rows; to be called before each checkpoint, from which a resumed run starts."""
        self._folder.upload()


class NoLog(contextlib.nullcontext):
    """Has the methods of `MetricsLog` and does nothing, for all processes but the main one."""

    def write(self, step: int, **values: float) -> None:
        pass

    def write_picture(self, step: int, name: str, rgb: UInt8[np.ndarray, "H W 3"]) -> None:
        pass

    def save(self) -> None:
        pass


class StepReport:
    """Reports the metrics of training steps, one step late: the device computes the next step meanwhile.

    The log gets those of every `log_every`-th step, and of the training's last.
    """

    def __init__(self, log: MetricsLog | NoLog, bar: tqdm, clock: StepClock, config: TrainConfig):
        self._log, self._bar, self._clock, self._config = log, bar, clock, config
        self._learning_rate = learning_rate_schedule(config.optimizer, config.num_steps)
        self._pending: tuple[int, Mapping[str, ArrayLike]] | None = None

    def add(self, step: int, metrics: Mapping[str, ArrayLike]) -> None:
        """Takes the metrics of a step, which may still be running, and reports the step before."""
        self.finish()
        self._pending = (step, metrics)

    def finish(self) -> None:
        """Waits for the last step, and reports it.

        Raises:
          FloatingPointError: if its loss, gradient or update was not finite.
        """
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending = None
        values = {name: float(value) for name, value in metrics.items()}
        self._clock.count()
        if not all(map(math.isfinite, values.values())):
            raise FloatingPointError(f"step {step} gave {', '.join(f'{name} = {value}' for name, value in values.items())}")
        if step % self._config.log_every == 0 or step == self._config.num_steps:
            values["learning_rate"] = float(self._learning_rate(step - 1))
            speed = {f"speed_{name}": value for name, value in self._clock.lap().items()}
            self._log.write(step, **{f"train_{name}": value for name, value in values.items()}, **speed)
        self._bar.set_postfix_str(f"{values['bits_per_dim']:.3f} bits/dim", refresh=False)
        self._bar.update()


def read_metrics(workdir: str | AnyPath) -> list[dict[str, Any]]:
    """The rows of a work directory's `metrics.jsonl`, without a last row that a kill cut short."""
    path = as_path(workdir) / FILE
    try:
        with reaching(path):
            content = path.read_bytes()
    except FileNotFoundError:  # `exists` would not do: at gs:// it returns False on any error
        return []
    try:
        rows = [json.loads(line) for line in content.decode().split("\n")[:-1]]
        if not all(isinstance(row["step"], int) for row in rows):
            raise ValueError("a step is not an integer")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} must hold rows of JSON, each with a step ({type(error).__name__}: {error}).") from None
    return rows
