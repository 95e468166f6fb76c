"""The analytic problem: a made-up accuracy over real designs with exact costs, answered at once.

Nothing here says anything about images. It has what real problems have: each stage adds with diminishing returns in
width and depth, neighbouring stages have to be in balance, patterns and options interact, and measurements are noisy.
Each surface (seed) draws its own numbers, so that nothing can be tuned to one.

Shapes: N designs.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gas import pareto
from gas.architecture import Group, Spec
from gas.evaluation import Objective
from gas.patterns import options_of
from gas.space import SearchSpace, load_space
from gas.space.designs import Designs

SPACE = Path(__file__).with_name("analytic.yaml")
OBJECTIVES = (Objective("made_up_accuracy", maximise=True), Objective("macs"), Objective("params"))


class Surface:
    """One made-up accuracy.

    Args:
        space: The space of analytic.yaml.
        seed: Which surface.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self.space = space
        rng = np.random.default_rng([seed, 2308])
        near = lambda spread, n=4: np.exp(rng.normal(0, spread, n))  # noqa: E731
        # In the proportions of hierarchical transformers, whose third stage does most of the work.
        self.weights = np.array([6.0, 10.0, 22.0, 12.0]) * near(0.25)
        self.widths = np.array([60.0, 130.0, 260.0, 520.0]) * near(0.15)
        self.depths = np.array([1.5, 2.5, 8.0, 2.0]) * near(0.2)
        self.width_power, self.depth_power = 0.9 * near(0.15), 0.6 * near(0.15)
        self.ratio_power = 0.3 * near(0.3)
        self.head_dims = np.array([12.0, 12.0, 24.0, 32.0]) * near(0.4)
        self.head_cost = 0.05 * near(0.5)
        self.global_gain = rng.normal(0.05, 0.06, 4)
        self.unit_gain = rng.normal(0.03, 0.04, 4)
        self.growth, self.growth_cost = rng.normal(0.7, 0.12, 3), 1.2 * near(0.4, 3)
        self.mixed = rng.normal(0.0, 1.2, 3)  # what it is worth that two neighbouring stages mix alike
        self.kernel = {3: 0.0, 5: rng.normal(0.3, 0.3), 7: rng.normal(0.5, 0.4)}
        self.stem = rng.uniform(0.8, 1.3)

    def accuracy(self, designs: Designs) -> NDArray[np.float64]:
        """(N,) made-up accuracies, in the manner of percent, without noise."""
        total = lambda columns: designs.arrays.total(designs.rows, columns)  # noqa: E731
        width = np.stack([total(c) for c in self._columns["width"]])  # (4, N)
        depth = np.stack([total(c) for c in self._columns["depth"]])
        blocks = np.stack([total(c) for c in self._columns["blocks"]])
        everywhere = np.stack([total(c) for c in self._columns["global"]]) / blocks
        column = lambda values: np.asarray(values)[:, None]  # noqa: E731
        strength = (width / column(self.widths)) ** column(self.width_power)
        strength *= (depth / column(self.depths)) ** column(self.depth_power)
        shares = 1.0 - np.exp(-strength)
        gain = (column(self.weights) * shares).sum(axis=0)
        growth = np.log2(width[1:] / width[:-1])
        uneven = (column(self.growth_cost) * (growth - column(self.growth)) ** 2).sum(axis=0)
        alike = (column(self.mixed) * (everywhere[1:] - 0.5) * (everywhere[:-1] - 0.5)).sum(axis=0)
        stem = np.minimum(1.0, total(self._columns["stem"][0]) / (self.stem * width[0])) ** 0.25
        return 32.0 + gain * stem - 6.0 * shares.std(axis=0) - uneven + alike + total(self._columns["kernel"][0])

    @cached_property
    def _columns(self) -> dict[str, list[list[NDArray]]]:
        """What each row of the tables adds, per quantity and stage."""
        kinds = {"width": 4, "depth": 4, "blocks": 4, "global": 4, "stem": 1, "kernel": 1}
        layers = self.space.arrays.layers
        found = {kind: [[np.zeros(len(rows)) for rows in layers] for _ in range(n)] for kind, n in kinds.items()}
        for number, rows in enumerate(layers):
            stage = rows.segment.stage
            for row, value in enumerate(rows.values):
                if rows.segment.kind == "stem":
                    options = dict(options_of(value[2]))
                    found["stem"][0][number][row] = options["dim"]
                    found["kernel"][0][number][row] = self.kernel[options["kernel"]]
                elif rows.segment.kind == "enter":
                    found["width"][stage][number][row] = value[1]
                elif isinstance(value, Group):
                    found["blocks"][stage][number][row] = value.depth
                    found["depth"][stage][number][row] = value.depth * self._quality(stage, value) if value.depth else 0
                    found["global"][stage][number][row] = value.depth * (_mixer(value).pattern == "global_attention")
        return found

    def _quality(self, stage: int, group: Group) -> float:
        """What one block is worth, about 1."""
        mixer, mlp = _mixer(group), group.block.options.get("mlp", Spec("mlp"))
        options = dict(options_of(mixer))
        worth = (dict(options_of(mlp))["ratio"] / 3) ** self.ratio_power[stage]
        worth *= 1.0 - self.head_cost[stage] * np.log2(options["head_dim"] / self.head_dims[stage]) ** 2
        if mixer.pattern == "global_attention":
            return float(worth * (1.0 + self.global_gain[stage]))
        return float(worth * (1.0 + self.unit_gain[stage] * (options["mask_unit"] == 8)))


def _mixer(group: Group) -> Spec:
    return group.block.options["mixer"]


def space() -> SearchSpace:
    """The space of the analytic problem."""
    return load_space(SPACE)


def reference(surface: Surface) -> dict[str, float]:
    """Reference point of the hypervolume: both budgets, and the accuracy that 5% of feasible designs fall short of."""
    limits = {c.metric: c.high for c in surface.space.budgets}
    drawn = surface.accuracy(surface.space.sample_feasible(20_000, seed=0))
    return {**limits, "made_up_accuracy": float(np.quantile(drawn, 0.05))}


def hypervolume(
    accuracy: NDArray, macs: NDArray, params: NDArray, point: dict[str, float], metric: str = "made_up_accuracy"
) -> float:
    """Hypervolume that designs dominate: points of accuracy above the reference, times shares of both budgets."""
    shares = [(point[metric] - accuracy) / 10, macs / point["macs"], params / point["params"]]
    return pareto.hypervolume(np.column_stack(shares), [0.0, 1.0, 1.0])
