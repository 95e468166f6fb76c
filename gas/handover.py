"""A run as a study of Optuna: for its dashboard, its figures and its importances.

Every evaluation is a trial: decisions are its parameters, objectives its values, bounds its constraints, all else its
user attributes. What was stopped early is pruned; what failed, or broke a bound before it was evaluated, has failed.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from gas.archive import Archive, event_times
from gas.errors import RunError, SettingError, describe, first_line
from gas.evaluation import Constraint, Evaluation, Status
from gas.run import Run
from gas.space.tree import Decision

JOURNALS = (".log", ".journal")
DATABASES = (".db", ".sqlite", ".sqlite3")
STATES = {
    Status.OK: TrialState.COMPLETE,
    Status.STOPPED: TrialState.PRUNED,
    Status.FAILED: TrialState.FAIL,
    Status.INFEASIBLE: TrialState.FAIL,
}
PLAIN = (str, int, float, bool, type(None))
MEASURED = ("latency_ms", "latency_ms_q1", "latency_ms_q3", "latency_ratio")


@dataclass(frozen=True)
class Handover:
    """What was written.

    Args:
        study: Name of the study.
        storage: Where it is, as Optuna's commands take it.
        states: Trials by state, in words.
        left_out: Candidates that are no trials, by what they are.
    """

    study: str
    storage: str
    states: Mapping[str, int]
    left_out: Mapping[str, int]


def to_optuna(run: Run, storage: str, *, study: str | None = None) -> Handover:
    """Writes a run as a study of Optuna, whole or not at all.

    Args:
        run: The run.
        storage: A database (sqlite:///FILE, or any address that SQLAlchemy knows), or a journal: a path that ends in
            .log or .journal.
        study: Name of the study; that of the run's directory where None.

    Raises:
        SettingError: The storage is none of these.
        RunError: It cannot be opened, or holds a study of that name.
    """
    name = study or run.path.resolve().name
    trials, left_out = _trials(run)
    with _quiet(), _opened(storage) as opened:
        directions = ["maximize" if o.maximise else "minimize" for o in run.objectives]
        try:
            made = optuna.create_study(storage=opened, study_name=name, directions=directions)
        except DuplicatedStudyError as error:
            expected = "a name that is free (--study NAME), or another storage"
            raise RunError(f"study: got {name!r}, which is there already in {storage}; expected {expected}") from error
        try:
            made.set_metric_names([o.metric for o in run.objectives])
            for key, value in _study_attributes(run).items():
                made.set_user_attr(key, value)
            made.add_trials(trials)
        except BaseException:
            optuna.delete_study(study_name=name, storage=opened)
            raise
    states = Counter(trial.state.name.lower() for trial in trials)
    return Handover(name, storage, dict(states), left_out)


def _trials(run: Run) -> tuple[list[FrozenTrial], dict[str, int]]:
    """A trial for each evaluation, in the order told; and how many candidates are none."""
    with Archive.open(run.path, readonly=True) as archive:
        evaluations = archive.evaluations()
        left = {"under way": len(archive.candidates()) - len(evaluations)}
    times = [at for kind, at in event_times(run.path) if kind == "told"]
    measured = _measured(run)
    decisions = {decision.path: decision for decision in run.space.decisions}
    trials = []
    for evaluation, time in zip(evaluations, times, strict=False):  # the archive may have grown meanwhile
        if evaluation.status in STATES:
            known = {**evaluation.metrics, **measured.get(evaluation.candidate.architecture.id, {})}
            trials.append(_trial(run, evaluation, known, decisions, time))
    left["proposed before"] = sum(evaluation.status is Status.DUPLICATE for evaluation in evaluations)
    return trials, {what: count for what, count in left.items() if count}


def _trial(
    run: Run, evaluation: Evaluation, known: Mapping[str, float], decisions: Mapping[str, Decision], time: float
) -> FrozenTrial:
    candidate = evaluation.candidate
    chosen = {path: value for path, value in candidate.decisions.items() if path in decisions}
    attributes: dict[str, Any] = {"id": candidate.architecture.id, "number": candidate.number}
    attributes |= {"status": str(evaluation.status), "origin": candidate.origin}
    attributes |= {"reason": evaluation.reason} if evaluation.reason else {}
    trial = create_trial(
        state=STATES[evaluation.status],
        values=[float(known[o.metric]) for o in run.objectives] if evaluation.ok else None,
        params={path: plain(value) for path, value in chosen.items()},
        distributions={path: distribution(decisions[path]) for path in chosen},
        user_attrs=attributes | {name: float(value) for name, value in known.items()},
        constraints=_violations((*run.bounds, *run.measured_constraints), known),
    )
    trial.datetime_start = datetime.datetime.fromtimestamp(time - evaluation.seconds)
    trial.datetime_complete = datetime.datetime.fromtimestamp(time)
    return trial


def distribution(decision: Decision) -> BaseDistribution:
    """What Optuna may choose from: numbers where whole ones follow one another evenly, else categories."""
    choices = decision.choices
    if decision.ordered and all(isinstance(choice, int) for choice in choices) and len(choices) > 1:
        step = choices[1] - choices[0]
        if list(choices) == list(range(choices[0], choices[-1] + 1, step)):
            return IntDistribution(choices[0], choices[-1], step=step)
    return CategoricalDistribution(tuple(plain(choice) for choice in choices))


def plain(value: Any) -> Any:
    """A value as Optuna keeps it: a list as JSON, which is what a run's frame has for it too."""
    return value if isinstance(value, PLAIN) else json.dumps(value)


def _violations(constraints: Sequence[Constraint], known: Mapping[str, float]) -> dict[str, float]:
    """Constraints as Optuna has them: held where at most 0. Of what is not known nothing is said, so it is held."""
    found = {}
    for constraint in dict.fromkeys(constraints):
        value = known.get(constraint.metric, math.nan)
        if math.isnan(value):
            continue
        if constraint.high < math.inf:
            found[f"{constraint.metric} <= {constraint.high:g}"] = float(value - constraint.high)
        if constraint.low > -math.inf:
            found[f"{constraint.metric} >= {constraint.low:g}"] = float(constraint.low - value)
    return found


def _measured(run: Run) -> dict[str, dict[str, float]]:
    """Content id -> what was measured of the design."""
    frame = run.frame()
    names = [name for name in MEASURED if name in frame]
    rows = frame[["id", *names]].to_dict("records")
    return {row["id"]: {name: row[name] for name in names if row[name] == row[name]} for row in rows}


def _study_attributes(run: Run) -> dict[str, Any]:
    return {
        "gas_run": str(run.path.resolve()),
        "space": run.record["space"],
        "generator": run.settings.generator,
        "seed": run.settings.seed,
        "proxy": run.record["proxy"],
        "constraints": [str(c) for c in dict.fromkeys((*run.bounds, *run.measured_constraints))],
        "versions": run.record["versions"],
        "began": run.record.get("began", ""),
    }


@contextlib.contextmanager
def _opened(storage: str) -> Iterator[BaseStorage]:
    """The storage; RunError, in one line, for whatever is the matter with it."""
    if "://" not in storage and not storage.endswith(JOURNALS):
        known = [f"sqlite:///{storage}"] if storage.endswith(DATABASES) else []
        expected = "sqlite:///FILE.db, or a file that ends in .log or .journal"
        near = f"; did you mean {known[0]!r}?" if known else ""
        raise SettingError(f"storage: {describe(storage, expected)}{near}")
    opened: BaseStorage | None = None
    try:
        if "://" not in storage:
            _check_journal(Path(storage))
        opened = RDBStorage(storage) if "://" in storage else JournalStorage(JournalFileBackend(storage))
    except RunError:
        raise
    except Exception as error:  # SQLAlchemy's, its drivers', the file system's: each has kinds of its own
        raise RunError(f"{storage}: cannot be opened: {first_line(error)}") from error
    try:
        yield opened
    except (OSError, ImportError, ValueError) as error:
        raise RunError(f"{storage}: cannot be written: {first_line(error)}") from error
    except Exception as error:
        if not type(error).__module__.startswith(("sqlalchemy", "optuna")):
            raise
        raise RunError(f"{storage}: cannot be written: {first_line(error)}") from error
    finally:
        if isinstance(opened, RDBStorage):
            opened.remove_session()
            opened.engine.dispose()


def _check_journal(file: Path) -> None:
    """Optuna would write behind whatever is in the file."""
    if not file.exists():
        return
    with file.open("rb") as stream:
        line = stream.readline(100_000)
    with contextlib.suppress(ValueError):
        told = json.loads(line) if line else {"op_code": 0}
        if isinstance(told, dict) and "op_code" in told:
            return
    raise RunError(f"{file}: got a file that is no journal of Optuna; expected one, or a name that is free")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna announces every study, and calls the names of metrics an experiment."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        logger.setLevel(before)
