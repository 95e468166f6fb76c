"""Scores that stand in for the accuracy of a fully trained design: one file each."""

from gas.proxies.base import PROXIES, Fidelity, Proxy, create

__all__ = ["PROXIES", "Fidelity", "Proxy", "create"]
