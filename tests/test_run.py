"""What is asked of a finished run, against answers worked out by hand."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pandas as pd
import pytest
from small_search import QUICK, REFERENCE, SIZE, quick_proxy, written

import gas
from gas.archive import Archive
from gas.errors import RunError, SettingError, UnknownNameError
from gas.evaluation import Objective
from gas.run import Run, open_run
from gas.session import search
from gas.space import SearchSpace

MEASURED = {"target": "cpu_eager", "batch": 1, "threads": 1, "q1_ms": 1.0, "q3_ms": 9.0, "repeats": 9}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    written(folder, "reference.yaml", REFERENCE)
    with quick_proxy():
        return search(written(folder), out=folder / "a run", budget=18, compare=("hiera_tiny",), **QUICK).path


@pytest.fixture
def run(path: Path, tmp_path: Path) -> Run:
    return open_run(shutil.copytree(path, tmp_path / "run"))


def bound_latency(run: Run) -> None:
    """As if the space had asked for at most the reference's latency."""
    run.record["measured"] = [{"metric": "latency_ratio", "low": "-inf", "high": "1.0"}]


def measure(run: Run, id: str, ratio: float) -> None:
    with Archive.open(run.path) as archive:
        archive.measure(id, **MEASURED, median_ms=4.0 * ratio, reference="hiera_tiny", ratio=ratio)


def brute_front(frame: pd.DataFrame, score: str, cost: str) -> list[str]:
    rows = frame[frame["status"] == "ok"][["id", score, cost]].to_records(index=False).tolist()
    return [
        id
        for id, value, price in sorted(rows, key=lambda row: -row[1])
        if not any(v >= value and p <= price and (v, p) != (value, price) for _, v, p in rows)
    ]


def test_the_frame_is_typed_and_complete(run: Run) -> None:
    frame = run.frame()
    assert len(frame) == 18
    expected = {"id": "str", "number": "int64", "status": "str", "macs": "Int64", "params": "Int64"}
    expected |= {"quick": "float64", "seconds": "float64", "stages[0].dim": "Int64", "origin": "str"}
    assert {name: str(frame[name].dtype) for name in expected} == expected
    assert frame.loc[frame["status"] == "failed", "quick"].isna().all()
    assert (frame["status"] == "failed").any()
    assert set(frame.loc[frame["status"] == "failed", "reason"]) == {"ValueError: loss is nan"}
    assert frame.attrs["units"]["macs"] == "multiply-adds"


def test_the_front_is_the_one_found_by_looking_at_all_pairs(run: Run) -> None:
    front = run.front()
    assert list(front["id"]) == brute_front(run.frame(), "quick", "macs")
    assert 1 < len(front) < 18
    assert front["verified"].dtype == bool
    assert front["verified"].all()  # nothing here needs a measurement
    for objectives in ({"quick": "max", "params": "min"}, [Objective("quick", maximise=True), Objective("params")]):
        assert list(run.front(objectives)["id"]) == brute_front(run.frame(), "quick", "params")
    with pytest.raises(RunError, match="objectives: got 'most'; expected max or min"):
        run.front({"quick": "most"})
    with pytest.raises(UnknownNameError, match=r"metric: got 'quik'.*did you mean 'quick'"):
        run.front({"quik": "max"})


def test_best_and_knee_by_their_definitions(run: Run) -> None:
    front = run.front()
    best, why = run.choice()
    assert best.id == front.loc[front["quick"].idxmax(), "id"]
    assert why.startswith(f"{best.id} (candidate {front['number'][0]}): the highest quick on the front")
    knee, why = run.choice("knee")
    sums = []
    for _, row in front.iterrows():
        value = (front["quick"].max() - row["quick"]) / (front["quick"].max() - front["quick"].min())
        price = (row["macs"] - front["macs"].min()) / (front["macs"].max() - front["macs"].min())
        sums.append(value + price)
    assert knee.id == front["id"][sums.index(min(sums))]
    assert "the knee of the front" in why
    assert knee.id != best.id
    with pytest.raises(SettingError, match=r"got 'bset'; expected one of best, checked, knee, .*; did you mean 'best'"):
        run.choice("bset")


def test_a_design_refuted_by_measurement_leaves_the_front_and_the_choice(run: Run) -> None:
    bound_latency(run)
    before = run.front()
    first, second = before["id"][:2]
    assert not before["verified"].any()
    assert run.choice()[1].endswith("(nothing on the front is measured yet, so predictions decide)")
    assert run.choice()[0].id == first
    measure(run, first, 1.2)
    front = run.front()
    assert first not in set(front["id"])
    assert front["id"][0] == second
    # What only the refuted design dominated has moved up.
    moved = set(front["id"]) - set(before["id"])
    ok = run.frame().query("status == 'ok'").set_index("id")
    for id in moved:
        assert ok.loc[id, "quick"] <= ok.loc[first, "quick"]
        assert ok.loc[id, "macs"] >= ok.loc[first, "macs"]
    last = front["id"].iloc[-1]
    measure(run, last, 0.7)
    assert run.choice()[0].id == run.architecture("best").id == last  # the only one that is verified
    assert run.choice("knee")[0].id == last
    assert run.measured_latencies() == {first: pytest.approx(4.8), last: pytest.approx(2.8)}
    for id in run.front()["id"]:
        measure(run, id, 1.5)
    while len(rest := run.front()):
        for id in rest["id"]:
            measure(run, id, 1.5)
    with pytest.raises(RunError, match="got no design that is ok"):
        run.choice()


