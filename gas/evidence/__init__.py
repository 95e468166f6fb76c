"""How far scores can be trusted: designs trained in full, and what scores said of them."""

from gas.evidence.assessing import BASELINES, assess, recommend
from gas.evidence.bands import bands_of, narrowed, read_bands
from gas.evidence.combining import fitted, mean_rank, mean_z
from gas.evidence.noise import Noise, ceiling, noise_of
from gas.evidence.picks import recall, regret
from gas.evidence.ranks import partial_tau, rho, tau_b
from gas.evidence.scoring import Scores, sorted_out
from gas.evidence.truth import Truth, read_truth
from gas.evidence.validation import Report, Validation, put_together

__all__ = [
    "BASELINES",
    "Noise",
    "Report",
    "Scores",
    "Truth",
    "Validation",
    "assess",
    "bands_of",
    "ceiling",
    "fitted",
    "mean_rank",
    "mean_z",
    "narrowed",
    "noise_of",
    "partial_tau",
    "put_together",
    "read_bands",
    "read_truth",
    "recall",
    "recommend",
    "regret",
    "rho",
    "sorted_out",
    "tau_b",
]
