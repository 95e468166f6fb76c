"""Other people's trackers, told of a search while it runs: TensorBoard's event files, MLflow.

They show what the archive holds, and nothing depends on them: one that raises is switched off, with a line in the log.
"""

from gas.trackers.base import Point, Tracker
from gas.trackers.telling import Trackers, trackers_of

__all__ = ["Point", "Tracker", "Trackers", "trackers_of"]
