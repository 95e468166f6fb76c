"""Readings of a built design, block by block: where its capacity is wasted and where it is short. One file each."""

from gas.probes.base import PROBES, Block
from gas.probes.probing import probe
from gas.probes.subject import Subject

__all__ = ["PROBES", "Block", "Subject", "probe"]
