"""Measurements as TensorBoard events.

By tensorboardX's file format alone: its `SummaryWriter` writes in a thread of its own, where a full disk is not seen.
"""

import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar


class EventLog:
    """Writes scalars to a new file of TensorBoard events.

    Args:
      folder: where it lies, beside those of earlier starts.
      first_step: events of earlier starts at this step and later are void.
    """

    def __init__(self, folder: str | Path, first_step: int):
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(Path(folder) / "events"))
        # TensorBoard looks for both.
        self._writer.write_event(Event(step=first_step, file_version="brain.Event:2"))
        self._writer.write_event(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, **values: float) -> None:
        """Records values at a step; `train_nats` is shown as `train/nats`."""
        for name, value in values.items():
            summary = scalar(name.replace("_", "/", 1), value)
            self._writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()
