"""One search, begun or resumed, in a run directory: sets the parts up, runs the loop, measures the front.

A session holds the directory's lock, so two searches never write to one run. Whatever ends it (the budget, time,
Ctrl-C, an error, SIGKILL), what was evaluated is in the archive, and a session with `resume` goes on from there.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from gas.architecture import Architecture
from gas.archive import FILE, Archive, States
from gas.banking import check_space
from gas.costs import LatencyTable
from gas.costs.targets import create as create_target
from gas.disk import write_whole
from gas.errors import RunError, SettingError
from gas.evaluation import Constraint
from gas.evaluators import Evaluator, Work, at_rung
from gas.evaluators import create as create_evaluator
from gas.finalists import check_front
from gas.goals import Goals
from gas.ladder import Ladder
from gas.leading import led
from gas.loop import Loop, Progress, fidelity_json, reference_point
from gas.merging import check_resumable, same_space
from gas.parts import bounds_of, check_budget, checker_of, fidelity_of, generator_of, profile_of, rungs_of, scored_of
from gas.pricing import PREDICTED, Pricing
from gas.prototypes import find_prototypes, outside
from gas.proxies import create as create_proxy
from gas.records import Log, check_free, plain_bound, take_lock, versions
from gas.run import FORMAT, PROTOTYPES, Run
from gas.settings import LATENCY, Settings
from gas.space import SearchSpace, load, load_space
from gas.trackers import Trackers, trackers_of
from gas.verify import Measuring, measure_front, score_references

PROFILE = "profile.json"
# These may differ when a run is resumed.
CHANGEABLE = {"budget", "check", "seconds", "workers", "worker_threads", "address", "limit_s", "memory_mib", "retries"}
CHANGEABLE |= {"tensorboard", "mlflow"}
# What is there before run.json is.
BEGINNING = ("lock", "space.yaml", "references.json", PROTOTYPES, PROFILE, "run.json.new", FILE)


class Session:
    """A search under way; a context manager that lets go of workers, archive and lock.

    Args:
        space: A space, or the name or path of one; None takes the run's own when it is resumed.
        out: Directory of the run.
        resume: Go on with the run that is there.
        settings: Fields of Settings; on resuming, only those in CHANGEABLE may differ from the run's.
        watch: Called with the loop's Progress.
        evaluator: Makes what evaluates candidates from the work to be done; None for what the settings name.
    """

    def __init__(
        self,
        space: SearchSpace | str | Path | None,
        out: Path,
        *,
        resume: bool,
        settings: Mapping[str, Any],
        watch: Callable[[Progress], None] | None = None,
        evaluator: Callable[[Work], Evaluator] | None = None,
    ) -> None:
        self.out = out
        self.log = Log(out / "log.txt")
        self.began = time.monotonic()
        self.watch = watch or (lambda progress: None)
        self.trackers = Trackers((), self.log)
        self.evaluator: Evaluator | None = None
        self._make_evaluator = evaluator or self._named_evaluator
        self.archive: Archive | None = None
        self.ended = ""
        self._lock: IO[str] | None = None
        self._recorded_bounds: tuple[Constraint, ...] = ()
        self._resumed = False
        try:
            self._open(space, resume, settings)
        except BaseException:
            self.close()
            raise

    def run(self) -> str:
        """Searches, then measures the front; returns why the search ended: `budget`, `time` or `exhausted`."""
        if self.evaluator is None:
            self.ended = "budget"
        else:
            with self.evaluator:
                self.score_references(self.evaluator)  # first, so that the time limit is left to what can be cut short
                self.ended = self.loop.run(self.cut_off)
        self.finish()
        return self.ended

    def finish(self) -> None:
        """Measures the front of what was evaluated, has a second proxy look at it, and writes it."""
        self._measure()
        self._check()
        States(self.out).close()  # where the search was cut off after its last evaluation, the folder is still there
        self._write_front()
        self.trackers.finish(self.out, self.ended)
        state = self.loop.progress
        self.log(f"ended ({self.ended}): {state.done} evaluations, {state.failed} failed, {state.proposed} candidates")

    def close(self) -> None:
        """Lets go of everything; may be called again."""
        self.trackers.close()
        if self.evaluator is not None:
            self.evaluator.close()
        if self.archive is not None:
            self.archive.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Setting up

    def _open(self, space: SearchSpace | str | Path | None, resume: bool, settings: Mapping[str, Any]) -> None:
        there = (self.out / "run.json").exists()
        if resume and not there:
            raise RunError(f"{self.out}: got no run; expected the directory of one to resume")
        if there and not resume:
            expected = f"a new directory, or --resume {self.out}"
            raise RunError(f"{self.out}: got a run that exists already; expected {expected}")
        self._resumed = there
        if there:
            self._lock = take_lock(self.out)
            self._reopen(space, settings)
        else:
            check_free(self.out, BEGINNING)
            self.settings = Settings.of(**dict(settings))
            self.space = load_space(space) if isinstance(space, str | Path) else space
            if self.space is None:
                raise SettingError("space: got none; expected a search space, such as turbovit.yaml")
            self.settings, self.why = led(self.settings, self.space)
        trackers = trackers_of(tensorboard=self.settings.tensorboard, mlflow=self.settings.mlflow)
        self._prepare()
        self.trackers = Trackers(trackers, self.log)
        self.watch = self.trackers.watched(self.watch)
        if not there or self._wants_workers():
            self._note("starting workers")
            self.evaluator = self._make_evaluator(self.work)
        if not there:
            self._begin()
        self._assemble()
        self.cut_off = self.loop.replay() if there else []
        self.trackers.begin(self.out, Run(self.out).record)
        done = f", {self.loop.progress.done} evaluations done" if there else ""
        self.log(f"{'resumed' if there else 'began'}: {self.space.name}, {self.settings.model_dump_json()}{done}")
        for name, broken in ({} if there else outside(self.prototypes, self.pricing)).items():
            self.log(f"prototype {name}: {broken}; the search begins with what is near it and within the bounds")

    def _wants_workers(self) -> bool:
        """False for a run that has nothing left to evaluate: resuming it starts no Ray."""
        with Archive.open(self.out, readonly=True) as archive:
            done = sum(evaluation.counts for evaluation in archive.evaluations())
        return done < self.settings.budget or bool(self._unscored())

    def _reopen(self, space: SearchSpace | str | Path | None, settings: Mapping[str, Any]) -> None:
        """Settings and space of the run that is there; what was given must agree with them."""
        run = Run(self.out)
        check_resumable(run)
        recorded = run.settings.model_dump()
        given = Settings.of(**{**recorded, **settings}).model_dump()
        for name, value in given.items():
            if value != recorded[name] and name not in CHANGEABLE:
                raise SettingError(f"{name}: got {value!r}; this run has {recorded[name]!r}, which cannot be changed")
        self.settings = Settings.of(**given)
        if given != recorded:  # so that a further --resume need not say it again
            record = {**run.record, "settings": self.settings.model_dump(mode="json")}
            write_whole(self.out / "run.json", json.dumps(record, indent=1))
        self.space = run.space
        # The table may know other numbers by now; a run keeps to the bounds it began with.
        self._recorded_bounds = run.bounds
        if space is not None:
            other = load_space(space) if isinstance(space, str | Path) else space
            if not same_space(other, self.space):
                raise SettingError(f"space: got {other.name}, which is not the space of {self.out}; leave --space out")

    def _prepare(self) -> None:
        """Makes what the settings name, before anything is written."""
        given, run = self.settings, Run(self.out) if self._resumed else None
        settings = {"data": given.data, "fidelity": fidelity_of(given, self.space), "seed": given.seed}
        self.proxy = create_proxy(given.proxy, settings | {"bank": given.bank})
        if self.proxy.needs_bank:
            check_space(self.proxy.record, self.space)
        self.check = checker_of(given, self.space)
        if given.data is not None and not any(p.needs_training for p in (self.proxy, self.check) if p):
            raise SettingError(f"data: got {given.data!r}; expected none, because {given.proxy} reads no images")
        self.rungs = rungs_of(given, self.proxy)
        self.ladder = Ladder(max(len(self.rungs), 1), given.eta)
        self.goals = Goals.of(self.space, given)
        self.scored = scored_of(given, self.goals, self.proxy)
        self.prototypes = run.prototypes if run else find_prototypes(given.prototypes, self.space)
        target = create_target(given.target, batch=given.batch, threads=given.threads)
        self.table = LatencyTable.on(target) if self.goals.latency else None
        profile = profile_of(given, self.space, self.table, self.out / PROFILE if run else None)
        self.pricing = Pricing((), self.table, profile, given.batch if self.goals.memory else 0)
        self.references = dict(self.space.references)
        self.references |= {name: load(name) for name in given.compare if name not in self.references}
        self.bounds = self._recorded_bounds or bounds_of(given, self.space, self.references, self.pricing, self._note)
        self.pricing.constraints = self.bounds
        self.generator = generator_of(given, self.pricing.bounded(self.space), self.goals, self.prototypes, self.bounds)
        if run is None:  # what is resumed has lost nothing, however far it shall go
            check_budget(given, self.generator)

    def _begin(self) -> None:
        self._lock = take_lock(self.out)
        if (self.out / "run.json").exists():
            raise RunError(f"{self.out}: another search has just begun a run here; expected a new directory")
        try:
            (self.out / "space.yaml").write_text(self.space.document.text, encoding="utf-8")
            self._write_references({})
            if self.prototypes:
                listed = {name: design.to_dict() for name, design in self.prototypes.items()}
                write_whole(self.out / PROTOTYPES, json.dumps(listed, indent=1))
            if self.pricing.profile is not None:
                self.pricing.profile.save(self.out / PROFILE)
            self.archive = (Archive.open if (self.out / FILE).exists() else Archive.create)(self.out)
            if self.archive.candidates():
                raise RunError(f"{self.out}: damaged: got an archive with candidates, but no run.json")
            # run.json comes last: a directory without it is no run, so a cut-off beginning can be begun again.
            write_whole(self.out / "run.json", json.dumps(self._record(), indent=1))
        except OSError as error:
            raise RunError(f"{self.out}: cannot be written to: {error.strerror}") from error

    def _record(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "space": self.space.name,
            "space_file": self.space.document.file,
            "settings": self.settings.model_dump(mode="json"),
            "proxy": {"name": self.proxy.name, "why": self.why, **self.proxy.settings()},
            "scored": [{"name": name, **settings} for name, settings in self.scored],
            "objectives": [{"metric": o.metric, "maximise": o.maximise} for o in self.goals.objectives],
            "utility": None if self.goals.utility is None else dataclasses.asdict(self.goals.utility),
            "bounds": [plain_bound(c) for c in self.bounds],
            "measured": [plain_bound(c) for c in self.goals.measured],
            "against": self._against(),
            "latency_interval": self.pricing.interval,
            "reference_ms": self.pricing.reference_ms,
            "versions": versions(),
            "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }

    def _against(self) -> str:
        """The reference design that latencies are measured beside; empty for none."""
        bound = next((c.of for c in self.space.constraints if c.metric == LATENCY and c.of), "")
        return bound or next(iter(self.references), "")

    def _assemble(self) -> None:
        if self.archive is None:
            self.archive = Archive.open(self.out)
        known = {c.metric: c.high for c in self.bounds if c.high < math.inf}
        greatest = {name: high for name, (_, high) in self.space.cost_range.items()}
        # For references, measuring the front and having it checked.
        reserve = min(60.0, 0.25 * (self.settings.seconds or 0.0)) * (2 if self.check else 1)
        deadline = self.began + self.settings.seconds - reserve if self.settings.seconds else math.inf
        self.loop = Loop(
            self.generator,
            self.pricing,
            self.evaluator,
            self.archive,
            self.goals.objectives,
            self.settings.budget,
            deadline,
            fidelity_json(self._fidelity(self.proxy.settings())),
            # Where 0 lies on the scale of a utility means nothing, so neither does a volume above it.
            () if self.goals.utility else reference_point(self.goals.objectives, known, greatest),
            self.watch,
            self.log,
            self.goals.utility,
            self.ladder,
            States(self.out),
            tuple(fidelity_json(at_rung(self.proxy.settings(), changes)) for changes in self.rungs[:-1]),
            self.trackers.note,
        )

    @property
    def work(self) -> Work:
        """What is done to every candidate."""
        given = self.settings
        workers = {"threads": given.worker_threads, "gpus": given.worker_gpus, "retries": given.retries}
        return Work(
            self.scored, given.limit_s, given.memory_mib, probes=self.generator.probes, rungs=self.rungs, **workers
        )

    def _fidelity(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What is recorded with an evaluation: the proxy's settings, and those of what else was scored by name."""
        others = {name: told for name, told in self.scored if name != self.proxy.name}
        if len(others) == len(self.scored):  # the proxy itself had nothing to say
            settings = {}
        return settings | others

    def _named_evaluator(self, work: Work) -> Evaluator:
        given = self.settings
        name = "in_process" if given.workers == 1 and not given.address else "ray"
        return create_evaluator(name, work, workers=given.workers, address=given.address or None)

    # Finishing

    def score_references(self, evaluator: Evaluator) -> None:
        """Scores the designs that the choice will be shown beside, where the run has not done so yet."""
        waiting = self._unscored()
        if not waiting:
            return
        self._note(f"scoring {', '.join(waiting)}")
        scores = score_references(evaluator, waiting, timeout=self.settings.limit_s)
        self._write_references({n: metrics for n, (_, metrics) in Run(self.out).references.items()} | scores)

    def _unscored(self) -> dict[str, Architecture]:
        recorded = Run(self.out).references
        return {n: d for n, d in self.references.items() if n not in recorded or not recorded[n][1]}

    def _write_references(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        listed = {}
        for name, design in self.references.items():
            metrics = dict(scores.get(name, {}))
            if metrics:
                metrics = self.goals.with_utility({**self._priced(design), **metrics})
            listed[name] = {"design": design.to_dict(), "metrics": metrics}
        write_whole(self.out / "references.json", json.dumps(listed, indent=1))

    def _priced(self, design: Architecture) -> dict[str, float]:
        """What a reference design costs; its latency as predicted only where a utility reads it."""
        reads = self.goals.utility is not None and PREDICTED in self.goals.utility.metrics
        return self.pricing.metrics(design) if reads else self.pricing.exact(design)

    def _measure(self) -> None:
        if self.table is None:
            return
        given = self.settings
        of = self._against()
        reference = self.references.get(of)
        alike = [d for n, d in self.references.items() if n != of and d.resolution == reference.resolution]
        self._note("measuring the front")
        measure_front(
            self.archive,
            self.goals.objectives,
            self.goals.measured,
            Measuring(given.target, given.batch, given.threads, 1.2, of, reference),
            also=alike,
            deadline=self._until(1.0 if self.check is None else 0.5),
            watch=lambda done, total: self._note(f"measured {done} of {total} designs of the front"),
        )

    def _check(self) -> None:
        if self.check is None:
            return
        check_front(Run(self.out), self.check, self.work, self._make_evaluator, deadline=self._until(), note=self._note)

    def _until(self, share: float = 1.0) -> float:
        """When so much of the time that is left will be over, on the clock of `time.monotonic`."""
        now = time.monotonic()
        return now + share * (self.began + (self.settings.seconds or math.inf) - now)

    def _write_front(self) -> None:
        write_whole(self.out / "front.csv", Run(self.out).front().to_csv(index=False))

    def _note(self, text: str) -> None:
        loop = getattr(self, "loop", None)
        progress = loop.progress if loop else Progress(self.settings.budget)
        progress.note = text
        progress.elapsed = time.monotonic() - self.began
        self.watch(progress)


def search(
    space: SearchSpace | str | Path, *, out: str | Path, resume: bool = False, watch: Any = None, **settings: Any
) -> Run:
    """Searches a space, as `gas search` does, and returns the finished run.

    Args:
        space: A space, or the name or path of one.
        out: Directory of the run; must not exist yet, unless `resume`.
        resume: Go on with the run in `out`; the settings given then must not differ from its own.
        watch: Called with a `gas.loop.Progress` whenever something has changed.
        **settings: Fields of `gas.settings.Settings`: budget, workers, seed, generator, proxy, ...

    Raises:
        GasError: Anything that the user can put right; nothing is lost, and a run that began can be resumed.
    """
    with Session(space, Path(out), resume=resume, settings=settings, watch=watch) as session:
        session.run()
    return Run(out)
