"""Measurements as TensorBoard events.

Not by tensorboardX's `SummaryWriter`: it writes in a thread, which dies without an error of ours when the disk is full; the
training then waits for it forever.
"""

import time
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import image, scalar


class EventLog:
    """Writes scalars and pictures to a new file; TensorBoard ignores what earlier starts recorded from `first_step` on."""

    def __init__(self, folder: Path, first_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"))
        # As `SummaryWriter(purge_step=first_step)` does.
        self._writer.write_event(Event(step=first_step, file_version="brain.Event:2"))
        self._writer.write_event(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, **values: float) -> None:
        """Records values at a step; `train_nats` is shown as `train/nats`."""
        for name, value in values.items():
            summary = scalar(name.replace("_", "/", 1), value)
            self._writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def write_picture(self, step: int, name: str, rgb: UInt8[np.ndarray, "H W 3"]) -> None:
        """Records a picture at a step."""
        summary = image(name, rgb, dataformats="HWC")
        self._writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
