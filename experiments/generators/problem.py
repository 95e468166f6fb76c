"""A made-up accuracy over real designs with exact costs: a search problem that is answered at once.

Nothing here says anything about images. It has what a real problem has: each stage adds with diminishing returns,
stages have to be in balance, there are sweet spots that cost nothing, and the best is not at the edge of the budgets.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gas import pareto
from gas.architecture import Architecture, Spec, Stage
from gas.evaluation import Candidate, Evaluation, Objective, Status
from gas.plan import plan

OBJECTIVES = (Objective("made_up_accuracy", maximise=True), Objective("macs"), Objective("params"))

# What each stage can add, and how quickly: invented, in the proportions of hierarchical transformers, whose third
# stage does most of the work.
WEIGHTS = (6.0, 10.0, 22.0, 12.0)
WIDTHS = (64, 128, 256, 512)
DEPTHS = (1.5, 2.5, 7.0, 2.0)


def accuracy(architecture: Architecture) -> float:
    """Made-up accuracy: above 30, below 80."""
    gains = [
        w * _gain(stage, width, depth)
        for w, stage, width, depth in zip(WEIGHTS, architecture.stages, WIDTHS, DEPTHS, strict=True)
    ]
    shares = np.array(gains) / WEIGHTS
    stem = min(1.0, architecture.stem.options["dim"] / 64) ** 0.3
    return float(30.0 + sum(gains) * stem - 6.0 * shares.std())


def _gain(stage: Stage, width: float, depth: float) -> float:
    """Share of what a stage can add: 0 to 1."""
    options = stage.blocks[0].block.options
    mixer, mlp = options["mixer"], options.get("mlp", Spec("mlp"))
    strength = (stage.dim / width) ** 0.8 * (stage.depth / depth) ** 0.6 * (mlp.options.get("ratio", 4.0) / 3) ** 0.35
    strength *= 1.0 - 0.08 * abs(math.log2(mixer.options["head_dim"] / 48))
    strength *= 1.1 if mixer.pattern == "global_attention" else 1.0
    strength *= 1.04 if mixer.options.get("mask_unit", 8) == 8 else 1.0
    return 1.0 - math.exp(-strength)


def evaluate(candidate: Candidate) -> Evaluation:
    """The candidate's evaluation: exact costs and the made-up accuracy."""
    cost = plan(candidate.architecture).cost
    metrics = {"macs": cost.macs, "params": cost.params, "made_up_accuracy": accuracy(candidate.architecture)}
    return Evaluation(candidate, Status.OK, metrics)


def volume(evaluations: list[Evaluation], limits: dict[str, float]) -> float:
    """Hypervolume over accuracy 40, and macs and params at their budgets, each scaled to its span."""
    losses = np.array([[o.loss(e.metrics) for o in OBJECTIVES] for e in evaluations])
    return pareto.hypervolume(_scaled(losses, limits), [0.0, 1.0, 1.0])


def _scaled(losses: NDArray, limits: dict[str, float]) -> NDArray:
    return np.column_stack([(losses[:, 0] + 40) / 40, losses[:, 1] / limits["macs"], losses[:, 2] / limits["params"]])
