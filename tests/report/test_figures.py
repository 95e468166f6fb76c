import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gas.errors import SettingError
from gas.evaluation import Constraint, Objective
from gas.pareto import non_dominated
from gas.report.figures import axis_label, plot_front

ROOT = Path(__file__).parents[2]
UP, ACROSS, LATENCY = Objective("proxy", True), Objective("macs"), Objective("latency_ms_predicted")
REFERENCES = [
    {"name": "TurboViT", "macs": 2.47e9, "proxy": 0.62, "latency_ms_predicted": 33.0},
    {"name": "Hiera-T", "macs": 4.9e9, "proxy": 0.64},  # without a latency: left out of that panel
]


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    macs = rng.uniform(0.7e9, 2.2e9, 60).round()
    rows = pd.DataFrame({"status": "ok", "macs": pd.array(macs.astype(int), dtype="Int64")})
    rows["latency_ms_predicted"] = macs / 1e8 + rng.normal(0, 2, 60)
    rows["proxy"] = 0.4 + 0.1 * np.log(macs / 5e8) + rng.normal(0, 0.02, 60)
    rows.loc[0, "status"] = "failed"
    rows.loc[0, "proxy"] = np.nan
    return rows


def front_of(frame, objectives):
    losses = [[o.loss(row) for o in objectives] for row in frame.to_dict("records")]
    return frame[non_dominated(losses)]


def drawn(path):
    """The picture as numbers, (800, 1200, 3 or 4)."""
    # Imported late: matplotlib fixes its folder when it is first imported, and ours is set by plot_front.
    import matplotlib.image

    return matplotlib.image.imread(path)


@pytest.mark.parametrize("objectives", [(UP, ACROSS), (UP, ACROSS, LATENCY)], ids=["two", "three"])
def test_a_picture_of_the_right_size_that_shows_something(frame, objectives, tmp_path):
    bounds = [Constraint("macs", high=2.2e9), Constraint("proxy", low=0.4), Constraint("params", high=1)]
    path = plot_front(
        frame,
        front_of(frame, objectives),
        objectives,
        path=tmp_path / "a.png",
        references=REFERENCES,
        constraints=bounds,
    )
    picture = drawn(path)
    assert picture.shape[:2] == (800, 1200)
    assert 0.01 < (picture[..., :3].min(axis=2) < 0.9).mean() < 0.6
    # The front's own colour is on it.
    orange = np.abs(picture[..., :3] - np.array([0xC1, 0x44, 0x0E]) / 255).max(axis=2) < 0.02
    assert orange.sum() > 200


def test_every_part_leaves_its_trace(frame, tmp_path):
    """Each part, left out, changes the picture."""
    front = front_of(frame, (UP, ACROSS))
    full = {
        "references": REFERENCES[:1],
        "constraints": [Constraint("macs", high=2.0e9)],
        "chosen": front.iloc[0].to_dict(),
        "title": "A front",
    }
    whole = drawn(plot_front(frame, front, (UP, ACROSS), path=tmp_path / "whole.png", **full))
    for part in full:
        less = {key: value for key, value in full.items() if key != part}
        picture = drawn(plot_front(frame, front, (UP, ACROSS), path=tmp_path / "less.png", **less))
        assert (picture != whole).mean() > 1e-4, part


def test_the_words_are_text_in_an_svg(frame, tmp_path):
    path = plot_front(
        frame,
        front_of(frame, (UP, ACROSS)),
        (UP, ACROSS),
        path=tmp_path / "a.svg",
        references=REFERENCES,
        constraints=[Constraint("macs", high=2.2e9), Constraint("macs", high=0.5, of="hiera_t")],
    )
    text = path.read_text()
    for words in ("Hiera-T", "TurboViT", "Pareto front", "macs (G multiply-adds)", "proxy (score)", "macs ≤ 2.2 G"):
        assert words in text
    assert "hiera_t" not in text  # a bound that is still relative has no place on an axis


def test_a_pdf_and_capital_suffixes(frame, tmp_path):
    front = front_of(frame, (UP, ACROSS))
    assert plot_front(frame, front, (UP, ACROSS), path=tmp_path / "a.PDF").read_bytes().startswith(b"%PDF")


def test_nothing_evaluated_is_still_a_figure(frame, tmp_path):
    nothing = frame[:0]
    assert plot_front(nothing, nothing, (UP, ACROSS), path=tmp_path / "a.png").stat().st_size > 0


def test_matplotlibs_global_state_is_left_alone(frame, tmp_path):
    plot_front(frame, front_of(frame, (UP, ACROSS)), (UP, ACROSS), path=tmp_path / "a.png")
    import matplotlib

    before = dict(matplotlib.rcParams)
    plot_front(frame, front_of(frame, (UP, ACROSS)), (UP, ACROSS), path=tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.slow
def test_no_display_and_no_pyplot_are_needed_and_the_font_list_lies_in_our_cache(frame, tmp_path):
    frame.to_pickle(tmp_path / "frame")
    code = (
        "import sys, pandas\n"
        "from gas.evaluation import Objective\n"
        "from gas.report.figures import plot_front\n"
        "assert 'matplotlib' not in sys.modules\n"
        "rows = pandas.read_pickle('frame')\n"
        "plot_front(rows, rows[5:9], (Objective('proxy', True), Objective('macs')), path='a.png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "GAS_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []
    assert (cache / "matplotlib").is_dir()


@pytest.mark.parametrize(
    ("name", "objectives", "problem"),
    [
        ("a.gif", (UP, ACROSS), r"a\.gif: got '\.gif'; expected one of \.png, \.svg, \.pdf"),
        ("missing/a.png", (UP, ACROSS), "cannot be written: No such file"),
        ("a.png", (UP,), "expected two or more"),
        ("a.png", (UP, Objective("mac")), "did you mean 'macs'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(frame, tmp_path, name, objectives, problem):
    with pytest.raises(SettingError, match=problem) as caught:
        plot_front(frame, frame[:3], objectives, path=tmp_path / name)
    assert "\n" not in str(caught.value)


def test_axes_say_units_and_never_accuracy():
    assert axis_label("latency_ms_predicted") == "latency (ms per batch, predicted)"
    assert axis_label("latency_ms") == "latency (ms per batch)"
    assert axis_label("params") == "params (million)"
    assert axis_label("short_training") == "short training (score)"
