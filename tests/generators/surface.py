"""A made-up problem that is answered at once: three stages with diminishing returns, and probes that know them.

Shapes: N designs, S stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gas.evaluation import Candidate, Evaluation, Objective, Status
from gas.generators import Generator
from gas.pareto import hypervolume
from gas.space import SearchSpace, space_from_text
from gas.space.designs import Designs

OBJECTIVES = (Objective("score", maximise=True), Objective("macs"), Objective("params"))
FIRST = """
          choose:
            - {pattern: global_attention, head_dim: {choose: [8, 16]}}
            - {pattern: mask_unit_attention, head_dim: 8, mask_unit: {choose: [2, 4, 8]}}"""
LATER = "{pattern: global_attention, head_dim: {choose: [8, 16]}}"
BLOCKS = """
    blocks:
      - pattern: transformer
        depth: {{range: [1, 4]}}
        mixer: {mixer}
        mlp: {{pattern: mlp, ratio: {{choose: [1, 2, 3, 4]}}}}
"""
TEXT = f"""
name: surface
input: {{resolution: 32}}
stem: {{pattern: conv_embed, kernel: {{choose: [3, 5]}}, dim: 16}}
stages:
  - dim: {{choose: [16, 32, 48, 64]}}{BLOCKS.format(mixer=FIRST)}
  - dim: {{choose: [32, 48, 64, 96]}}
    entry: q_pool{BLOCKS.format(mixer=LATER)}
  - dim: {{choose: [48, 64, 96, 128]}}
    entry: q_pool{BLOCKS.format(mixer=LATER)}
head: {{pattern: classifier, classes: 10}}
constraints: {{macs: {{max: 8M}}, params: {{max: 400k}}}}
"""


@cache
def space() -> SearchSpace:
    """Ten million designs, about half of them within the bounds."""
    return space_from_text(TEXT)


class Surface:
    """A made-up score: every stage adds with diminishing returns in its macs, and its mixer a little.

    Args:
        seed: Which surface.
        noise: Standard deviation of what is added to the score that is told.
    """

    def __init__(self, seed: int = 0, noise: float = 0.0) -> None:
        rng = np.random.default_rng([seed, 32])
        usual = self.sizes(space().sample_feasible(2000, 0))
        self._weights = np.array([6.0, 12.0, 20.0])[rng.permutation(3)] * np.exp(rng.normal(0, 0.2, 3))
        self._enough = np.median(usual, axis=0) * np.exp(rng.normal(0, 0.3, 3))
        self._mixers = {d: rng.normal(0, 0.4) for d in self._kinds()}
        self._noise, self._rng = noise, rng

    @staticmethod
    def _kinds() -> list[int]:
        return [k for k, d in enumerate(space().decisions) if d.path.endswith(("mixer", "head_dim"))]

    def sizes(self, designs: Designs) -> NDArray[np.float64]:
        """(N, S) macs of the stages."""
        found = np.zeros((len(designs), 3))
        for number, layer in enumerate(designs.arrays.layers):
            if layer.segment.stage >= 0:
                found[:, layer.segment.stage] += layer.costs[designs.rows[:, number], 0]
        return found

    def score(self, designs: Designs) -> NDArray[np.float64]:
        """(N,) without noise."""
        gains = self._weights * (1 - np.exp(-np.sqrt(self.sizes(designs) / self._enough)))
        return 40 + gains.sum(axis=1) + sum(w * (designs.codes[:, d] == 0) for d, w in self._mixers.items())

    def slopes(self, designs: Designs) -> NDArray[np.float64]:
        """(N, S) of the score over the logarithm of each stage's macs."""
        root = np.sqrt(self.sizes(designs) / self._enough)
        return self._weights * np.exp(-root) * root / 2

    def answer(self, candidate: Candidate, probes: Callable[[NDArray], NDArray] | None = None) -> Evaluation:
        """An evaluation; with readings where `probes` turns the slopes of the stages into their saliency."""
        design = space().designs(architectures=[candidate.architecture])
        score = float(self.score(design)[0]) + self._noise * self._rng.normal()
        metrics = {"score": score, "macs": float(design.macs[0]), "params": float(design.params[0])}
        found: tuple[Mapping[str, float], ...] = ()
        if probes is not None:
            found = readings(probes(self.slopes(design)[0]), self.sizes(design)[0])
        return Evaluation(candidate, Status.OK, metrics, probes=found)

    def search(
        self, generator: Generator, n: int, *, batch: int = 1, probes: Callable[[NDArray], NDArray] | None = None
    ) -> Iterator[Evaluation]:
        """`n` candidates, told batch by batch."""
        for _ in range(0, n, batch):
            for candidate in generator.ask(batch):
                evaluation = self.answer(candidate, probes)
                generator.tell(evaluation)
                yield evaluation

    def volume(self, evaluations: list[Evaluation]) -> float:
        """The hypervolume of the true scores, as a share of that of a design with the greatest gain at no cost."""
        designs = space().designs(architectures=[e.candidate.architecture for e in evaluations])
        limits = {c.metric: c.high for c in space().budgets}
        shares = [(60 - self.score(designs)) / 20, designs.macs / limits["macs"], designs.params / limits["params"]]
        return hypervolume(np.column_stack(shares), [0.0, 1.0, 1.0])


def readings(saliency: NDArray, cost: NDArray) -> tuple[Mapping[str, float], ...]:
    """Probes of two blocks in every stage, between which its shares are divided."""
    return tuple(
        {"stage": stage, "saliency": share * saliency[stage] / saliency.sum(), "macs_share": part / cost.sum()}
        for stage in range(len(cost))
        for share, part in ((0.25, cost[stage] / 2), (0.75, cost[stage] / 2))
    )
