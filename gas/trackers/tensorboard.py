"""TensorBoard's event files, in the run's folder `tensorboard`: `tensorboard --logdir RUN/tensorboard`.

They are a view of the archive. What cannot be known of a file that a kill cut off is which points it holds; so a search
that goes on writes them anew, from the first, at the times at which they came: no point stands twice, and none lacks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gas.errors import SettingError
from gas.trackers.base import Point, Tracker

FOLDER = "tensorboard"
SUFFIX = ".gas"


class TensorBoard(Tracker):
    """Writes event files, with tensorboardX."""

    name = "tensorboard"

    def __init__(self) -> None:
        try:
            import tensorboardX  # noqa: F401
        except ImportError as error:
            raise SettingError(
                "tensorboard: got no package tensorboardX; expected it: pip install tensorboardX"
            ) from error
        self._writer: Any = None
        self._objectives: list[str] = []

    def begin(self, out: Path, record: Mapping[str, Any], points: Sequence[Point]) -> None:
        """Writes settings and all points into a new file, in place of those that an earlier part of the search left."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.summary import text

        folder = out / FOLDER
        folder.mkdir(exist_ok=True)
        for file in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
            file.unlink(missing_ok=True)
        self._objectives = [o["metric"] for o in record["objectives"]]
        # Not SummaryWriter: its thread, where it dies of a full disk, leaves a queue on which a search would wait.
        self._writer = EventsWriter(str(folder / "events"), SUFFIX)
        settings = json.dumps(record["settings"], indent=1).replace("\n", "\n    ")
        self._write(0, time.time(), text("settings", f"    {settings}"))  # a block of code in its Markdown
        self.tell(points)

    def tell(self, points: Sequence[Point]) -> None:
        """Writes points; they are on the disk at the end."""
        from tensorboardX.summary import scalar

        for point in points:
            for name, value in point.values(self._objectives).items():
                self._write(point.step, point.time, scalar(name, value))
        self._writer.flush()

    def _write(self, step: int, at: float, summary: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(step=step, wall_time=at, summary=summary))

    def close(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