def test_designs_by_id_number_rule_and_beginning_of_an_id(run: Run) -> None:
    frame = run.frame().set_index("number")
    for number, id in itertools.islice(frame["id"].items(), 4):
        design = run.architecture(number)
        assert design.id == id
        assert run.architecture(str(number)) == run.architecture(id) == run.architecture(id[:8]) == design
    assert run.architecture("knee") == run.choice("knee")[0]
    id = frame["id"][0]
    wrong = id[:-1] + ("0" if id[-1] != "0" else "1")
    with pytest.raises(RunError, match=f"got '{wrong}'; expected .*; did you mean '{id}'"):
        run.architecture(wrong)
    with pytest.raises(RunError, match="got 18; expected the id or number of one of the run's 18 candidates"):
        run.architecture(18)


def test_the_run_holds_what_the_search_was(run: Run) -> None:
    assert isinstance(run.space, SearchSpace)
    assert run.space.size() == SIZE
    assert run.settings.budget == 18
    assert run.settings.compare == ("hiera_tiny",)
    design, metrics = run.references["hiera_tiny"]
    assert design == gas.load("hiera_tiny")
    assert metrics["params"] == gas.load_space("zoo/hiera_tiny").cost_range["params"][0]
    row = run.row(run.architecture(0))
    assert row["number"] == 0
    assert "latency_ms" not in row
    assert run.row(design) == {}
    assert repr(run) == f"<Run {run.path}: small, evolution, quick>"


def test_facts_say_what_was_measured_and_what_was_not(run: Run) -> None:
    best = run.architecture("best")
    facts = run.facts(best)
    assert facts["origin"].endswith("of run run over small")
    assert facts["proxies"] == {"quick": run.front()["quick"][0]}
    assert "on digits, seed 0" in facts["fidelity"]
    assert "latency" not in facts
    measure(run, best.id, 0.75)
    assert run.facts(best)["latency"] == {
        "target": "cpu_eager", "batch": 1, "threads": 1, "median_ms": 3.0, "q1_ms": 1.0, "q3_ms": 9.0,
        "ratio": 0.75, "against": "hiera_tiny",
    }  # fmt: skip
    assert run.facts(gas.load("hiera_tiny")) == {}


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="got no such directory; expected the directory of a run"):
        open_run(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"got no run\.json; expected the directory of a run"):
        open_run(tmp_path)


def test_the_chosen_design_is_exported_with_what_the_run_knows(run: Run, tmp_path: Path) -> None:
    result = gas.export(run, tmp_path / "out", command="gas export")
    best = run.architecture("best")
    names = sorted(path.name for path in result.paths)
    assert names == [f"small_{best.id}.{end}" for end in ("md", "py", "safetensors", "yaml")]
    card = (tmp_path / "out" / f"small_{best.id}.md").read_text()
    assert f"candidate {run.row(best)['number']} of run run over small" in card
    assert gas.load(tmp_path / "out" / f"small_{best.id}.yaml").id == best.id
    with pytest.raises(SettingError, match="already exists"):
        gas.export(str(run.path), tmp_path / "out")
    assert result.difference <= 1e-6


def test_the_front_among_the_designs_asked_for(run: Run) -> None:
    frame = run.frame()
    bound = int(frame["macs"].astype(int).median())
    asked = f"macs < {bound} and stages[0].dim in (16, 24)"
    some = frame[(frame["macs"] < bound) & frame["stages[0].dim"].isin([16, 24])]
    assert list(run.front(where=asked)["id"]) == brute_front(some, "quick", "macs")
    best = tuple(run.front()["id"])
    rest = run.front(where=f"id not in {best}")  # what only these dominate
    assert list(rest["id"]) == brute_front(frame[~frame["id"].isin(best)], "quick", "macs")
    by_params = run.front(where=asked, sort="params", ascending=False)
    assert by_params["params"].is_monotonic_decreasing
    known = run.frame(where="not proxy > 100", sort="macs")
    assert set(known["id"]) == set(frame.loc[frame["quick"].notna(), "id"])
    assert known["macs"].is_monotonic_increasing
    assert len(run.frame(where="status == 'failed'")) == (frame["status"] == "failed").sum()
    assert run.front(weights={"proxy": 1, "macs": 1})["id"][0] == run.choice("knee")[0].id
    assert len(run.front(knees=2)) == 2
    with pytest.raises(
        RunError, match=rf"where: got 'macs < 3', which leaves none of {(frame['status'] == 'ok').sum()}"
    ):
        run.choice("best", where="macs < 3")


def test_a_choice_is_kept_with_its_reason(run: Run) -> None:
    with pytest.raises(RunError, match="got no choice yet"):
        run.architecture("chosen")
    made = run.choose("weights", where="macs < 15M", weights={"quick": 1, "macs": 2})
    design, reason = run.choice("chosen")
    assert (design.id, reason) == (made.id, made.reason)
    assert design == run.architecture("chosen") == run.choice("weights", where="macs<15M", weights=made.weights)[0]
    assert made.reason.startswith(f"{made.id} (candidate {made.number}): the least sum of weight x metric")
    assert made.reason.endswith("on the front where macs < 15M")
    assert run.choose("best").id == run.architecture("chosen").id == run.architecture("best").id


def test_no_column_is_an_object(run: Run) -> None:
    for rows in (run.frame(), run.front(), run.front(knees=1), run.front(weights={"macs": 1})):
        assert [name for name in rows if rows[name].dtype == object] == []
