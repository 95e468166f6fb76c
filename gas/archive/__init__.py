"""The archive of a run: what was asked and told, durable, and the pandas frames that are views of it."""

from gas.archive.files import FILE
from gas.archive.frames import Setting, front_of
from gas.archive.states import States
from gas.archive.store import Archive

__all__ = ["FILE", "Archive", "Setting", "States", "front_of"]
