"""Probes through a whole search: from workers to the generator, the archive, a resumed run and the command line."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from contributions import registered
from small_search import QUICK, quick_proxy, timed_space, written

import gas.generators.base as generators
from gas.cli import main
from gas.costs import LatencyTable, latency
from gas.evaluation import Evaluation
from gas.generators import GENERATORS
from gas.generators.random import RandomGenerator
from gas.plan import plan
from gas.pricing import Pricing
from gas.run import Run
from gas.session import Session, search
from gas.space import load

NAMES = ("saliency", "effective_rank", "macs_share")
TOLD: list[Evaluation] = []


class Probing(RandomGenerator):
    """Asks for probes and remembers what it was told."""

    probes = NAMES

    def learn(self, evaluation: Evaluation) -> None:
        TOLD.append(evaluation)


@pytest.fixture(autouse=True, scope="module")
def _known() -> Iterator[None]:
    with quick_proxy(), registered(GENERATORS, GENERATORS.register, "gas.generators", probing=Probing):
        assert generators.GENERATORS.get("probing") is Probing
        yield


OPTIONS = {**QUICK, "generator": "probing"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("probed")
    return search(written(folder), out=folder / "run", budget=9, **OPTIONS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("plain")
    return search(written(folder), out=folder / "run", budget=3, **QUICK)


def test_what_was_found_is_told_and_recorded(run: Run) -> None:
    frame = run.frame()
    assert set(frame["status"]) == {"ok", "failed"}
    for row in frame.to_dict("records"):
        found = run.probes(row["number"])
        assert list(found) == ([] if row["status"] == "failed" else [*_places(), *NAMES])
        if row["status"] == "ok":
            blocks = plan(run.architecture(row["number"])).blocks
            assert list(found["stage"]) == [placed.stage for placed in blocks]
            assert list(found["path"]) == [placed.path for placed in blocks]
            assert found["saliency"].sum() == pytest.approx(1.0)
    assert run.probes("best").equals(run.probes(run.choice()[0].id))


def _places() -> list[str]:
    return ["block", "stage", "path", "pattern", "options", "dim"]


def test_a_resumed_search_gives_the_generator_the_same_probes_again(tmp_path: Path) -> None:
    space = written(tmp_path)
    TOLD.clear()
    search(space, out=tmp_path / "run", budget=5, **OPTIONS)
    first = list(TOLD)
    assert sum(bool(evaluation.probes) for evaluation in first) >= 3
    TOLD.clear()
    with Session(None, tmp_path / "run", resume=True, settings={"budget": 8}) as session:
        assert first == TOLD
        session.run()
    assert len(TOLD) > len(first)
    resumed = [evaluation.probes for evaluation in TOLD]
    TOLD.clear()
    search(space, out=tmp_path / "whole", budget=8, **OPTIONS)
    assert [evaluation.probes for evaluation in TOLD] == resumed


def test_where_latency_is_priced_its_share_stands_beside_saliency_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gas.verify.latency", lambda *a, **o: latency(*a, **o | {"seconds": 0.1}))
    found = search(timed_space(tmp_path), out=tmp_path / "run", budget=4, **OPTIONS)
    probes = found.probes("best")
    assert list(probes)[-1] == "latency_share"
    assert probes["latency_share"].sum() == pytest.approx(1.0)
    assert (probes["latency_share"] > 0).all()


def test_latency_by_blocks_is_what_is_predicted_without_stem_and_head(tmp_path: Path) -> None:
    design = load("turbovit")
    pricing = Pricing(table=LatencyTable(path=tmp_path / "latency.sqlite", seconds=0.0))
    blocks = pricing.block_ms(design)
    assert len(blocks) == len(plan(design).blocks)
    ends = [p for p in plan(design).placed if p.stage is None]
    rest = sum(pricing.table.ms(piece) for p in ends for piece in _pieces(p))
    assert sum(blocks) + rest == pytest.approx(pricing.predicted(design))
    readings = tuple({"stage": placed.stage} for placed in plan(design).blocks)
    shares = [reading["latency_share"] for reading in pricing.with_latency(readings, design)]
    assert shares == pytest.approx([ms / math.fsum(blocks) for ms in blocks])
    assert pricing.with_latency((), design) == ()
    assert Pricing().block_ms(design) == []
    assert Pricing().with_latency(readings, design) == readings


def _pieces(placed):
    from gas.costs.pieces import pieces

    return pieces(placed.spec, placed.came)


def test_show_prints_what_the_run_recorded(run: Run, capsys: pytest.CaptureFixture) -> None:
    assert main(["show", str(run.path), "best", "--probes"]) == 0
    out, err = capsys.readouterr()
    assert "as found when it was evaluated" in out
    assert "By stage" in out
    assert "saliency / macs" in out
    assert "short: share of saliency at least 1.5 times the share of macs; wasted: at most 0.67 times" in out
    assert err == ""
    assert main(["show", str(run.path), "best", "--probes", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    recorded = run.probes("best").to_dict("records")
    assert [{key: row[key] for key in recorded[0]} for row in rows] == recorded
    assert main(["show", str(run.path), "best", "--probes", "--csv"]) == 0
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["saliency"]) for row in read] == [row["saliency"] for row in recorded]


def test_a_run_without_probes_says_so_in_one_line_and_the_design_is_probed_now(
    plain: Run, capsys: pytest.CaptureFixture
) -> None:
    assert plain.probes("best").empty
    assert main(["show", str(plain.path), "best", "--probes", "--json"]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)
    design = plain.choice()[0]
    assert len(rows) == len(plan(design).blocks)
    assert {"saliency", "entropy", "params_share"} <= set(rows[0])
    (line,) = err.splitlines()
    asked = f"the generator {plain.settings.generator} asked for none"
    assert line.startswith(f"note: {plain.path} holds no probes of {design.id}: {asked}")


def test_what_failed_says_that_it_failed(run: Run, capsys: pytest.CaptureFixture) -> None:
    frame = run.frame()
    number = frame[frame["status"] == "failed"]["number"].iloc[0]
    assert main(["show", str(run.path), str(number), "--probes"]) == 0
    out, err = capsys.readouterr()
    assert "probed now, random weights" in out
    assert err.rstrip().endswith(": it is failed")


def test_designs_are_probed_on_the_spot(capsys: pytest.CaptureFixture) -> None:
    assert main(["show", "shvit_s1", "efficientvit_m0", "--probes"]) == 0
    out, err = capsys.readouterr()
    assert out.count("By stage") == 2
    assert out.startswith("shvit_s1 (")
    assert err == ""
    assert main(["show", "shvit_s11", "--probes"]) == 2
    assert "did you mean" in capsys.readouterr().err
