"""Scores that stand in for the accuracy of a fully trained design: one file each."""

from gas.proxies.base import PROXIES, Fidelity, Proxy, create
from gas.proxies.training_free import TrainingFree, score_together

__all__ = ["PROXIES", "Fidelity", "Proxy", "TrainingFree", "create", "score_together"]
