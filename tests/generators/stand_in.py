"""A small search space that the generators' tests can go through by hand: every feasible design is listed.

It keeps the contract of `gas.space` (decisions, realise, size) by another route: all designs are made, placed and
counted, the feasible ones are put into a prefix tree, and what is allowed at a decision are the branches of that tree.
Generators that screen designs by the thousand read the array form, which a space of the same designs lends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

from gas.architecture import Architecture, Group, Spec, Stage
from gas.evaluation import Candidate, Constraint, Evaluation, Objective, Status
from gas.generators import Generator
from gas.plan import plan
from gas.space import SearchSpace, space_from_text

OBJECTIVES = (Objective("score", maximise=True), Objective("macs"))
TWIN = """
name: twin
input: {{resolution: 32}}
stem: {{pattern: conv_embed, kernel: 3, dim: 16}}
stages:
  - dim: {{choose: {dims}}}
    blocks:
      - pattern: transformer
        depth: {{choose: {depths}}}
        mixer:
          choose:
            - {{pattern: global_attention, heads: 2}}
            - {{pattern: mask_unit_attention, heads: 2, mask_unit: {{choose: [2, 4, 8]}}}}
        mlp: {{pattern: mlp, ratio: {{choose: [1.0, 2.0, 4.0]}}}}
  - dim: {{choose: {dims}}}
    entry: q_pool
    blocks:
      - pattern: transformer
        depth: {{choose: {depths}}}
        mixer: {{pattern: global_attention, heads: 2}}
        mlp: {{pattern: mlp, ratio: {{choose: [1.0, 2.0, 4.0]}}}}
head: {{pattern: classifier, classes: 10}}
constraints: {{macs: {{max: {macs:.0f}}}}}
"""


@dataclass(frozen=True)
class Decision:
    path: str
    choices: tuple
    ordered: bool


@dataclass(frozen=True)
class Realised:
    architecture: Architecture
    decisions: dict[str, Any]


class StandIn:
    """Two stages on 32 pixels: widths, depths, MLP ratios, and a mixer whose mask unit exists in one branch only."""

    def __init__(self, dims: tuple = (16, 24, 32, 48), depths: tuple = (1, 2, 3), *, max_macs: float = 3e6) -> None:
        self.max_macs = max_macs
        self.dims, self.depths = dims, depths
        names = {
            "stages[0].dim": (dims, True),
            "stages[0].depth": (depths, True),
            "stages[0].mixer": (("global_attention", "mask_unit_attention"), False),
            "stages[0].mixer.mask_unit": ((2, 4, 8), True),
            "stages[0].mlp.ratio": ((1.0, 2.0, 4.0), True),
            "stages[1].dim": (dims, True),
            "stages[1].depth": (depths, True),
            "stages[1].mlp.ratio": ((1.0, 2.0, 4.0), True),
        }
        self.decisions = tuple(Decision(path, *rest) for path, rest in names.items())
        self.tree: dict = {}
        self.members = 0
        for decided in self._all():
            architecture = architecture_of(decided)
            if plan(architecture).cost.macs > max_macs:
                continue
            node = self.tree
            for path, value in decided.items():
                node = node.setdefault((path, value), {})
            node["end"] = architecture
            self.members += 1

    @property
    def budgets(self) -> tuple[Constraint, ...]:
        return (Constraint("macs", high=self.max_macs),)

    @cached_property
    def twin(self) -> SearchSpace:
        """The same designs and decisions as a space of the language; the paths of decisions are other ones."""
        return space_from_text(TWIN.format(dims=list(self.dims), depths=list(self.depths), macs=self.max_macs))

    def __getattr__(self, name: str) -> Any:
        """The array form is the twin's."""
        if name not in (
            "arrays",
            "constraints",
            "designs",
            "exact_costs",
            "exact_metrics",
            "sample_feasible",
            "within",
            "writer",
        ):
            raise AttributeError(name)
        return getattr(self.twin, name)

    def decode(self, architecture: Architecture) -> dict[str, Any]:
        """The decisions that make a design, by this space's paths."""
        theirs = self.twin.decode(architecture)
        paths = zip(self.decisions, self.twin.decisions, strict=True)
        return {mine.path: theirs[twin.path] for mine, twin in paths if twin.path in theirs}

    def size(self) -> int:
        return self.members

    def realise(self, choose: Callable[[Decision, tuple], Any], *, feasible: bool = True) -> Realised:
        by_path = {d.path: d for d in self.decisions}
        node, decided = self.tree, {}
        while "end" not in node:
            path = next(iter(node))[0]
            allowed = tuple(value for value in by_path[path].choices if (path, value) in node)
            decided[path] = choose(by_path[path], allowed)
            assert decided[path] in allowed, f"{decided[path]!r} at {path} is not allowed"
            node = node[path, decided[path]]
        return Realised(node["end"], decided)

    def _all(self) -> Iterator[dict[str, Any]]:
        choices = {d.path: d.choices for d in self.decisions}
        for values in product(*choices.values()):
            decided = dict(zip(choices, values, strict=True))
            is_global = decided["stages[0].mixer"] == "global_attention"
            if is_global and decided.pop("stages[0].mixer.mask_unit") != 2:
                continue  # the unit does not exist there, so one of its values stands for all
            yield decided


