"""Memory as a bound and an objective of a search: in the language, before evaluations, on the front, in print."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import jsonschema
import pytest
import small_search
import yaml
from small_search import QUICK, SCORED, written

from gas.architecture import Architecture
from gas.cli import main
from gas.costs import memory
from gas.errors import SpaceError
from gas.evaluation import UNITS, Constraint
from gas.pricing import Pricing
from gas.report.figures import axis_label
from gas.report.spaces import space_facts
from gas.report.tables import Column
from gas.run import Run
from gas.session import search
from gas.space import SearchSpace, load, load_space, space_from_text
from gas.space.schema import json_schema

BOUND = "0.35MiB"
BOUNDED = f"""
name: bounded
{small_search.BODY}
objectives: [{{maximise: proxy}}, {{minimise: memory}}]
constraints: {{memory: {{max: {BOUND}}}}}
"""


pytestmark = pytest.mark.usefixtures("quick")


def bounded(text: str) -> SearchSpace:
    return space_from_text(f"name: f\n{small_search.BODY}\nconstraints: {{memory: {text}}}\n", "f.yaml")


def refusal(text: str) -> str:
    with pytest.raises(SpaceError) as caught:
        bounded(text)
    return str(caught.value)


# The language


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("{max: 48MiB}", -float("inf"), 48.0),
        ("{max: 1.5GiB}", -float("inf"), 1536.0),
        ("{min: 512 KiB, max: 2MiB}", 0.5, 2.0),
    ],
)
def test_a_bound_is_a_size_with_its_unit(text: str, low: float, high: float) -> None:
    assert bounded(text).constraints == (Constraint("memory_mib", low, high),)
    assert json_schema_takes(text)


@pytest.mark.parametrize("value", ["64", "64M", "64MB", "1500.5", "10ms", "-3MiB", "MiB", "[1]", "null", "true"])
def test_a_bound_without_its_unit_is_no_guess(value: str) -> None:
    expected = "expected a size with its unit, such as 48MiB or 1.5GiB"
    assert f"constraints.memory.max: got {yaml.safe_load(value)!r}; {expected}" in refusal(f"{{max: {value}}}")


def test_a_bound_relative_to_a_design_is_a_plain_number() -> None:
    space = bounded("{max: 0.5, of: efficientvit_m0}")
    assert space.constraints == (Constraint("memory_mib", high=0.5, of="efficientvit_m0"),)
    assert json_schema_takes("{max: 0.5, of: efficientvit_m0}")
    said = refusal("{max: 3MiB, of: efficientvit_m0}")
    assert "constraints.memory.max: got '3MiB'; expected a multiple of the other design's memory" in said
    assert "constraints.memory.of: efficientvit_mm: no such" in refusal("{max: 1, of: efficientvit_mm}")


def test_other_bounds_take_no_sizes() -> None:
    text = f"name: f\n{small_search.BODY}\nconstraints: {{params: {{max: 48MiB}}}}\n"
    with pytest.raises(SpaceError, match=r"constraints\.params\.max: got '48MiB'; expected a number"):
        space_from_text(text, "f.yaml")


def json_schema_takes(text: str) -> bool:
    schema = json_schema()["properties"]["constraints"]
    return not list(jsonschema.Draft202012Validator(schema).iter_errors({"memory": yaml.safe_load(text)}))


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    assert not json_schema_takes("{max: 64M}")
    assert not json_schema_takes("{max: 10ms}")
    goals = json_schema()["properties"]["objectives"]["items"]["anyOf"]
    assert all("memory" in next(iter(goal["properties"].values()))["enum"] for goal in goals)


# Before an evaluation


def members() -> list[Architecture]:
    return space_from_text(small_search.SPACE, "small.yaml").sample(12, seed=0)


def test_pricing_refuses_what_takes_too_much() -> None:
    for design in members():
        exact = memory(design, 3).mib
        assert Pricing(memory_batch=3).metrics(design)["memory_mib"] == exact
        assert "memory_mib" not in Pricing().metrics(design)
        for bound, refused in ((exact, False), (exact * 0.999, True)):
            pricing = Pricing(constraints=(Constraint("memory_mib", high=bound),), memory_batch=3)
            assert bool(pricing.refusal(pricing.metrics(design))) is refused


def test_a_search_spends_no_evaluation_on_what_takes_too_much(tmp_path: Path) -> None:
    run = search(written(tmp_path, text=BOUNDED), out=tmp_path / "run", budget=8, seed=1, **QUICK)
    frame, front = run.frame(), run.front()
    assert set(frame["status"]) >= {"ok", "infeasible"}
    bound = float(BOUND.removesuffix("MiB"))
    for row in frame.to_dict("records"):
        design = run.architecture(row["id"])
        assert row["memory_mib"] == memory(design).mib
        if row["status"] == "infeasible":
            assert row["memory_mib"] > bound
            assert row["reason"] == f"memory_mib {row['memory_mib']:.6g}, wanted memory_mib <= {bound:g}"
            assert row["id"] not in SCORED
        elif row["status"] in ("ok", "failed"):
            assert row["memory_mib"] <= bound
    assert frame.attrs["units"]["memory_mib"] == "MiB" == UNITS["memory_mib"]
    assert [str(o) for o in run.objectives] == ["maximise quick", "minimise memory_mib"]
    assert front["memory_mib"].is_monotonic_decreasing  # the best score first
    assert Run(tmp_path / "run").bounds == (Constraint("memory_mib", high=bound),)


def test_the_batch_of_the_search_counts(tmp_path: Path) -> None:
    text = BOUNDED.replace(BOUND, "8MiB")
    run = search(written(tmp_path, text=text), out=tmp_path / "run", budget=3, batch=4, **QUICK)
    for row in run.frame().to_dict("records"):
        assert row["memory_mib"] == memory(run.architecture(row["id"]), 4).mib


def test_the_volume_is_taken_from_the_bound(tmp_path: Path) -> None:
    seen: list[float] = []
    watch = lambda progress: seen.append(progress.hypervolume)  # noqa: E731
    run = search(written(tmp_path, text=BOUNDED), out=tmp_path / "run", budget=4, watch=watch, **QUICK)
    points = run.front()[["quick", "memory_mib"]].to_numpy(dtype=float)
    bound = float(BOUND.removesuffix("MiB"))
    # Designs from the highest score down: each adds its score above the next times what it leaves of the bound.
    rest = sorted(points.tolist(), reverse=True)
    below = [*(score for score, _ in rest[1:]), 0.0]
    volume = sum((score - low) * (1 - mib / bound) for (score, mib), low in zip(rest, below, strict=True))
    assert seen[-1] == pytest.approx(volume)


def test_a_bound_relative_to_a_design_is_resolved_with_its_memory(tmp_path: Path) -> None:
    written(tmp_path, "reference.yaml", small_search.REFERENCE)
    text = BOUNDED.replace(f"max: {BOUND}", "max: 1.5, of: reference.yaml")
    run = search(written(tmp_path, text=text), out=tmp_path / "run", budget=3, batch=2, **QUICK)
    limit = 1.5 * memory(load(tmp_path / "reference.yaml"), 2).mib
    assert run.bounds == (Constraint("memory_mib", high=limit),)
    ((_, metrics),) = run.references.values()
    assert metrics["memory_mib"] == pytest.approx(limit / 1.5)


# In print


def test_a_bound_that_nothing_meets_is_told_with_the_nearest_value(tmp_path: Path, capsys) -> None:
    file = written(tmp_path, text=BOUNDED.replace(BOUND, "1KiB"))
    words = [
        "search",
        "--generator",
        "evolution",
        "--space",
        str(file),
        "--out",
        str(tmp_path / "run"),
        "--proxy",
        "quick",
        "--workers",
        "1",
    ]
    assert main([*words, "--budget", "3"]) == 2
    out, err = capsys.readouterr()
    least = min(memory(design).mib for design in load_space(file).sample(400, seed=0))
    assert "30 candidates (30 infeasible)" in out
    told = "no design was evaluated with success; none of 30 candidates has memory_mib <= 0.000976562, the nearest has"
    assert f"{told} {least:.6g}; see: gas front" in err
    assert "Traceback" not in err
    assert SCORED == []


def test_the_front_shows_memory_with_its_unit_and_batch(tmp_path: Path, capsys) -> None:
    text = BOUNDED.replace("{minimise: memory}", "{minimise: macs}")  # a bound alone is shown too
    search(written(tmp_path, text=text), out=tmp_path / "run", budget=3, **QUICK)
    assert main(["front", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "memory (MiB)" in out
    assert "memory: weights and the peak of one forward pass of 1" in out
    assert main(["front", str(tmp_path / "run"), "--json"]) == 0
    assert all(row["memory_mib"] > 0 for row in json.loads(capsys.readouterr().out))


def test_a_space_is_told_with_its_bound_on_memory(capsys, tmp_path: Path) -> None:
    space = bounded("{min: 1MiB, max: 1.5GiB}")
    assert space_facts(space, examples=0, seed=0)["constraints"] == ["memory_mib >= 1 and <= 1536"]
    file = written(tmp_path, text=f"name: f\n{small_search.BODY}\nconstraints: {{memory: {{max: 1.5GiB}}}}\n")
    assert main(["check", str(file), "--designs", "0"]) == 0
    assert "memory at most 1536 MiB" in capsys.readouterr().out


def test_words_for_memory() -> None:
    assert Column.of("memory_mib") == Column("memory_mib", "memory (MiB)", "mib")
    assert Column.of("memory_mib").cell(48.128) == "48.13"
    assert axis_label("memory_mib") == "memory (MiB)"


def test_cost_prints_memory_for_each_batch(capsys) -> None:
    names = ("efficientvit_m0", "fastvit_t8")
    assert main(["cost", *names, "--batch", "1,4", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["name"], row["batch"]) for row in rows] == [(name, batch) for name in names for batch in "14"]
    for row in rows:
        found = memory(load(row["name"]), int(row["batch"]))
        assert float(row["weights_mib"]) == found.weights_bytes / 2**20
        assert float(row["peak_mib"]) == found.peak_bytes / 2**20
        assert float(row["memory_mib"]) == found.mib
    assert main(["cost", *names, "--batch", "1,4", "--json"]) == 0
    assert [list(row) for row in json.loads(capsys.readouterr().out)] == [list(rows[0])] * 4
    assert main(["cost", names[0], "--batch", "4"]) == 0
    out = capsys.readouterr().out
    assert all(heading in out for heading in ("batch", "weights (MiB)", "peak (MiB)", "memory (MiB)"))
    assert main(["cost", names[0], "--json"]) == 0
    assert "memory_mib" not in capsys.readouterr().out


@pytest.mark.parametrize("batch", ["0", "-1", "1,x", "", "1.5", "1,,2"])
def test_a_batch_that_cannot_be(batch: str, capsys) -> None:
    assert main(["cost", "efficientvit_m0", "--batch", batch]) == 2
    err = capsys.readouterr().err
    assert err.startswith("gas: batch: got ")
    assert err.endswith("expected a whole number from 1\n")
