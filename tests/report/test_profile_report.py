from __future__ import annotations

import json
from pathlib import Path

import pytest

from gas.cli import main
from gas.costs import LatencyTable, Profile
from gas.report.profiles import run_profile
from gas.space import load_space

SMALL = ["profile", "--space", "tiny.yaml", "--designs", "16", "--seconds", "0.001"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
def test_a_profile_is_made_kept_and_told(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SMALL) == 0
    told = capsys.readouterr()
    (file,) = (cache / "profiles").iterdir()
    assert f"wrote {file}" in told.out
    assert "next: gas search --space" in told.out
    for words in ("sum over pieces", "predicted", "measured again", "90% interval of a prediction"):
        assert words in told.out
    assert "pieces to measure and 16 whole designs: about" in told.err
    assert "target cpu_eager, batch 1, threads 1" in told.err
    profile = Profile.load(file, LatencyTable())
    assert len(profile.designs) == 16
    # What is there is not measured again; the estimate says so.
    assert main([*SMALL, "--json"]) == 0
    told = capsys.readouterr()
    assert "0 pieces to measure" in told.err
    (row,) = json.loads(told.out)
    assert [line["latency as"] for line in row["accuracy"]] == ["sum over pieces", "predicted", "measured again"]
    assert row["label"]["target"] == "cpu_eager"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--target", "cpu_egaer"], "did you mean 'cpu_eager'"),
        (["--target", "cuda_eager"], "expected one that this machine has"),
        (["--batch", "0"], "batch: got 0"),
        (["--threads", "0"], "threads: got 0"),
        (["--designs", "3"], "designs: got 3; expected a whole number of at least 16"),
        (["--space", "tinny.yaml"], "tinny.yaml: no such file"),
    ],
)
def test_bad_input_is_told_in_a_line(words: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, *words]) == 2
    told = capsys.readouterr().err
    assert error in told
    assert "Traceback" not in told


def test_cut_off_it_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gas.report.profiles.make_profile", stopped)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on from there"):
        run_profile(load_space("tiny.yaml"), LatencyTable(seconds=0.001), designs=16, seed=0, out=None)
    assert main(SMALL) == 130
