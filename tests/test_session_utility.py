"""Searches for a utility: against the whole of a space worked out by hand, with a floor, and resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import small_search
from small_search import QUICK, REFERENCE, SIZE, quick_proxy, told, written

import gas
from gas.architecture import Architecture
from gas.archive import Archive
from gas.cli import main
from gas.costs import latency
from gas.errors import RunError, SettingError
from gas.evaluation import Constraint, Status
from gas.loop import Progress
from gas.pareto import non_dominated
from gas.proxies import PROXIES
from gas.run import open_run
from gas.session import Session, search
from gas.space import SearchSpace, load_space

SHARE = {"proxy": "share", "workers": 1}


def share(architecture: Architecture) -> float:
    """A made-up accuracy: of the 30 designs three have none at all, and four cannot be scored."""
    if architecture.depths[-1] == 1 and architecture.dims[-1] == 48:
        return 0.0
    return small_search.score(architecture) / 10


class Share(small_search.Quick):
    """The quick score as a share of images put right."""

    name = "share"
    accuracy = "share"

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        super().score(architecture, seed=seed, deadline=deadline)
        return {"share": share(architecture), "share_seed": float(seed)}


@pytest.fixture(autouse=True)
def _proxies() -> Iterator[None]:
    with quick_proxy():
        PROXIES.register("share")(Share)
        try:
            yield
        finally:
            PROXIES._table.pop("share")


def netscore(architecture: Architecture) -> float:
    """By hand; NaN where there is no accuracy."""
    cost = gas.cost(architecture)
    size = 10 * math.log10(cost.params / 1e6) + 10 * math.log10(cost.macs / 1e9)
    accuracy = 100 * share(architecture)
    return 40 * math.log10(accuracy) - size if accuracy else math.nan


def whole(space: SearchSpace) -> dict[str, Architecture]:
    """Every design of the space that can be scored and has a NetScore, by id."""
    every = {design.id: design for design in space.sample(2000, 0)}
    assert len(every) == SIZE
    return {i: d for i, d in every.items() if not small_search.fails(d) and not math.isnan(netscore(d))}


@pytest.mark.slow
def test_a_search_for_netscore_finds_the_design_that_is_best_by_hand(space: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    run = search(space, out=tmp_path / "run", budget=SIZE, utility="netscore", watch=seen.append, **SHARE)
    designs = whole(run.space)
    frame = run.frame()
    ok = frame[frame["status"] == "ok"]
    assert set(ok["id"]) == set(designs)
    for row in ok.to_dict("records"):
        assert row["netscore"] == pytest.approx(netscore(designs[row["id"]]), rel=1e-12)
        assert row["share"] == share(designs[row["id"]])
    (best,) = run.front()["id"]
    assert best == max(designs, key=lambda i: netscore(designs[i])) == run.architecture("best").id
    assert run.choice()[1].endswith(
        "the highest netscore on the front among designs that meet every constraint as measured"
    )
    # Without accuracy there is no logarithm of it; such a design is no success, and what it cost is told.
    failed = frame[frame["status"] == "failed"].set_index("id")
    assert len(failed) == SIZE - len(designs)
    without = failed[failed["reason"].str.startswith("netscore: cannot be worked out from share 0, params ")]
    assert len(without) == 3
    assert without["macs"].notna().all()
    assert without["share"].isna().all()
    # Any other front can be had: the space's own.
    points = {i: (-share(d), gas.cost(d).macs) for i, d in designs.items()}
    kept = [i for i, keep in zip(points, non_dominated(list(points.values())), strict=True) if keep]
    assert set(run.front({"share": "max", "macs": "min"})["id"]) == set(kept)
    assert seen[-1].best == pytest.approx(netscore(designs[best]))
    assert math.isnan(seen[-1].hypervolume)
    assert run.utility is not None
    assert run.utility.metrics == ("share", "params", "macs")
    assert [str(o) for o in run.objectives] == ["maximise netscore"]


@pytest.mark.slow
def test_a_floor_under_the_score_holds_for_the_best(space: Path, tmp_path: Path) -> None:
    """Where NetScore alone takes a small design."""
    free = search(space, out=tmp_path / "free", budget=SIZE, utility="netscore", **SHARE)
    designs = whole(free.space)
    floor = sorted(share(design) for design in designs.values())[-5]
    assert share(free.architecture("best")) < floor
    text = space.read_text(encoding="utf-8") + f"constraints: {{proxy: {{min: {floor}}}}}\n"
    (tmp_path / "floor.yaml").write_text(text, encoding="utf-8")
    settings = {"budget": SIZE, "utility": "netscore", **SHARE}
    with Session(tmp_path / "floor.yaml", tmp_path / "floor", resume=False, settings=settings) as session:
        assert session.generator.requirements == (Constraint("share", low=floor),)
        assert session.generator.utility is not None
        assert session.generator.utility.text.count("share") == 1
        session.run()
    run = open_run(tmp_path / "floor")
    assert run.requirements == (Constraint("share", low=floor),)
    above = [i for i, design in designs.items() if share(design) >= floor]
    assert len(above) == 5
    assert run.architecture("best").id == max(above, key=lambda i: netscore(designs[i]))
    assert list(run.front()["verified"]) == [True]


def test_a_floor_that_nothing_reaches_is_said(space: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    written(tmp_path, "high.yaml", space.read_text(encoding="utf-8") + "constraints: {proxy: {min: 0.99}}\n")
    words = ["--space", tmp_path / "high.yaml", "--out", tmp_path / "run", "--budget", 6, "--utility", "netscore"]
    words += ["--proxy", "share", "--workers", 1, "--generator", "evolution", "--quiet"]
    assert main(["search", *map(str, words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    run = open_run(tmp_path / "run")
    most = run.frame()["share"].max()
    assert f"no design meets every constraint as measured; none of {run.frame()['share'].notna().sum()} cand" in line
    assert f"has share >= 0.99, the nearest has {most:.6g}; see: gas front" in line
    with pytest.raises(RunError, match="got no design that is ok"):
        run.choice()


def test_references_have_the_utility_too(space: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    reference = written(tmp_path, "reference.yaml", REFERENCE)
    words = ["--space", space, "--out", tmp_path / "run", "--budget", 4, "--utility", "netscore(share)"]
    words += ["--proxy", "share", "--workers", 1, "--generator", "evolution", "--quiet", "--compare", reference]
    assert main(["search", *map(str, words)]) == 0
    run = open_run(tmp_path / "run")
    ((design, metrics),) = run.references.values()
    assert metrics["netscore"] == pytest.approx(netscore(design), rel=1e-12)
    out = capsys.readouterr().out
    assert "Best netscore" in out
    assert "Pareto front" not in out
    for value in (metrics["netscore"], float(run.front()["netscore"].iloc[0])):
        assert f"{value:.4g}" in out
    assert (tmp_path / "run" / "front.png").stat().st_size > 0
    assert main(["front", str(run.path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert {"netscore", "share", "params", "macs"} <= row.keys()


@pytest.mark.parametrize("generator", ["evolution", "random", "tpe", "nsga2"])
def test_a_resumed_search_for_a_utility_from_prototypes_equals_an_unbroken_one(
    generator: str, space: Path, tmp_path: Path
) -> None:
    """Although the prototype's file is gone by then."""
    file = tmp_path / "mine.yaml"
    design = load_space(space).sample(1, 3)[0]
    settings = {**QUICK, "utility": "proxy - 2 * log10(macs)", "generator": generator, "seed": 3}
    outs = []
    for name, budgets in (("whole", [12]), ("broken", [4, 7, 12])):
        file.write_text(json.dumps(design.to_dict()), encoding="utf-8")
        out = tmp_path / name
        search(space, out=out, budget=budgets[0], prototypes=[str(file)], **settings)
        file.unlink()
        for budget in budgets[1:]:
            search(None, out=out, resume=True, budget=budget)
        outs.append(told(out))
    assert outs[0] == outs[1]
    assert len(outs[0]) == 12
    assert outs[0][0][1] == design.id
    for _, _, status, metrics in outs[0]:
        if status is Status.OK:
            assert metrics["utility"] == pytest.approx(metrics["quick"] - 2 * math.log10(metrics["macs"]), rel=1e-12)


