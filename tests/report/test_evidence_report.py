"""What people read of a validation: rows, notes, the figure."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gas.evidence import Noise, Report, assess, recommend
from gas.report.evidence import _Watch, alike, facts, noise_notes, print_report, printed
from gas.report.evidence_figures import plot_evidence


def report(noise: Noise | None = None) -> Report:
    """Of 30 designs with one score that is good and one that is missing everywhere but once."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=30)
    table = pd.DataFrame({"macs": rng.uniform(1, 9, 30), "params": rng.uniform(1, 9, 30), "accuracy": truth})
    table["good"] = truth + 0.2 * rng.normal(size=30)
    table["rare"] = [1.0] + [np.nan] * 29
    summary = assess(table, proxies={"good": "trained", "rare": "training-free"}, resamples=100).assign(seconds=1.5)
    missing = {"rare": {"too large": 28, "ValueError: why": 1}}
    return Report(summary, table, "accuracy", noise, 0.8, *recommend(summary), "30 designs", missing, {"blend": "so"})


def test_a_row_tells_its_intervals_and_the_baseline_that_is_hardest_to_beat() -> None:
    made = report()
    rows = {row["proxy"]: row for row in printed(made.summary)}
    good = made.summary.set_index("proxy").loc["good"]
    hardest = min(("log_params", "log_macs"), key=lambda name: good[f"over_{name}"])
    least = min(good[f"over_{hardest}"], good["over_mean_rank(log_params + log_macs)"])
    assert rows["good"]["over"].startswith(f"{least:+.2f} (")
    assert rows["good"]["tau_words"] == f"{good['tau']:.2f} ({good['tau_low']:.2f} to {good['tau_high']:.2f})"
    assert rows["log_macs"]["over"] == ""
    assert rows["rare"]["tau_words"] == ""
    assert rows["rare"]["tau"] is None


def test_the_page_says_what_was_trained_what_is_recommended_and_what_is_missing(
    capsys: pytest.CaptureFixture,
) -> None:
    print_report(report())
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "truth: 30 designs"
    assert said[1].startswith("recommended: good: Kendall 0.")
    assert "rare: no score of 28 designs: too large" in said
    assert "rare: no score of 1 design: ValueError: why" in said
    given = {"params: got 0.39M; expected 1M": 1, "params: got 0.5M; expected 1M": 2, "nothing": 1}
    assert alike(given) == {"params: got 0.39M; expected 1M (and the like)": 3, "nothing": 1}
    assert "blend: left out, because so" in said
    assert any(line.startswith("noise of the truth: not known") for line in said)


def test_noise_in_words_and_as_data() -> None:
    known = report(Noise(0.01, 3, 9, 0.6, 0.9))
    (note,) = noise_notes(known)
    assert "3 designs trained 9 times, deviation 0.01 from seed to seed, Kendall 0.60 between seeds" in note
    assert note.endswith("a score without error would reach about 0.80 in bands")
    assert facts(known)["noise"] == {
        "deviation": 0.01, "designs": 3, "trainings": 9, "between": 0.6, "reliability": 0.9, "ceiling": 0.8
    }  # fmt: skip
    assert "nan" not in noise_notes(report(Noise(0.01, 3, 9, math.nan, math.nan)))[0]
    assert facts(report())["noise"] is None


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_figure_shows_every_score_and_the_ceiling(tmp_path: Path, suffix: str) -> None:
    file = plot_evidence(report(Noise(0.01, 3, 9, 0.6, 0.9)), tmp_path / f"figure{suffix}")
    if suffix == ".png":
        image = Image.open(file).convert("L")
        assert image.size[0] > 1000
        assert image.getextrema()[0] < 100
        return
    text = file.read_text()
    for words in ("good", "log_params", "trained", "baseline", "no more, for the noise of the truth"):
        assert words in text


def test_no_figure_of_nothing(tmp_path: Path) -> None:
    made = report()
    made.summary["tau_band"] = np.nan
    with pytest.raises(ValueError, match="no score varies"):
        plot_evidence(made, tmp_path / "figure.png")


def test_the_bar_counts_scores_then_trainings() -> None:
    states = []

    class Bar:
        def update(self, done: int, total: int, **more: object) -> None:
            states.append((done, total, more["what"], more["note"]))

    watch = _Watch(Bar())
    watch(1, 2, "naswot")
    watch(2, 2, "naswot")
    watch(1, 9, "training with seed 0")
    assert states == [
        (1, 2, "scores", "naswot"), (2, 2, "scores", "naswot"), (1, 9, "trainings", "training with seed 0")
    ]  # fmt: skip
