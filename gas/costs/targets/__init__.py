"""Latency targets, one file each: an engine on a device that a design's latency is measured on."""

from gas.costs.targets.base import TARGETS, Target, TorchTarget, create, register

__all__ = ["TARGETS", "Target", "TorchTarget", "create", "register"]
