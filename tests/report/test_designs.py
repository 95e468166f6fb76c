import io
import json

import pytest
from export_designs import hiera_t, tiny, turbovit

from gas.exports.rows import design_rows
from gas.report.designs import compare_columns, compare_rows, show_design
from gas.report.tables import to_text


def printed(design, how="text"):
    out = io.StringIO()
    show_design(design, stream=out, how=how)
    return out.getvalue()


def test_a_design_is_shown_block_by_block():
    lines = printed(turbovit()).splitlines()
    assert lines[0] == f"turbovit ({turbovit().id}), input 3 x 224 x 224"
    folded = next(line for line in lines if line.startswith("4-10"))
    assert folded.split()[1:4] == ["2", "stages[2].blocks[0]", "transformer"]
    assert "global attention (4 heads of 64), mlp (ratio 4)" in folded
    assert folded.endswith("5.53 M   1.22 G          49.2%")
    lagging = next(line for line in lines if line.startswith("3 "))
    assert "128 -> 256" in lagging
    assert "28x28 -> 14x14" in lagging
    assert lagging.count("lag") == 1
    total = next(line for line in lines if "total" in line)
    assert total.split() == ["total", "13.57", "M", "2.47", "G", "100.0%"]
    assert "\x1b" not in printed(turbovit())


def test_a_design_as_json_has_the_rows_in_full():
    rows = json.loads(printed(tiny(), "json"))
    assert [row["macs"] for row in rows] == [row["macs"] for row in design_rows(tiny())]
    assert rows[0]["grid_in"] == [32, 32]


def test_a_chosen_design_beside_others():
    chosen = {"name": "mine", "params": 10, "macs": 200, "latency_ms": 3.0, "short_training": 0.5}
    other = {"name": "hiera_t", "params": 20, "macs": 400, "latency_ms": None}
    rows = compare_rows(chosen, [other])
    assert [row["params_ratio"] for row in rows] == [1.0, 0.5]
    assert [row["macs_ratio"] for row in rows] == [1.0, 0.5]
    assert [row["latency_ratio"] for row in rows] == [1.0, None]
    text = to_text(rows, compare_columns(rows))
    assert text.splitlines()[0].split("  ")[0] == "name"
    for heading in ("x params", "x macs", "x latency", "latency (ms)", "short training"):
        assert heading in text


def test_a_predicted_latency_keeps_its_name():
    rows = compare_rows(
        {"name": "a", "latency_ms_predicted": 2.0},
        [{"name": "b", "latency_ms_predicted": 4.0}],
        latency="latency_ms_predicted",
    )
    assert rows[1]["latency_ms_predicted_ratio"] == 0.5
    headings = [column.heading for column in compare_columns(rows, latency="latency_ms_predicted")]
    assert "latency, predicted (ms)" in headings
    assert "params" not in headings


@pytest.mark.parametrize("design", [hiera_t(), tiny()], ids=lambda d: d.name)
def test_lines_fit_a_wide_terminal(design):
    assert max(map(len, printed(design).splitlines())) <= 200
