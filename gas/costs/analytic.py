"""Macs and params of a design, by the formulas that its patterns carry."""

from __future__ import annotations

from gas.architecture import Architecture
from gas.patterns import Cost
from gas.plan import plan


def cost(architecture: Architecture) -> Cost:
    """Exact macs and params for one image, without building anything; DesignError where the design cannot stand."""
    return plan(architecture).cost
