"""A whole validation on a few tiny trainings: resumed, cut off, grown, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from gas.cli import main
from gas.errors import GasError, RunError, SettingError, UnknownNameError
from gas.evidence import Validation
from gas.evidence.truth import draw
from gas.space import load_space

QUICK = {"steps": 2, "batch": 8, "images": 32, "validation": 64}
FEW = {"designs": 6, "again": 3, "fidelity": QUICK, "proxies": ("pca_count",)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a validation of six designs."""
    folder = tmp_path_factory.mktemp("evidence") / "tiny"
    with Validation("tiny.yaml", folder, **FEW) as validation:
        validation.run()
    return folder


def test_a_validation_scores_trains_and_reports(finished: Path) -> None:
    with Validation("tiny.yaml", finished, **FEW) as validation:
        report = validation.report()
    truth = pd.read_csv(finished / "truth.csv")
    assert list(truth["seed"]) == [0] * 6 + [1] * 3 + [2] * 3
    assert [d.id for d in draw(load_space("tiny.yaml"), 6, 0)] == list(truth["id"][:6])
    assert (report.noise.designs, report.noise.trainings) == (3, 9)
    assert report.trained.startswith(
        "6 designs of tiny trained on digits (2 steps of batch 8 on 32 images of 10 classes at 32 px, "
    )
    assert "12 trainings, 0 failed; accuracy " in report.trained
    assert set(report.summary["proxy"]) >= {"pca_count", "log_params", "log_macs", "ridge of 1 scores"}
    assert report.summary.set_index("proxy")["seconds"]["pca_count"] > 0
    assert set(report.left_out) == set()
    assert len(report.table) == 6


def test_one_that_was_cut_off_goes_on_to_the_same(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    seen = []

    def stop(done: int, total: int, what: str) -> None:
        seen.append(what)
        if len(seen) == 9:
            raise KeyboardInterrupt

    with Validation("tiny.yaml", folder, **FEW) as validation:
        with pytest.raises(KeyboardInterrupt):
            validation.run(watch=stop)
        with pytest.raises(RunError, match="got 3 designs trained; expected 5 or more; the same command goes on"):
            validation.report()
    with (folder / "truth.csv").open("a") as file:
        file.write("half of a li")
    with Validation("tiny.yaml", folder, **FEW) as validation:
        validation.run()
    for name in ("truth.csv", "scores.csv"):
        first, second = (pd.read_csv(place / name).drop(columns="seconds") for place in (finished, folder))
        pd.testing.assert_frame_equal(first, second)


@pytest.mark.slow
def test_designs_and_proxies_may_be_more_and_nothing_else(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    shutil.copytree(finished, folder)
    before = (folder / "truth.csv").read_text()
    with Validation("tiny.yaml", folder, **FEW | {"designs": 7, "proxies": ("pca_count", "naswot")}) as validation:
        validation.run()
        assert {"pca_count", "naswot"} <= set(validation.report().table)
    assert (folder / "truth.csv").read_text().startswith(before)
    assert len(pd.read_csv(folder / "truth.csv")) == 13
    for changes, text in (
        ({"seed": 1}, r"seed: got 1; .* was begun with 0, which cannot be changed"),
        ({"fidelity": QUICK | {"steps": 3}}, r"fidelity.steps: got 3; .* begun with 2"),
        ({"data": "procedural", "fidelity": QUICK}, "data: got 'procedural'"),
        ({"band": "macs=0.5"}, "band: got 'macs=0.5'"),
    ):
        with pytest.raises(SettingError, match=text):
            Validation("tiny.yaml", folder, **FEW | changes)


def test_two_cannot_write_to_one_folder_and_a_foreign_or_damaged_one_is_left_alone(
    finished: Path, tmp_path: Path
) -> None:
    with Validation("tiny.yaml", finished, **FEW), pytest.raises(RunError, match="another search is writing"):
        Validation("tiny.yaml", finished, **FEW)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        Validation("tiny.yaml", tmp_path, **FEW)
    (tmp_path / "letter.txt").rename(tmp_path / "validation.json")
    with pytest.raises(RunError, match=r"validation\.json: damaged"):
        Validation("tiny.yaml", tmp_path, **FEW)


@pytest.mark.slow
def test_a_table_of_trainings_in_place_of_training(finished: Path, tmp_path: Path) -> None:
    with Validation("tiny.yaml", finished, **FEW) as validation:
        expected = validation.report().summary.drop(columns="seconds")
    given = {"truth": finished / "truth.csv", "proxies": ("pca_count",)}
    with Validation(None, tmp_path / "read", **given) as validation:
        validation.run(seconds=600.0)
        report = validation.report()
    assert "not trained here" in report.trained
    pd.testing.assert_frame_equal(report.summary.drop(columns="seconds"), expected)
    with pytest.raises(SettingError, match="data: got 'digits'; expected none, because nothing is trained"):
        Validation(None, tmp_path / "other", data="digits", **given)


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"proxies": ("pca_coun",)}, UnknownNameError, "proxy: got 'pca_coun'; .*did you mean 'pca_count'"),
        ({"proxies": ("shared_weights",)}, SettingError, "proxies: got 'shared_weights'; expected others"),
        ({"designs": 1}, SettingError, "designs: got 1; expected 5 or more"),
        ({"again": -1}, SettingError, "seeds-again: got -1"),
        ({"data": "digit"}, GasError, "data: got 'digit'; .*did you mean 'digits'"),
        ({"fidelity": {"step": 3}}, SettingError, "did you mean 'steps'"),
        ({"truth": "none.csv", "fidelity": {}}, RunError, "none.csv: cannot be read"),
    ],
)
def test_what_cannot_be_validated_is_told(tmp_path: Path, changes: dict, kind: type[GasError], text: str) -> None:
    with pytest.raises(kind, match=text), Validation("tiny.yaml", tmp_path / "a", **FEW | changes) as validation:
        validation.run()
    assert not list(tmp_path.rglob("truth.csv"))