def test_what_a_resumed_search_wants_cannot_be_changed(space: Path, tmp_path: Path) -> None:
    run = search(space, out=tmp_path / "run", budget=3, utility="proxy / macs", **QUICK)
    for changed in ({"utility": "proxy"}, {"utility": ""}, {"prototypes": ("hiera_tiny",)}):
        with pytest.raises(SettingError, match=f"^{next(iter(changed))}: got .*; this run has .*, which cannot be"):
            search(None, out=run.path, resume=True, **changed)
    search(space, out=run.path, resume=True, utility="proxy / macs", budget=4)
    assert len(told(run.path)) == 4


def test_a_run_of_before_there_were_utilities_can_be_read(space: Path, tmp_path: Path) -> None:
    run = search(space, out=tmp_path / "run", budget=3, **QUICK)
    record = json.loads((run.path / "run.json").read_text())
    assert record.pop("utility") is None
    for setting in ("utility", "prototypes"):
        del record["settings"][setting]
    (run.path / "run.json").write_text(json.dumps(record))
    old = open_run(run.path)
    assert old.utility is None
    assert old.prototypes == {}
    assert len(search(None, out=run.path, resume=True, budget=5).frame()) == 5


@pytest.mark.slow
def test_a_utility_may_read_what_the_space_does_not_speak_of(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gas.verify.latency", lambda *a, **options: latency(*a, **options | {"seconds": 0.1}))
    reference = written(tmp_path, "reference.yaml", REFERENCE)
    settings = {"utility": "proxy - latency - memory / 100", "compare": (str(reference),), **QUICK}
    run = search(space, out=tmp_path / "run", budget=3, **settings)

    def by_hand(row: Mapping[str, float]) -> float:
        return row["quick"] - row["latency_ms_predicted"] - row["memory_mib"] / 100

    frame = run.frame()
    for row in [
        *frame[frame["status"] == "ok"].to_dict("records"),
        *(metrics for _, metrics in run.references.values()),
    ]:
        assert row["utility"] == pytest.approx(by_hand(row), rel=1e-12)
    assert run.front()["latency_ms"].notna().all()
    with Archive.open(run.path, readonly=True) as archive:
        assert len(archive.evaluations()) == 3
