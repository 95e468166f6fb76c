"""One search, begun or resumed, in a run directory: sets the parts up, runs the loop, measures the front.

A session holds the directory's lock, so two searches never write to one run. Whatever ends it (the budget, time,
Ctrl-C, an error, SIGKILL), what was evaluated is in the archive, and a session with `resume` goes on from there.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from gas.architecture import Architecture
from gas.archive import FILE, Archive
from gas.costs import LatencyTable, Profile, memory
from gas.costs.targets import create as create_target
from gas.errors import RunError, SettingError
from gas.evaluation import Constraint, Objective, Status
from gas.evaluators import Evaluator, Work
from gas.evaluators import create as create_evaluator
from gas.generators import create as create_generator
from gas.loop import Loop, Progress, fidelity_json, reference_point
from gas.pricing import Pricing, find_profile
from gas.proxies import PROXIES
from gas.proxies import create as create_proxy
from gas.records import Log, versions, write_whole
from gas.run import FORMAT, Run
from gas.settings import Settings
from gas.space import SearchSpace, load, load_space
from gas.verify import Measuring, measure_front, score_references

LATENCY = "latency_ms"
PROFILE = "profile.json"
MEMORY = "memory_mib"
CHANGEABLE = {"budget", "seconds", "workers", "address", "limit_s", "memory_mib"}  # may differ when a run is resumed
# Designs that are as small as the reduced ones are not made as thin, and a try-out shall end in seconds.
SMALL = {"width": 0.5}
BEGINNING = ("lock", "space.yaml", "references.json", PROFILE, "run.json.new", FILE)  # what is there before run.json is


class Session:
    """A search under way; a context manager that lets go of workers, archive and lock.

    Args:
        space: A space, or the name or path of one; None takes the run's own when it is resumed.
        out: Directory of the run.
        resume: Go on with the run that is there.
        settings: Fields of Settings; on resuming, only those in CHANGEABLE may differ from the run's.
        watch: Called with the loop's Progress.
    """

    def __init__(
        self,
        space: SearchSpace | str | Path | None,
        out: Path,
        *,
        resume: bool,
        settings: Mapping[str, Any],
        watch: Callable[[Progress], None] | None = None,
    ) -> None:
        self.out = out
        self.log = Log(out / "log.txt")
        self.began = time.monotonic()
        self.watch = watch or (lambda progress: None)
        self.evaluator: Evaluator | None = None
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
                self._score_references()  # first, so that the time limit is left to what can be cut short
                self.ended = self.loop.run(self._cut_off)
        self._measure()
        self._write_front()
        state = self.loop.progress
        self.log(f"ended ({self.ended}): {state.done} evaluations, {state.failed} failed, {state.proposed} candidates")
        return self.ended

    def close(self) -> None:
        """Lets go of everything; may be called again."""
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
            self._take_lock()
            self._reopen(space, settings)
        else:
            self._check_free()
            self.settings = Settings.of(**dict(settings))
            self.space = load_space(space) if isinstance(space, str | Path) else space
            if self.space is None:
                raise SettingError("space: got none; expected a search space, such as turbovit.yaml")
        self._prepare()
        if not there or self._wants_workers():
            self._note("starting workers")
            self.evaluator = self._evaluator()
        if not there:
            self._begin()
        self._assemble()
        self._cut_off = self.loop.replay() if there else []
        done = f", {self.loop.progress.done} evaluations done" if there else ""
        self.log(f"{'resumed' if there else 'began'}: {self.space.name}, {self.settings.model_dump_json()}{done}")

    def _wants_workers(self) -> bool:
        """False for a run that has nothing left to evaluate: resuming it starts no Ray."""
        with Archive.open(self.out, readonly=True) as archive:
            done = sum(e.status in (Status.OK, Status.FAILED) for e in archive.evaluations())
        return done < self.settings.budget or bool(self._unscored())

    def _check_free(self) -> None:
        """RunError unless a run can begin here: nothing is there, or what a beginning that was cut off leaves."""
        folder = next(f for f in (self.out, *self.out.absolute().parents) if f.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise RunError(f"{self.out}: cannot be written to: {folder} is not a folder that you may write to")
        if folder == self.out and not all(file.name.startswith(BEGINNING) for file in folder.iterdir()):
            raise RunError(f"{self.out}: got a folder that is no run and not empty; expected a new directory")

    def _take_lock(self) -> None:
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            self._lock = (self.out / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{self.out}: another search is writing to this run") from error
        except OSError as error:
            raise RunError(f"{self.out}: cannot be written to: {error.strerror}") from error

    def _reopen(self, space: SearchSpace | str | Path | None, settings: Mapping[str, Any]) -> None:
        """Settings and space of the run that is there; what was given must agree with them."""
        run = Run(self.out)
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
            if _said(other) != _said(self.space):
                raise SettingError(f"space: got {other.name}, which is not the space of {self.out}; leave --space out")

    def _prepare(self) -> None:
        """Makes what the settings name, before anything is written."""
        given = self.settings
        settings = {"data": given.data, "fidelity": self._fidelity(), "seed": given.seed}
        self.proxy = create_proxy(given.proxy, settings)
        if given.data is not None and not self.proxy.needs_training:
            raise SettingError(f"data: got {given.data!r}; expected none, because {given.proxy} reads no images")
        objectives = self.space.objectives or _default_objectives()
        self.objectives = tuple(given.objective(o) for o in objectives)
        spoken = [o.metric for o in objectives] + [c.metric for c in self.space.constraints]
        target = create_target(given.target, batch=given.batch, threads=given.threads)
        self.table = LatencyTable.on(target) if LATENCY in spoken else None
        self.pricing = Pricing((), self.table, self._profile(), given.batch if MEMORY in spoken else 0)
        self.references = dict(self.space.references)
        self.references |= {name: load(name) for name in given.compare if name not in self.references}
        self.bounds = self.pricing.constraints = self._recorded_bounds or self._resolved_bounds()
        space = self.pricing.bounded(self.space)
        self.generator = create_generator(
            given.generator, space, self.objectives, given.seed, **given.generator_options
        )

    def _profile(self) -> Profile | None:
        """What latency is predicted from; a run keeps to the profile that it began with."""
        if self.table is None:
            return None
        if self._resumed:
            kept = self.out / PROFILE
            return Profile.load(kept, self.table, foreign=True) if kept.exists() else None
        given = self.settings
        return find_profile(given.profile, self.space, self.table, foreign=given.foreign_profile)

    def _fidelity(self) -> dict[str, Any]:
        """The fidelity asked for; what is not asked for is cut to the size of the images that the designs are for."""
        side = max(self.space.resolutions)
        small = side <= PROXIES.get(self.settings.proxy).default_fidelity.resolution
        return (SMALL | {"resolution": side} if small else {}) | self.settings.fidelity

    def _resolved_bounds(self) -> tuple[Constraint, ...]:
        """The bounds that are known before an evaluation, absolute and in recorded names."""
        bounds = []
        for constraint in self.space.constraints:
            if constraint.metric == "proxy" and constraint.of:
                raise SettingError(f"constraints.proxy.of: got {constraint.of!r}; expected a bound on the score itself")
            if constraint.metric == "proxy":
                continue  # it decides on the front, not before the score is known
            reference = self.references[constraint.of] if constraint.of else None
            if constraint.metric == MEMORY and reference is not None:
                constraint = constraint.resolved(memory(reference, self.pricing.memory_batch).mib)
            if constraint.metric == LATENCY:
                self._note(f"timing {constraint.of}" if constraint.of else "looking up latencies")
                constraint = self.pricing.latency_bound(constraint, reference)
            bounds.append(self.settings.constraint(constraint))
        return tuple(bounds)

    def _begin(self) -> None:
        self._take_lock()
        if (self.out / "run.json").exists():
            raise RunError(f"{self.out}: another search has just begun a run here; expected a new directory")
        try:
            (self.out / "space.yaml").write_text(self.space.document.text, encoding="utf-8")
            self._write_references({})
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
            "proxy": {"name": self.proxy.name, **self.proxy.settings()},
            "objectives": [{"metric": o.metric, "maximise": o.maximise} for o in self.objectives],
            "bounds": [_plain(c) for c in self.bounds],
            "measured": [_plain(c) for c in self._measured_constraints()],
            "against": self._against(),
            "latency_interval": self.pricing.interval,
            "reference_ms": self.pricing.reference_ms,
            "versions": versions(),
            "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }

    def _measured_constraints(self) -> list[Constraint]:
        """Bounds that only an evaluation or a measurement decides: on the score, and on latency as it was measured
        (on the ratio where they are relative to a design)."""
        names = {"proxy": self.proxy.name, LATENCY: LATENCY}
        bounds = [c for c in self.space.constraints if c.metric in names]
        return [Constraint("latency_ratio" if c.of else names[c.metric], c.low, c.high) for c in bounds]

    def _against(self) -> str:
        """The reference design that latencies are measured beside; empty for none."""
        bound = next((c.of for c in self.space.constraints if c.metric == LATENCY and c.of), "")
        return bound or next(iter(self.references), "")

    def _assemble(self) -> None:
        if self.archive is None:
            self.archive = Archive.open(self.out)
        known = {c.metric: c.high for c in self.bounds if c.high < math.inf}
        greatest = {name: high for name, (_, high) in self.space.cost_range.items()}
        reserve = min(60.0, 0.25 * (self.settings.seconds or 0.0))  # for references and measuring the front
        deadline = self.began + self.settings.seconds - reserve if self.settings.seconds else math.inf
        self.loop = Loop(
            self.generator,
            self.pricing,
            self.evaluator,
            self.archive,
            self.objectives,
            self.settings.budget,
            deadline,
            fidelity_json(self.proxy.settings()),
            reference_point(self.objectives, known, greatest),
            self.watch,
            self.log,
        )

    def _evaluator(self) -> Evaluator:
        given = self.settings
        work = Work(((self.proxy.name, self.proxy.settings()),), given.limit_s, given.memory_mib)
        name = "ray" if given.workers > 1 or given.address else "in_process"
        return create_evaluator(name, work, workers=given.workers, address=given.address or None)

    # Finishing

    def _score_references(self) -> None:
        """Scores the designs that the choice will be shown beside, where the run has not done so yet."""
        waiting = self._unscored()
        if not waiting:
            return
        self._note(f"scoring {', '.join(waiting)}")
        scores = score_references(self.evaluator, waiting, timeout=self.settings.limit_s)
        self._write_references({n: metrics for n, (_, metrics) in Run(self.out).references.items()} | scores)

    def _unscored(self) -> dict[str, Architecture]:
        recorded = Run(self.out).references
        return {n: d for n, d in self.references.items() if n not in recorded or not recorded[n][1]}

    def _write_references(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        listed = {}
        for name, design in self.references.items():
            metrics = dict(scores.get(name, {}))
            if metrics:
                metrics = {**self.pricing.exact(design), **metrics}
            listed[name] = {"design": design.to_dict(), "metrics": metrics}
        write_whole(self.out / "references.json", json.dumps(listed, indent=1))

    def _measure(self) -> None:
        if self.table is None:
            return
        given = self.settings
        of = self._against()
        reference = self.references.get(of)
        # Without any reference design there is none beside it either.
        alike = [d for n, d in self.references.items() if n != of and d.resolution == reference.resolution]
        self._note("measuring the front")
        measure_front(
            self.archive,
            self.objectives,
            tuple(self._measured_constraints()),
            Measuring(given.target, given.batch, given.threads, 1.2, of, reference),
            also=alike,
            deadline=self.began + given.seconds if given.seconds else math.inf,
            watch=lambda done, total: self._note(f"measured {done} of {total} designs of the front"),
        )

    def _write_front(self) -> None:
        Run(self.out).front().to_csv(self.out / "front.csv", index=False)

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


def _plain(constraint: Constraint) -> dict[str, str]:
    """As run.json has it; infinity as text, because JSON has none."""
    return {"metric": constraint.metric, "low": str(constraint.low), "high": str(constraint.high)}


def _default_objectives() -> tuple[Objective, ...]:
    return Objective("proxy", maximise=True), Objective("macs")


def _said(space: SearchSpace) -> tuple:
    """What of a space's file bears on a search."""
    return space.document.tree, space.document.objectives, space.document.constraints
