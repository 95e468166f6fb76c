"""The archive of a run: what was asked and told, durable, and the pandas frames that are views of it."""

from gas.archive.copying import Row, rows_of, write_rows
from gas.archive.files import FILE
from gas.archive.frames import Setting, front_of
from gas.archive.states import States
from gas.archive.store import Archive
from gas.archive.times import event_times

__all__ = ["FILE", "Archive", "Row", "Setting", "States", "event_times", "front_of", "rows_of", "write_rows"]
