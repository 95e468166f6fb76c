"""Training that repeats itself exactly, can be broken off and gone on with, and says when it has diverged."""

from gas.training.augment import AUGMENTATIONS
from gas.training.loop import Diverged, Training, fits, train, validate
from gas.training.recipe import PRECISIONS, Recipe, rate_factor, strengthen, suited_rate
from gas.training.state import Snapshot

__all__ = [
    "AUGMENTATIONS",
    "PRECISIONS",
    "Diverged",
    "Recipe",
    "Snapshot",
    "Training",
    "fits",
    "rate_factor",
    "strengthen",
    "suited_rate",
    "train",
    "validate",
]
