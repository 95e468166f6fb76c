"""Estimates in print, and the command."""

from __future__ import annotations

import csv
import io
import json

import pytest

import gas
from gas.cli import main
from gas.errors import DesignError
from gas.estimates import estimate, left_out
from gas.report.estimates import estimate_rows, show_estimates
from gas.testing.cases import small_design


@pytest.fixture(scope="module")
def designs():
    return [gas.load("mobilevit_xxs"), small_design()]


def test_rows_hold_the_estimate_or_the_reason(designs) -> None:
    known, tiny = estimate_rows(designs)
    found = estimate(designs[0])
    assert (known["top1_estimate"], known["low"], known["high"]) == (found.top1, found.low, found.high)
    assert known["in_fit"]
    assert known["published_top1"] == 68.936
    assert known["reason"] is None
    assert tiny["top1_estimate"] is None
    assert "32 pixels" in tiny["reason"]
    assert known.keys() == tiny.keys()


def test_text_says_what_it_is_and_what_is_missing(designs) -> None:
    out = io.StringIO()
    show_estimates(designs, stream=out)
    text = out.getvalue()
    assert "estimated, not measured, for a plain training" in text
    assert "in the fit" in text
    assert f"left out: {left_out()['mobilevit_xxs'].top1:.1f}" in text
    assert "no estimate: resolution: got 32 pixels" in text
    assert "mean absolute error" in text
    assert "mobilevit_xxs (68.9)" in text


def test_a_recipe_that_the_published_figure_is_not_for_is_said(designs) -> None:
    out = io.StringIO()
    show_estimates(designs[:1], distilled=True, stream=out)
    assert "with a teacher" in out.getvalue()
    assert "in the fit (plain)" in out.getvalue()


def test_csv_and_json_hold_everything(designs) -> None:
    tables = {}
    for how in ("csv", "json"):
        out = io.StringIO()
        show_estimates(designs, stream=out, how=how)
        tables[how] = out.getvalue()
    (first, second) = json.loads(tables["json"])
    assert second["top1_estimate"] is None
    rows = list(csv.DictReader(io.StringIO(tables["csv"])))
    assert float(rows[0]["top1_estimate"]) == first["top1_estimate"]
    assert rows[1]["top1_estimate"] == ""


def test_where_there_is_no_estimate_at_all_the_reasons_are_the_error(designs) -> None:
    with pytest.raises(DesignError, match="resolution: got 32 pixels"):
        show_estimates(designs[1:])


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "mobilevit_xxs", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["design"] == "mobilevit_xxs"
    assert main(["estimate", "mobilevit_xxz"]) == 2
    assert "did you mean" in capsys.readouterr().err