def architecture_of(decided: dict[str, Any]) -> Architecture:
    """The design that the decisions describe."""
    unit = {k.rpartition(".")[2]: v for k, v in decided.items() if k.endswith("mask_unit") and v != 8}
    first = Spec.of(decided["stages[0].mixer"], heads=2, **unit)

    def stage(i: int, mixer: Spec, entry: Spec | None) -> Stage:
        ratio = decided[f"stages[{i}].mlp.ratio"]
        mlp = {} if ratio == 4.0 else {"mlp": Spec.of("mlp", ratio=ratio)}  # a design leaves out what is the default
        block = Spec.of("transformer", mixer=mixer, **mlp)
        return Stage(decided[f"stages[{i}].dim"], (Group(block, decided[f"stages[{i}].depth"]),), entry)

    return Architecture(
        stem=Spec.of("conv_embed", dim=16, kernel=3),
        stages=(stage(0, first, None), stage(1, Spec.of("global_attention", heads=2), Spec("q_pool"))),
        head=Spec.of("classifier", classes=10),
        resolution=32,
    )


@lru_cache(maxsize=8)
def stand_in(**options: Any) -> StandIn:
    """A StandIn, made once."""
    return StandIn(**options)


def score(architecture: Architecture) -> float:
    """A made-up accuracy with diminishing returns in each stage's width and depth."""
    gain = 0.0
    for weight, stage in zip((1.0, 2.0, 3.0, 1.5), architecture.stages, strict=False):
        mlp = stage.blocks[0].block.options.get("mlp", Spec("mlp")).options.get("ratio", 4.0)
        strength = math.log2(1 + stage.dim / 16) * math.sqrt(stage.depth) * (1 + 0.3 * math.log2(mlp))
        gain += weight * (1 - math.exp(-strength / 2))
    return gain


def evaluate(candidate: Candidate, status: Status = Status.OK) -> Evaluation:
    """The candidate's evaluation on the made-up problem."""
    metrics: dict[str, float] = {"macs": plan(candidate.architecture).cost.macs}
    if status is Status.OK:
        metrics["score"] = score(candidate.architecture)
    return Evaluation(candidate, status, metrics)


def search(generator: Generator, n: int) -> list[Evaluation]:
    """`n` candidates, each told before the next is asked for; fewer where the space is exhausted."""
    evaluations = []
    for _ in range(n):
        for candidate in generator.ask(1):
            evaluations.append(evaluate(candidate))
            generator.tell(evaluations[-1])
    return evaluations
