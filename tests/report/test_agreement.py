from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from gas.report.agreement import both, latency_notes, plot_latency


def frame(measured: list[float | None]) -> pd.DataFrame:
    count = len(measured)
    columns = {"id": [f"d{i}" for i in range(count)], "latency_ms_predicted": [10.0] * count, "latency_ms": measured}
    rows = pd.DataFrame(columns)
    return rows.assign(latency_ms_q1=rows["latency_ms"] - 0.1, latency_ms_q3=rows["latency_ms"] + 0.1)


def test_measured_over_predicted_is_told_with_the_interval() -> None:
    (note,) = latency_notes(frame([9.0, 10.0, 10.4, None]), (0.95, 1.05))
    assert note == (
        "latency of 3 designs, measured / predicted: median 1.00, 0.90 to 1.04; "
        "2 of 3 within the 90% interval (0.95 to 1.05)"
    )
    (note,) = latency_notes(frame([9.0, 10.0]), None)
    assert "gas profile gives an interval" in note


def test_a_design_counts_once_and_only_where_both_are_known() -> None:
    rows = pd.concat([frame([9.0, None]), frame([9.0])])
    assert len(both(rows)) == 1
    assert latency_notes(rows, None) == []
    assert latency_notes(rows.drop(columns="latency_ms"), None) == []


@pytest.mark.parametrize("interval", [None, (0.9, 1.1)])
def test_the_figure_is_drawn(tmp_path: Path, interval: tuple[float, float] | None) -> None:
    file = tmp_path / "latency.png"
    assert plot_latency(frame([9.0, 10.0, 11.5]), interval, file, title="cpu_eager, batch 1, 1 thread")
    image = Image.open(file).convert("L")
    assert image.size[0] > 400
    assert image.getextrema()[0] < 100  # something is drawn
    assert not plot_latency(frame([9.0]), interval, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_relative_to_the_reference_a_slow_hour_does_not_count() -> None:
    rows = frame([18.0, 20.0, 24.0]).assign(latency_ratio=[0.9, 1.0, 1.2])  # the machine is half as fast as it was
    told = both(rows, 10.0)
    assert list(told["latency_ms"]) == pytest.approx([9.0, 10.0, 12.0])
    assert list(told["latency_ms_q3"]) == pytest.approx([9.05, 10.05, 12.05])
    (note,) = latency_notes(rows, (0.95, 1.05), 10.0)
    assert "median 1.00, 0.90 to 1.20 (relative to the reference design); 1 of 3 within" in note
    assert len(both(rows.assign(latency_ratio=[0.9, None, None]), 10.0)) == 1
