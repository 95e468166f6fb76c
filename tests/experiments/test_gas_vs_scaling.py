"""The designs, the space and the statistics of experiments/gas_vs_scaling."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from experiments.experiment_scripts import EXPERIMENTS, scripts
from scipy import stats

from gas.plan import plan
from gas.space import SearchSpace, load

FOLDER = EXPERIMENTS / "gas_vs_scaling"
NAMES = ("designs", "report", "run")


@pytest.fixture(scope="module")
def experiment() -> Iterator[SimpleNamespace]:
    with scripts("gas_vs_scaling", NAMES) as found:
        yield found


@pytest.fixture(scope="module")
def space(experiment: SimpleNamespace) -> SearchSpace:
    return experiment.designs.space_of()


@pytest.mark.parametrize(
    ("name", "public", "width", "depth"),
    [
        ("hiera_b_scaled", "hiera_base", 2 / 3, 0.5),
        ("hiera_t_width", "hiera_tiny", 0.6875, 1.0),
        ("hiera_t_both", "hiera_tiny", 0.717, 0.85),
    ],
)
def test_the_scaled_designs_are_public_ones_at_other_widths_and_depths(
    experiment: SimpleNamespace, space: SearchSpace, name: str, public: str, width: float, depth: float
) -> None:
    design, whole = experiment.designs.scaled(name), load(public)
    assert design in space
    assert design.depths == tuple(math.floor(depth * n + 0.5) for n in whole.depths)
    for small, large in zip(design.stages, whole.stages, strict=True):
        mixers = [stage.blocks[0].block.options["mixer"] for stage in (small, large)]
        step = 8 if large.dim == 768 else 4  # eight heads there
        assert abs(small.dim - width / 4 * large.dim) <= step / 2
        assert mixers[0].pattern == mixers[1].pattern
        assert mixers[0].options["heads"] == large.dim // mixers[1].options["head_dim"]


def test_everything_that_is_compared_costs_as_much_as_the_reference_or_less(
    experiment: SimpleNamespace, space: SearchSpace
) -> None:
    designs = experiment.designs
    most, drawn = plan(designs.scaled(designs.REFERENCE)).cost, designs.drawn(space)
    near = [*designs.ruled(space), *drawn]
    for entry in [*near, *designs.read()]:
        cost, share = plan(entry.design).cost, 1 - designs.WITHIN if entry in near else 0
        assert entry.design in space
        assert share * most.macs <= cost.macs <= most.macs
        assert share * most.params <= cost.params <= most.params
    assert len({entry.design.id for entry in drawn}) == designs.RANDOM == len(drawn)
    assert [e.design.id for e in drawn] == [e.design.id for e in designs.read() if e.group == "random"]


def test_the_designs_found_are_the_best_that_the_searches_were_told_of(experiment: SimpleNamespace) -> None:
    designs = experiment.designs
    told, listed = pd.read_csv(FOLDER / "searches.csv"), pd.read_csv(FOLDER / "designs.csv")
    for proxy, (seed, _) in designs.SEARCHES.items():
        search = told[told["proxy"] == proxy]
        assert set(search["seed"]) == {seed}
        assert (search["status"] == "ok").sum() == designs.EVALUATIONS
        best = search.sort_values("score", ascending=False, kind="stable")["id"].head(designs.BEST)
        assert list(listed[listed["group"] == f"gas_{proxy}"]["id"]) == list(best)


def test_searches_and_trainings_share_no_seed(experiment: SimpleNamespace) -> None:
    searched = {seed for seed, _ in experiment.designs.SEARCHES.values()}
    assert not {*experiment.run.SEEDS, experiment.run.RATE_SEED} & searched


def made_up(rng: np.random.Generator, seeds: int = 4) -> pd.DataFrame:
    """Results in which a design's number decides, but for noise; the last cell lacks a design."""
    groups = {"hiera_b_scaled": "hiera_b", "hiera_t_width": "hiera_t", "gas_blend_1": "gas_blend"}
    groups |= {"gas_short_training_1": "gas_short_training", "random_1": "random", "random_2": "random"}
    rows = [
        {"design": d, "group": g, "data": data, "seed": seed, "accuracy": n / 10 + rng.normal(0, 0.02)}
        for data in ("digits", "procedural")
        for seed in range(seeds)
        for n, (d, g) in enumerate(groups.items())
    ]
    rows = [{**row, "loss": rng.normal(1.0, 0.1)} for row in rows]
    return pd.DataFrame(rows[:-1])


def test_cells_in_which_a_design_is_missing_do_not_count(
    experiment: SimpleNamespace, capsys: pytest.CaptureFixture
) -> None:
    cells = experiment.report.complete(made_up(np.random.default_rng(0)))
    assert len(cells) == 7 * 6
    assert cells[cells["data"] == "procedural"]["seed"].max() == 2
    assert "5 trainings" in capsys.readouterr().out


def test_differences_are_paired_by_cell_and_intervals_are_scipys(experiment: SimpleNamespace) -> None:
    cells = experiment.report.complete(made_up(np.random.default_rng(1)))
    summary = experiment.report.summarise(cells).set_index(["name", "what", "data", "measure", "unit"])
    values = {name: part.set_index(["data", "seed"])["accuracy"] for name, part in cells.groupby("design")}
    gas = (values["gas_blend_1"] + values["gas_short_training_1"]) / 2
    row = summary.loc[("gas", "minus hiera_b", "both", "accuracy", "cells")]
    gap = gas - values["hiera_b_scaled"]
    test = stats.ttest_1samp(gap, 0.0)
    assert row["n"] == 7
    assert row["mean"] == pytest.approx(gap.mean())
    assert row["mean"] / row["standard_error"] == pytest.approx(test.statistic)
    assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval()))

    one = summary.loc[("gas_blend_1", "minus hiera_b_scaled", "digits", "accuracy", "cells")]
    assert one["mean"] == pytest.approx((values["gas_blend_1"] - values["hiera_b_scaled"])["digits"].mean())

    welch = summary.loc[("gas", "minus random", "both", "accuracy", "designs")]
    first, second = (["gas_blend_1", "gas_short_training_1"], ["random_1", "random_2"])
    told = stats.ttest_ind(*([values[n].mean() for n in names] for names in (first, second)), equal_var=False)
    assert welch["mean"] / welch["standard_error"] == pytest.approx(told.statistic)
    assert (welch["low"], welch["high"]) == pytest.approx(tuple(told.confidence_interval()))


def test_the_committed_summary_follows_from_the_committed_results(experiment: SimpleNamespace) -> None:
    results = pd.read_csv(FOLDER / "results.csv")
    cells = experiment.report.complete(results)
    fresh, kept = experiment.report.summarise(cells), pd.read_csv(FOLDER / "summary.csv")
    pd.testing.assert_frame_equal(fresh, kept, check_dtype=False, rtol=0, atol=1e-5)
