"""The choice of a design from a front: which designs are asked for, which rule picks one, and why, in words."""

from gas.choosing.columns import Columns
from gas.choosing.conditions import Condition
from gas.choosing.rules import CHOSEN, RULES, Pick, marginal_utility, pick, scaled, weighted
from gas.choosing.stored import FILE, Choice, keep_choice, last_choice

__all__ = [
    "CHOSEN",
    "FILE",
    "RULES",
    "Choice",
    "Columns",
    "Condition",
    "Pick",
    "keep_choice",
    "last_choice",
    "marginal_utility",
    "pick",
    "scaled",
    "weighted",
]
