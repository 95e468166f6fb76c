"""What an untrained network does with images, seen once for all training-free scores."""

from gas.passes.passes import Passes, Seen, Shared
from gas.passes.positive import Positive
from gas.passes.subject import Site, Subject, calibrate, fresh, unmute

__all__ = ["Passes", "Positive", "Seen", "Shared", "Site", "Subject", "calibrate", "fresh", "unmute"]
