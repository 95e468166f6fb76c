"""The problems and the replay of experiments/search_efficiency: what its figures stand on."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from experiments.experiment_scripts import EXPERIMENTS, scripts

from gas.architecture import Architecture, Spec
from gas.patterns import options_of
from gas.space import SearchSpace, load_space

FOLDER = EXPERIMENTS / "search_efficiency"
NAMES = ("problem", "samplers", "replay", "analytic", "real", "best_known", "summary")

pytestmark = pytest.mark.slow  # its spaces are large, and the experiment is over


@pytest.fixture(scope="module")
def experiment() -> Iterator[SimpleNamespace]:
    with scripts("search_efficiency", NAMES) as found:
        yield found


@pytest.fixture(scope="module")
def space(experiment: SimpleNamespace) -> SearchSpace:
    return experiment.problem.space()


@pytest.fixture(scope="module")
def analytic(experiment: SimpleNamespace, space: SearchSpace) -> object:
    return experiment.analytic.AnalyticProblem(space, 4, seed=1, noise=1.0)


def by_hand(surface: object, design: Architecture) -> float:
    """The made-up accuracy of one design, by the formula and without arrays."""
    widths = [stage.dim for stage in design.stages]
    gain, shares, everywhere = 0.0, [], []
    for number, stage in enumerate(design.stages):
        depth = 0.0
        for group in stage.blocks:
            mixer = group.block.options["mixer"]
            mlp = group.block.options.get("mlp", Spec("mlp"))
            options, ratio = dict(options_of(mixer)), dict(options_of(mlp))["ratio"]
            worth = (ratio / 3) ** surface.ratio_power[number]
            worth *= 1 - surface.head_cost[number] * math.log2(options["head_dim"] / surface.head_dims[number]) ** 2
            if mixer.pattern == "global_attention":
                worth *= 1 + surface.global_gain[number]
            elif options["mask_unit"] == 8:
                worth *= 1 + surface.unit_gain[number]
            depth += group.depth * worth
        attending = sum(g.depth for g in stage.blocks if g.block.options["mixer"].pattern == "global_attention")
        everywhere.append(attending / stage.depth)
        strength = (widths[number] / surface.widths[number]) ** surface.width_power[number]
        strength *= (depth / surface.depths[number]) ** surface.depth_power[number]
        shares.append(1 - math.exp(-strength))
        gain += surface.weights[number] * shares[-1]
    total = 32.0 + gain * min(1.0, dict(options_of(design.stem))["dim"] / (surface.stem * widths[0])) ** 0.25
    total -= 6.0 * float(np.std(shares))
    for number in range(3):
        total -= (
            surface.growth_cost[number] * (math.log2(widths[number + 1] / widths[number]) - surface.growth[number]) ** 2
        )
        total += surface.mixed[number] * (everywhere[number] - 0.5) * (everywhere[number + 1] - 0.5)
    return total + surface.kernel[dict(options_of(design.stem))["kernel"]]


def test_the_analytic_space_is_hierarchical_and_large(space: SearchSpace) -> None:
    assert space.size() >= 10**15
    assert len(space.sample(1)[0].stages) == 4
    assert {c.metric for c in space.budgets} == {"macs", "params"}


def test_a_surface_is_the_formula_and_a_function_of_the_design_alone(
    experiment: SimpleNamespace, analytic: object
) -> None:
    space, surface = analytic.space, analytic._surface
    designs = space.designs(architectures=space.sample(12, seed=3))
    answers = surface.accuracy(designs)
    assert answers == pytest.approx([by_hand(surface, design) for design in designs], rel=1e-12)
    assert surface.accuracy(designs[::-1]).tolist() == answers[::-1].tolist()
    again, other = (experiment.problem.Surface(space, seed).accuracy(designs) for seed in (4, 5))
    assert again.tolist() == answers.tolist()
    assert not np.allclose(other, answers)


def test_the_noise_belongs_to_the_design_and_the_search(experiment: SimpleNamespace, analytic: object) -> None:
    designs = analytic.space.sample_feasible(300, 5)
    inside = np.ones(len(designs), dtype=bool)
    accuracy, told = analytic.answer(designs, inside)
    again, backwards = analytic.answer(designs[::-1], inside)
    assert backwards[::-1].tolist() == told.tolist()
    assert again[::-1].tolist() == accuracy.tolist()
    assert np.std(told - accuracy) == pytest.approx(1.0, abs=0.2)
    assert abs(np.mean(told - accuracy)) < 0.2


def test_a_hypervolume_is_that_of_a_box(experiment: SimpleNamespace) -> None:
    point = {"made_up_accuracy": 60.0, "macs": 2e9, "params": 1e7}
    one = experiment.problem.hypervolume(np.array([65.0]), np.array([1e9]), np.array([4e6]), point)
    assert one == pytest.approx(5 / 10 * 0.5 * 0.6)
    outside = experiment.problem.hypervolume(np.array([65.0]), np.array([3e9]), np.array([4e6]), point)
    assert outside == 0.0


@pytest.mark.parametrize("label", ["random", "random-feasible", "gas-evolution:population=5", "optuna-nsga2"])
def test_a_replay_counts_what_was_asked(experiment: SimpleNamespace, analytic: object, label: str) -> None:
    sampler = experiment.samplers.make(label, analytic.space, analytic.objectives, 0)
    asked = []
    ask = sampler.ask
    sampler.ask = lambda n: asked.append(ask(n)) or asked[-1]
    rows = list(experiment.replay.search(analytic, sampler, 40, 4))
    counts = [[int(row[0]), int(row[3]), int(row[4])] for row in rows]
    designs = analytic.decode(np.concatenate(asked))
    costs = analytic.costs(designs)
    over = (analytic.violations(costs) > 0).any(axis=1)
    assert counts[-1] == [40, 40 - len({bytes(row) for row in designs.rows}), int(over.sum())]
    assert label.startswith("gas") <= (not over.any())
    accuracy = analytic.answer(designs, ~over)[0]
    assert float(rows[-1][1]) == pytest.approx(analytic.volume(accuracy[~over], costs[~over]), abs=1e-5)
    volumes = [float(row[1]) for row in rows]
    assert volumes == sorted(volumes)
    assert all(float(row[2]) <= float(row[1]) for row in rows)
    best = {row["surface"]: row for row in _rows("best_known.csv") if row["run"] == "both"}
    assert volumes[-1] < float(best["4"]["hypervolume"])


def test_a_design_that_comes_again_is_counted(experiment: SimpleNamespace, analytic: object) -> None:
    codes = analytic.space.sample_feasible(3, 0).codes.astype(np.int64)

    class Stuck(experiment.samplers.Sampler):
        def ask(self, n: int) -> np.ndarray:
            return codes[:n]

    rows = list(experiment.replay.search(analytic, Stuck(analytic.space, analytic.objectives, 0), 7, 3))
    assert [int(row[3]) for row in rows] == [0, 0, 0, 1, 2, 3, 4]


def test_random_is_uniform_over_all_and_random_feasible_over_those_within(
    experiment: SimpleNamespace, analytic: object
) -> None:
    for label, share in (("random", analytic.space.feasible_share()[0]), ("random-feasible", 1.0)):
        designs = analytic.decode(experiment.samplers.make(label, analytic.space, (), 0).ask(256))
        inside = (analytic.violations(analytic.costs(designs)) <= 0).all(axis=1)
        assert inside.mean() == pytest.approx(share, abs=0.08)


def test_optuna_is_told_of_the_designs_that_it_suggested(experiment: SimpleNamespace, analytic: object) -> None:
    sampler = experiment.samplers.make("optuna-tpe", analytic.space, analytic.objectives, 0)
    codes = sampler.ask(5)
    designs = analytic.decode(codes)
    costs = analytic.costs(designs)
    sampler.tell(np.column_stack([np.arange(5.0), costs]), analytic.violations(costs))
    paths = [decision.path for decision in analytic.space.decisions]
    for trial, row, cost in zip(sampler._study.trials, codes, costs, strict=True):
        assert trial.params == {path: code for path, code in zip(paths, row.tolist(), strict=True) if code >= 0}
        assert trial.values == [float(trial.number), *cost.tolist()]
        assert list(trial.constraints.values()) == analytic.violations(cost).tolist()


def test_two_searches_for_the_best_agree() -> None:
    found: dict[str, list[float]] = {}
    for row in _rows("best_known.csv"):
        found.setdefault(row["surface"], []).append(float(row["hypervolume"]))
    for surface, (one, other, both) in found.items():
        assert abs(one - other) < 1e-3 * both, surface
        assert both >= max(one, other), surface
        assert both < 1.001 * max(one, other), surface


@pytest.mark.parametrize("data", ["digits", "procedural"])
def test_the_trained_tables_hold_designs_of_the_space_within_its_bounds(data: str) -> None:
    space, rows = load_space(FOLDER / "real.yaml"), _rows(f"real-{data}.csv")
    assert len({(row["id"], row["seed"]) for row in rows}) == len(rows)
    some = rows[:: max(1, len(rows) // 20)]
    designs = space.designs(architectures=[Architecture.from_json(row["design"]) for row in some])
    assert [design.id for design in designs] == [row["id"] for row in some]
    assert designs.macs.tolist() == [int(row["macs"]) for row in some]
    assert designs.params.tolist() == [int(row["params"]) for row in some]
    limits = {constraint.metric: constraint.high for constraint in space.budgets}
    assert all(float(row[metric]) <= limit for row in rows for metric, limit in limits.items())


def _rows(file: str) -> list[dict[str, str]]:
    with (FOLDER / file).open(newline="") as text:
        return list(csv.DictReader(text))
