"""gas inside Ray Tune: its candidates as Tune's trials, for those who live there.

Tune's schedulers, loggers, callbacks and storage do what they do; gas proposes within the constraints, keeps its own
run directory beside Tune's, and knows at the end the same front as after `gas search`:

    from ray import tune
    from gas.tune import GasSearch

    with GasSearch("tiny.yaml", "runs/tuned", proxy="short_training", budget=40, ladder=[{"steps": 64}]) as search:
        tuner = tune.Tuner(
            search.trainable(),
            tune_config=tune.TuneConfig(
                search_alg=search,
                num_samples=search.budget,
                max_concurrent_trials=2,
                reuse_actors=True,
                scheduler=tune.schedulers.ASHAScheduler(
                    time_attr="steps", metric="short_training", mode="max", grace_period=64, max_t=256
                ),
            ),
        )
        tuner.fit()
        run = search.finish()
    run.front()
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from gas.errors import GasError
from gas.evaluators import Evaluator, Outcome, Task, Work
from gas.evaluators import create as create_evaluator
from gas.evaluators._work import Prepared, prepare, run_work
from gas.run import Run
from gas.session import Session
from gas.space import SearchSpace

STATE, RUNG = "state", "rung.json"
"""Files of a trial's checkpoint: what its training goes on from, and at which rung it was."""