def test_trainings_that_all_fail_end_in_the_first_reason(tmp_path: Path) -> None:
    with Validation("tiny.yaml", tmp_path / "a", **FEW | {"fidelity": QUICK | {"resolution": 20}}) as validation:
        validation.run()
        with pytest.raises(RunError, match=r"got 0 designs trained; .*12 failed, the first with: DesignError"):
            validation.report()


@pytest.mark.slow
def test_the_command_prints_a_table_files_json_and_csv(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "a folder"
    shutil.copytree(finished, folder)
    command = ["validate-proxies", "tiny.yaml", "--designs", "6", "--seeds-again", "3", "--proxies", "pca_count"]
    command += ["--fidelity", ",".join(f"{k}={v}" for k, v in QUICK.items()), "--out", str(folder), "--quiet"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith("truth: 6 designs of tiny trained on digits (2 steps")
    assert "recommended: " in said.splitlines()[1]
    assert "noise of the truth: 3 designs trained 9 times" in said
    assert (folder / "figure.png").stat().st_size > 10_000
    assert len(pd.read_csv(folder / "summary.csv")) == 5
    assert main([*command, "--json", "--bands", "2", "--combine", "pca_count+log_macs"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["noise"]["designs"] == 3
    assert "mean_z(pca_count + log_macs)" in [row["proxy"] for row in found["scores"]]
    assert main([*command, "--csv"]) == 0
    assert capsys.readouterr().out.startswith("proxy,kind,designs,tau_band,")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--time", "0"], "time: got '0'; expected a duration"),
        (["--proxies", "pca_coun"], "did you mean 'pca_count'"),
        (["--designs", "1"], "designs: got 1; expected 5 or more"),
        (["--bands", "many"], "bands: got 'many'"),
        (["--truth", "setup.cfg"], "columns: "),
        (["--fidelity", "steps"], "fidelity: got 'steps'; expected NAME=VALUE"),
    ],
)
def test_bad_words_on_the_command_line_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, words: list[str], text: str
) -> None:
    (tmp_path / "setup.cfg").write_text("a\n1\n")
    words = [str(tmp_path / word) if word == "setup.cfg" else word for word in words]
    assert main(["validate-proxies", "tiny.yaml", "--out", str(tmp_path / "a"), "--quiet", *words]) == 2
    said = capsys.readouterr().err
    assert text in said
    assert len(said.splitlines()) == 1
    assert main(["validate-proxies", "--quiet"]) == 2
    assert "space: got none; expected a search space, or a table of designs with --truth" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(validation: Validation, **_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Validation, "run", stop)
    out = str(tmp_path / "b")
    assert main(["validate-proxies", "tiny.yaml", "--designs", "5", "--out", out, "--quiet"]) == 130
    assert f"is in {out}: the same command goes on from there" in capsys.readouterr().err
