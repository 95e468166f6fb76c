"""A run as a study of Optuna, read back by Optuna."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from small_search import QUICK, quick_proxy, written

from gas.archive import Archive
from gas.cli import main
from gas.errors import RunError, SettingError
from gas.handover import distribution, to_optuna
from gas.run import Run, open_run
from gas.session import search
from gas.space.tree import Decision

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    with quick_proxy():
        return search(written(folder), out=folder / "a run", budget=18, **QUICK)


def journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def test_optuna_finds_the_front_of_the_run(run: Run, tmp_path: Path) -> None:
    told = to_optuna(run, str(tmp_path / "x.log"))
    study = optuna.load_study(study_name="a run", storage=journal(tmp_path / "x.log"))
    assert sorted(trial.user_attrs["id"] for trial in study.best_trials) == sorted(run.front()["id"])
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["quick", "macs"]
    frame = run.frame()
    kept = frame[frame["status"] != "duplicate"].reset_index(drop=True)
    assert told.states == {"complete": (kept["status"] == "ok").sum(), "fail": (kept["status"] == "failed").sum()}
    assert len(study.trials) == len(kept) == 18
    for row, trial in zip(kept.to_dict("records"), study.trials, strict=True):
        assert trial.user_attrs["id"] == row["id"]
        assert trial.user_attrs["number"] == row["number"]
        assert trial.params == {path: row[path] for path in frame.attrs["decisions"]}
        assert trial.user_attrs["params"] == row["params"]
        lasted = trial.datetime_complete - trial.datetime_start
        assert lasted == pytest.approx(datetime.timedelta(seconds=row["seconds"]), abs=datetime.timedelta(seconds=1e-5))
        if row["status"] == "ok":
            assert trial.state is TrialState.COMPLETE
            assert trial.values == [row["quick"], row["macs"]]
        else:
            assert trial.state is TrialState.FAIL
            assert trial.user_attrs["reason"] == "ValueError: loss is nan"


def test_a_bound_that_a_measurement_breaks_makes_a_trial_infeasible(run: Run, tmp_path: Path) -> None:
    again = open_run(run.path)
    again.record["measured"] = [{"metric": "latency_ratio", "low": "-inf", "high": "1.0"}]
    first = run.front()["id"][0]
    measured = {"target": "cpu_eager", "batch": 1, "threads": 1, "q1_ms": 1.0, "q3_ms": 9.0, "repeats": 9}
    with Archive.open(run.path) as archive:
        archive.measure(first, **measured, median_ms=4.0, reference="x", ratio=1.25)
    to_optuna(again, str(tmp_path / "x.journal"), study="bounded")
    study = optuna.load_study(study_name="bounded", storage=journal(tmp_path / "x.journal"))
    found = sorted(trial.user_attrs["id"] for trial in study.best_trials)
    assert first not in found
    assert found == sorted(again.front()["id"])
    (trial,) = [trial for trial in study.trials if trial.user_attrs["id"] == first]
    assert trial.constraints == {"latency_ratio <= 1": 0.25}
    assert trial.user_attrs["latency_ms"] == 4.0


@pytest.mark.slow
def test_a_study_that_is_there_is_not_touched(run: Run, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/x.db"
    to_optuna(run, storage, study="one")
    with pytest.raises(RunError, match=r"study: got 'one', which is there already in sqlite:.*; expected a name that"):
        to_optuna(run, storage, study="one")
    to_optuna(run, storage, study="two")
    assert sorted(optuna.get_all_study_names(storage)) == ["one", "two"]
    assert len(optuna.load_study(study_name="one", storage=storage).trials) == 18


def test_what_is_cut_off_leaves_no_study(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: object, trials: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(optuna.Study, "add_trials", stop)
    with pytest.raises(KeyboardInterrupt):
        to_optuna(run, str(tmp_path / "x.log"))
    assert optuna.get_all_study_names(journal(tmp_path / "x.log")) == []


def test_numbers_that_follow_one_another_are_numbers() -> None:
    assert distribution(Decision("a", (2, 4, 6))) == IntDistribution(2, 6, step=2)
    assert distribution(Decision("a", (2, 4, 8))) == CategoricalDistribution((2, 4, 8))
    assert distribution(Decision("a", (4, 2))) == CategoricalDistribution((4, 2))
    assert distribution(Decision("a", (0.5, 1.0))) == CategoricalDistribution((0.5, 1.0))
    assert distribution(Decision("a", ((3, 5), "x", None))) == CategoricalDistribution(("[3, 5]", "x", None))
    assert distribution(Decision("a", (3,))) == CategoricalDistribution((3,))


def test_the_command(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["to-optuna", str(run.path), f"{tmp_path}/x.log", "--study", "s"]) == 0
    assert "wrote study s to " in (out := capsys.readouterr().out)
    assert "18 trials" in out
    assert f"next: optuna-dashboard {tmp_path}/x.log" in out


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("x.db", "storage: got 'x.db'; expected sqlite:///FILE.db, .*; did you mean 'sqlite:///x.db'"),
        ("foo", "storage: got 'foo'; expected sqlite:///FILE.db, or a file that ends in .log or .journal$"),
        ("/nothing/x.log", "/nothing/x.log: cannot be opened: .*No such file"),
        ("sqlite:////nothing/x.db", "sqlite:////nothing/x.db: cannot be opened: .*unable to open"),
        ("foo://x", "foo://x: cannot be opened: .*foo"),
    ],
)
def test_a_storage_that_cannot_be_opened(run: Run, storage: str, message: str) -> None:
    with pytest.raises((RunError, SettingError), match=message) as caught:
        to_optuna(run, storage)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["hello\n", '{"a": 1}\n', "[1]\n"])
def test_another_programs_file_is_left_alone(run: Run, tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.log"
    file.write_text(text)
    with pytest.raises(RunError, match=r"other\.log: got a file that is no journal of Optuna"):
        to_optuna(run, str(file))
    assert file.read_text() == text


def test_attributes_of_the_study(run: Run, tmp_path: Path) -> None:
    to_optuna(run, str(tmp_path / "x.log"))
    told = optuna.load_study(study_name="a run", storage=journal(tmp_path / "x.log")).user_attrs
    assert told["space"] == "small"
    assert told["proxy"] == json.loads(json.dumps(run.record["proxy"]))
    assert told["gas_run"] == str(run.path.resolve())
