"""A second proxy looks at the front: what it says, where it stands, and what is not done twice."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_search
from small_search import QUICK, quick_proxy, written

from gas.architecture import Architecture
from gas.cli import main
from gas.errors import RunError, SettingError, UnknownNameError
from gas.finalists import check_front, check_of
from gas.proxies import PROXIES
from gas.run import Run, open_run
from gas.session import search

LOOKED: list[str] = []


def second(architecture: Architecture) -> float:
    """Narrow and shallow is best."""
    return -float(architecture.dims[0]) - architecture.depths[-1]


class Second(small_search.Quick):
    """Another opinion; it cannot judge designs of 32 channels."""

    name = "second"

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        LOOKED.append(architecture.id)
        if architecture.dims[0] == 32:
            raise ValueError("too wide to judge")
        return {"second": second(architecture), "second_more": 1.0}


@pytest.fixture(autouse=True)
def _proxies() -> Iterator[None]:
    LOOKED.clear()
    with quick_proxy():
        PROXIES.register("second")(Second)
        try:
            yield
        finally:
            PROXIES._table.pop("second")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return search(written(tmp_path), out=tmp_path / "run", budget=16, check="second", **QUICK)


def test_the_front_and_nothing_else_is_looked_at_once(run: Run) -> None:
    assert sorted(LOOKED) == sorted(run.front()["id"])
    assert len(LOOKED) < len(run.frame())


def test_scores_stand_beside_those_of_the_search_and_reasons_where_there_are_none(run: Run) -> None:
    front = run.front()
    for id, told in zip(front["id"], front["second"], strict=True):
        design = run.architecture(id)
        if design.dims[0] == 32:
            assert math.isnan(told)
            assert run.checks.reasons[id] == "ValueError: too wide to judge"
        else:
            assert told == second(design)
    assert front["second"].notna().any()
    assert front["second"].isna().any()
    assert "second" not in run.frame()


def test_the_rule_checked_takes_what_the_second_proxy_likes_best(run: Run) -> None:
    chosen, why = run.choice("checked")
    assert chosen.id == run.front().set_index("id")["second"].idxmax()
    assert chosen.id != run.choice("best")[0].id
    assert "the highest second among designs of the front" in why
    assert run.architecture("checked") == chosen


def test_a_resumed_run_looks_at_new_designs_of_the_front_alone(run: Run) -> None:
    before = set(LOOKED)
    LOOKED.clear()
    search(None, out=run.path, resume=True)
    assert LOOKED == []
    again = search(None, out=run.path, resume=True, budget=24)
    assert set(LOOKED) == set(again.front()["id"]) - before


def test_another_check_may_be_asked_for_later(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = search(written(tmp_path), out=tmp_path / "run", budget=6, **QUICK)
    assert run.checks.proxy == ""
    with pytest.raises(RunError, match=r"got none that is checked; expected a front .* --check PROXY"):
        run.choice("checked")
    assert main(["search", "--resume", str(run.path), "--check", "second", "--quiet"]) == 0
    assert "second looked at" in capsys.readouterr().out
    assert main(["front", str(run.path)]) == 0
    assert "second" in capsys.readouterr().out


def test_nothing_new_is_begun_once_the_time_is_up(run: Run) -> None:
    (run.path / "checks.json").unlink()
    LOOKED.clear()
    check_front(run, Second(), None, lambda work: pytest.fail("an evaluator"), deadline=time.monotonic() - 1)
    assert LOOKED == []


def test_what_goes_with_which_proxy() -> None:
    assert check_of("auto", "imagenet_top1_estimate") == "pca_count"
    assert check_of("auto", "quick") == check_of("none", "imagenet_top1_estimate") == check_of("quick", "quick") == ""
    assert check_of("second", "quick") == "second"


@pytest.mark.parametrize(
    ("check", "error", "told"),
    [
        ("secnd", UnknownNameError, "did you mean 'second'"),
        ("shared_weights", SettingError, "check: got 'shared_weights', which needs a bank"),
    ],
)
def test_a_check_that_cannot_be_is_told_before_the_search_begins(
    tmp_path: Path, check: str, error: type, told: str
) -> None:
    with pytest.raises(error, match=told):
        search(written(tmp_path), out=tmp_path / "run", budget=2, check=check, **QUICK)
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"proxy": "second"}', '{"proxy": 1, "settings": 2, "scores": 3}'])
def test_a_damaged_file_is_told_in_a_line(run: Run, text: str) -> None:
    (run.path / "checks.json").write_text(text)
    with pytest.raises(RunError, match=r"checks\.json: damaged"):
        open_run(run.path).front()
