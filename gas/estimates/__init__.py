"""Estimates of ImageNet accuracy, each with its error."""

from gas.estimates.estimating import (
    LEAST_RESOLUTION,
    MOST_RESOLUTION,
    Accuracy,
    Estimate,
    accuracy,
    estimate,
    estimate_structure,
)
from gas.estimates.structure import structure, structure_of
from gas.estimates.table import RECIPES, Known, LeftOut, known, left_out

__all__ = [
    "LEAST_RESOLUTION",
    "MOST_RESOLUTION",
    "RECIPES",
    "Accuracy",
    "Estimate",
    "Known",
    "LeftOut",
    "accuracy",
    "estimate",
    "estimate_structure",
    "known",
    "left_out",
    "structure",
    "structure_of",
]
