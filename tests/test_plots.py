"""The front as a plotly figure, and frames in plotly's own quick plots."""

from __future__ import annotations

import math
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import made_run

from gas.errors import SettingError
from gas.evaluation import Constraint, Objective
from gas.plots import allowed, axis_title, direction, front_figure, hover_text, near_bounds, number, pair_front, words
from gas.run import Run

UP, DOWN = Objective("score", True), Objective("macs")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_run(tmp_path_factory.mktemp("made"), 20, measured=2)


def trace(figure, role):
    (found,) = [t for t in figure.data if t.meta == role]
    return found


def test_every_evaluation_that_is_ok_is_a_point_once(run: Run) -> None:
    figure, frame, front = run.plot_front(), run.frame(), run.front()
    ok = frame[frame["status"] == "ok"]
    assert sorted([*trace(figure, "front").ids, *trace(figure, "evaluated").ids]) == sorted(ok["id"])
    assert list(trace(figure, "front").ids) == list(front["id"])
    assert list(trace(figure, "front").x) == front["macs"].astype(float).tolist()
    assert list(trace(figure, "front").y) == front["quick"].tolist()
    assert list(trace(figure, "chosen").ids) == [run.choice()[0].id]
    assert figure.layout.xaxis.title.text == "macs (multiply-adds, less is better)"
    assert all(id in text for id, text in zip(front["id"], trace(figure, "front").hovertext, strict=True))


def test_axes_and_colour_are_chosen_by_name(run: Run) -> None:
    figure = run.plot_front(x="params", y="latency_ms_predicted", color="quick")
    front = run.front()
    assert list(trace(figure, "front").y) == front["latency_ms_predicted"].tolist()
    assert list(trace(figure, "front").marker.color) == front["quick"].tolist()
    assert "predicted" in figure.layout.yaxis.title.text
    failed = run.frame().query("status == 'failed'")
    assert list(trace(figure, "unfit").x) == failed["params"].astype(float).tolist()  # both axes are known of them
    with pytest.raises(SettingError, match=r"x: got 'parms'; expected a numeric column of the run; did you mean 'par"):
        run.plot_front(x="parms")


def test_a_run_without_evaluations_is_a_figure_without_points(run: Run) -> None:
    frame = run.frame()
    figure = front_figure(frame[:0], frame[:0], run.objectives)
    assert all(not len(t.x) for t in figure.data)


def test_frames_go_into_plotly_express(run: Run) -> None:
    import plotly.express

    frame = run.frame()
    kinds = {"int64", "Int64", "float64", "str", "boolean", "bool"}
    assert {str(kind) for kind in frame.dtypes} <= kinds
    figure = plotly.express.scatter(frame, x="macs", y="quick", color="status", hover_data=["id"])
    assert sum(len(t.x) for t in figure.data) == len(frame)


def test_bounds_are_drawn_where_points_are_near() -> None:
    frame = pd.DataFrame(
        {"id": ["a", "b"], "number": [0, 1], "status": "ok", "score": [1.0, 2.0], "macs": [10.0, 20.0]}
    )
    bounds = [Constraint("macs", high=22.0), Constraint("macs", high=100.0), Constraint("score", low=0.9)]
    figure = front_figure(frame, frame, (UP, DOWN), constraints=bounds)
    assert sorted(
        [s.x0 for s in figure.layout.shapes if s.x0 == s.x1] + [s.y0 for s in figure.layout.shapes if s.y0 == s.y1]
    ) == [0.9, 22.0]
    assert sorted(a.text for a in figure.layout.annotations) == ["macs ≤ 22", "score ≥ 0.9"]


def test_a_reference_stands_where_its_metrics_say_and_its_name_is_text() -> None:
    frame = pd.DataFrame({"id": ["a"], "number": [0], "status": "ok", "score": [1.0], "macs": [10.0], "params": [3.0]})
    marks = [{"name": "<i>x</i>", "key": "k", "score": 0.5, "macs": 7.0}]
    (mark,) = [t for t in front_figure(frame, frame, (UP, DOWN), references=marks).data if t.meta == "mark"]
    assert (mark.x, mark.y, mark.ids) == ((7.0,), (0.5,), ("k",))
    assert mark.name == "&lt;i&gt;x&lt;/i&gt;"
    (mark,) = [t for t in front_figure(frame, frame, (UP, DOWN), x="params", references=marks).data if t.meta == "mark"]
    assert mark.x == (None,)


def test_what_a_bound_refutes_is_not_allowed() -> None:
    frame = pd.DataFrame({"id": list("abcd"), "status": ["ok", "ok", "ok", "failed"], "t": [1.0, 3.0, math.nan, 1.0]})
    assert list(allowed(frame, [Constraint("t", high=2.0)])["id"]) == ["a", "c"]


def test_words_say_whether_a_latency_was_measured() -> None:
    assert words("latency_ms_predicted") == "latency, predicted"
    assert words("latency_ms") == "latency, measured"
    assert axis_title("latency_ms_predicted", -1) == "latency, predicted (ms per batch, less is better)"
    assert axis_title("blend", 1) == "blend (score, more is better)"
    assert (number(1.2e9, "macs"), number(None), number(math.nan)) == ("1.20 G", "-", "-")
    assert [direction(m, (UP,)) for m in ("score", "macs", "seconds")] == [1, -1, 0]


def test_what_the_pointer_shows_is_escaped() -> None:
    text = hover_text({"id": "a", "number": 1, "origin": "<b>", "status": "failed", "reason": "</x>"}, ())
    assert text == "<b>a, candidate 1, &lt;b&gt;</b><br>failed, &lt;/x&gt;"


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20),
    st.tuples(st.sampled_from([1, -1]), st.sampled_from([1, -1])),
)
def test_the_front_of_two_axes_is_what_nothing_dominates(points, ways) -> None:
    """The definition, pair by pair."""

    def beats(p, q):
        better = [(a - b) * way for a, b, way in zip(p, q, ways, strict=True)]
        return min(better) >= 0 and max(better) > 0

    found = pair_front([float(x) for x, _ in points], [float(y) for _, y in points], ways)
    expected = [i for i, p in enumerate(points) if not any(beats(q, p) for q in points)]
    assert sorted(found) == expected
    assert all(points[a][0] <= points[b][0] for a, b in pairwise(found))


def test_bounds_beyond_half_the_range_are_far() -> None:
    bounds = [Constraint("m", low=-1.0, high=15.1), Constraint("m", high=15.0), Constraint("n", high=5.0)]
    assert near_bounds(bounds, "m", [0.0, 10.0]) == [(-1.0, -1), (15.0, 1)]
    assert near_bounds(bounds, "m", []) == []
