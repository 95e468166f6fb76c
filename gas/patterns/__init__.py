"""The design patterns of the language: one file each, holding options, shapes, costs, the module and a registration."""

from gas.patterns.base import PATTERNS, Cost, Flow, Options, Part, Pattern, Slot, Width, options_of, pattern_of

__all__ = [
    "PATTERNS",
    "Cost",
    "Flow",
    "Options",
    "Part",
    "Pattern",
    "Slot",
    "Width",
    "options_of",
    "pattern_of",
]