class GasSearch(Searcher):
    """A searcher for Ray Tune that proposes gas's candidates and records what comes of them; a context manager.

    Duplicates and designs outside the constraints never become trials. A trial that Tune's scheduler stops early is
    recorded as stopped, with a prediction of what it would have come to, as under gas's own ladder.

    Args:
        space: A space, or the name or path of one.
        out: Directory of gas's run; must not exist yet, unless `resume`.
        resume: Go on with the run in `out`, as with `gas search --resume`.
        **settings: Fields of `gas.settings.Settings`. `ladder` says at which fidelities a trial reports, from which a
            scheduler decides; workers and limits are Tune's affair.

    Raises:
        GasError: As `gas.search`.
    """

    def __init__(
        self, space: SearchSpace | str | Path | None, out: str | Path, *, resume: bool = False, **settings: Any
    ) -> None:
        self._begin(Path(out))
        self._open(space, resume=resume, settings=settings)

    def _begin(self, out: Path) -> None:
        super().__init__()
        self._out = out
        self._trials: dict[str, Task] = {}
        self._last: dict[str, Outcome] = {}
        self._ended = ""
        self._opened: Session | None = None

    def _open(self, space: SearchSpace | str | Path | None, *, resume: bool, settings: Mapping[str, Any]) -> None:
        self._opened = Session(space, self._out, resume=resume, settings=settings, evaluator=_Queue)
        if self._opened.evaluator is None:  # a finished run that is resumed
            self._ended = "budget"
        else:
            self._opened.loop.begin(self._opened.cut_off)

    @property
    def _session(self) -> Session:
        if self._opened is None:  # made from what Tune kept of another
            self._open(None, resume=True, settings={})
        return self._opened

    def __deepcopy__(self, memo: object) -> GasSearch:
        """Itself: Tune works on a copy, and a run has one writer."""
        return self

    def __reduce__(self) -> tuple:
        """What Tune keeps of it, to restore an experiment: where the run is, which is resumed when it is needed."""
        return _kept, (str(self._out),)

    @property
    def budget(self) -> int:
        """Evaluations that are still wanted: Tune's `num_samples`."""
        return self._session.settings.budget - self._session.loop.progress.done

    def trainable(self) -> Callable[[Mapping[str, Any]], None]:
        """The function that Tune runs for each trial.

        It reports after each rung: the proxy's metrics, `rung` (from 0), `steps` (of training so far) and `seconds`,
        with a checkpoint of safetensors and JSON, from which a trial that is paused or restarted goes on.
        """
        work = self._session.work

        def gas_design(config: Mapping[str, Any]) -> None:
            _train(work, config)

        return gas_design

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next candidate as a trial's config: `number` and `design` (canonical JSON)."""
        if self._session.evaluator is None:
            return Searcher.FINISHED
        waiting = self._session.evaluator.waiting
        if not waiting and not self._ended:
            self._ended = self._session.loop.fill()
        if not waiting:
            return Searcher.FINISHED if self._ended else None
        task = self._trials[trial_id] = waiting.popleft()
        return {"number": task.number, "design": task.candidate.architecture.to_json()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A rung has been reached; it counts as climbed when the next one is."""
        if (task := self._trials.get(trial_id)) is None:
            return
        before = self._last.get(trial_id)
        outcome = self._outcome(task, result)
        if before is not None and before.rung < outcome.rung:
            self._session.loop.take([before], judged=True)
        self._last[trial_id] = outcome

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has ended, by itself or because a scheduler stopped it, or has failed."""
        if (task := self._trials.pop(trial_id, None)) is None:
            return
        last = self._last.pop(trial_id, None)
        if error or (last is None and not result):
            failed = Outcome(task.number, {}, "its Ray Tune trial failed; see the trial's error.txt")
            self._session.loop.take([failed])
            return
        final = self._outcome(task, result) if result and "rung" in result else last
        if last is not None and last.rung < final.rung:
            self._session.loop.take([last], judged=True)
        self._session.loop.take([final], judged=False)

    def save(self, checkpoint_path: str) -> None:
        """Notes where the run is: its directory is what counts, and is up to date at any moment."""
        Path(checkpoint_path).write_text(json.dumps({"run": str(self._out)}), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the run is resumed where it is."""

    def finish(self) -> Run:
        """Scores the space's reference designs, measures the front, and gives the run."""
        session = self._session
        session.ended = self._ended or "time"
        with create_evaluator("in_process", session.work) as evaluator:
            session.score_references(evaluator)
        session.finish()
        return Run(session.out)

    def close(self) -> None:
        """Lets go of the run's directory."""
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> GasSearch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _outcome(self, task: Task, result: Mapping[str, Any]) -> Outcome:
        names = tuple(name for name, _ in self._session.work.proxies)
        metrics = {key: float(value) for key, value in result.items() if key.startswith(names)}
        seconds = float(result.get("seconds", 0.0))
        return Outcome(task.number, metrics, "", seconds, str(result.get("worker", "tune")), rung=int(result["rung"]))


def _kept(out: str) -> GasSearch:
    search = GasSearch.__new__(GasSearch)
    search._begin(Path(out))
    return search


class _Queue(Evaluator):
    """Holds the candidates until Tune asks for them; its outcomes do not come this way."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.waiting: deque[Task] = deque()

    @property
    def pending(self) -> int:
        """Candidates that no trial has taken: as many trials as Tune likes may be under way."""
        return len(self.waiting)

    def _start(self, task: Task) -> None:
        del self._submitted[task.number]
        self.waiting.append(task)

    def collect(self, timeout: float) -> list[Outcome]:
        """Nothing: see `GasSearch.on_trial_complete`."""
        return []

    def _stop(self) -> None:
        self.waiting.clear()


def _train(work: Work, config: Mapping[str, Any]) -> None:
    """One trial: rung by rung, from the trial's checkpoint where it has one."""
    prepared = _prepared(_key(work))
    first, state = _checkpointed()
    for rung in range(first, len(prepared.rungs)):
        outcome = run_work(prepared, config["number"], config["design"], rung, state)
        if outcome.reason:
            raise GasError(outcome.reason)
        state = outcome.state
        steps = prepared.rungs[rung][0][0].fidelity.steps
        told = {**outcome.metrics, "rung": rung, "steps": steps, "seconds": outcome.seconds, "worker": outcome.worker}
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, STATE).write_bytes(state)
            Path(folder, RUNG).write_text(json.dumps({"rung": rung}), encoding="utf-8")
            tune.report(told, checkpoint=tune.Checkpoint.from_directory(folder))


def _checkpointed() -> tuple[int, bytes]:
    """The rung to go on with, and from what."""
    checkpoint = tune.get_checkpoint()
    if checkpoint is None:
        return 0, b""
    with checkpoint.as_directory() as folder:
        rung = json.loads(Path(folder, RUNG).read_text(encoding="utf-8"))["rung"]
        return rung + 1, Path(folder, STATE).read_bytes()


def _key(work: Work) -> str:
    """The work as text, so that a process that Tune uses again knows whether it is ready for it."""
    fields = ("proxies", "memory_mib", "modules", "rungs")
    return json.dumps({name: getattr(work, name) for name in fields}, sort_keys=True)


@functools.lru_cache(maxsize=1)
def _prepared(key: str) -> Prepared:
    """Proxies with their data in memory, once per process."""
    import torch

    torch.set_num_threads(1)
    data = json.loads(key)
    proxies = tuple((name, settings) for name, settings in data.pop("proxies"))
    return prepare(Work(proxies, **{name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}))
