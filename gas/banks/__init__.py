"""Banks of shared weights: every parameter once, at its largest size; candidates run on slices of it."""

from gas.banks.bank import Bank
from gas.banks.files import FILE, Record, from_bytes, load, read, save
from gas.banks.places import Slot, slots
from gas.banks.training import Moments, Recipe, Step, Trainer

__all__ = [
    "FILE",
    "Bank",
    "Moments",
    "Recipe",
    "Record",
    "Slot",
    "Step",
    "Trainer",
    "from_bytes",
    "load",
    "read",
    "save",
    "slots",
]
