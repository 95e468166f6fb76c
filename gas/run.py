"""A run directory, read: what a search leaves, and what is asked of it.

run.json          settings, versions, objectives and bounds in recorded names
space.yaml        the search space as it was read
references.json   the designs that the space speaks of, with their costs and scores
archive.sqlite    every candidate, evaluation and measurement
log.txt           what happened when, for people
front.csv         the front at the end, for people; `Run.front()` is the truth
profile.json      what latency was predicted from, where that was a profile
checks.json       what a second proxy says of the designs of the front
prototypes.json   the designs that the search started from, where there were any
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.architecture import Architecture
from gas.archive import Archive
from gas.checks import Checks
from gas.errors import GasError, RunError, describe, nearest
from gas.evaluation import Constraint, Objective
from gas.settings import ESTIMATE, Settings
from gas.space import SearchSpace, load, space_from_text
from gas.utility import Utility
from gas.verify import unrefuted_front

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
PROTOTYPES = "prototypes.json"
RULES = {
    "best": "the highest {metric} on the front among designs that meet every constraint as measured",
    "checked": "the highest {check} among designs of the front that meet every constraint as measured",
    "knee": "the knee of the front: the least sum of objectives, each scaled to the front's range",
}


class Run:
    """A search's directory, read.

    Args:
        path: The directory.

    Raises:
        RunError: It is missing, is no run, or is damaged; says which file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise RunError(f"{path}: got no such directory; expected the directory of a run")
        file = self.path / "run.json"
        self.record = _read_json(file)
        if self.record.get("format") != FORMAT:
            raise RunError(f"{file}: {describe(self.record.get('format'), f'format {FORMAT}')}")
        with _damage(file):
            _ = [self.record[key] for key in ("space", "against", "proxy", "versions")]
            _ = [self.record["proxy"][key] for key in ("name", "data", "fidelity", "seed")]
            _ = self.settings, self.objectives, self.utility, self.bounds, self.measured_constraints

    @cached_property
    def settings(self) -> Settings:
        """How the search was run."""
        return Settings.from_json(self.record["settings"])

    @cached_property
    def space(self) -> SearchSpace:
        """The search space, from the run's own copy."""
        file = self.path / "space.yaml"
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise RunError(f"{file}: cannot be read: {error.strerror}") from error
        except UnicodeError as error:
            raise RunError(f"{file}: damaged: {error}") from error
        return space_from_text(text, str(file), references={n: d for n, (d, _) in self.references.items()})

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What was searched for, in recorded metric names."""
        return tuple(Objective(o["metric"], o["maximise"]) for o in self.record["objectives"])

    @property
    def utility(self) -> Utility | None:
        """What the objective is worked out from, where it is a utility."""
        told = self.record.get("utility")
        return None if told is None else Utility(told["name"], told["text"], tuple(told["metrics"]))

    @property
    def measured_constraints(self) -> tuple[Constraint, ...]:
        """The bounds that an evaluation or a measurement decides: on the score, and on latency."""
        return _constraints(self.record["measured"])

    @property
    def requirements(self) -> tuple[Constraint, ...]:
        """Of these, those on scores."""
        return tuple(c for c in self.measured_constraints if c.metric in (self.settings.proxy, ESTIMATE))

    @property
    def bounds(self) -> tuple[Constraint, ...]:
        """The bounds that decided before an evaluation: on macs, params, memory and predicted latency."""
        return _constraints(self.record["bounds"])

    @property
    def latency_interval(self) -> tuple[float, float] | None:
        """Ends of the 90% interval of a predicted latency, as shares of it; None where it was a sum over pieces."""
        ends = self.record.get("latency_interval")
        return None if ends is None else (ends[0], ends[1])

    @property
    def reference_ms(self) -> float | None:
        """Latency that the search went by for the design that the bound on latency is relative to; None for none."""
        return self.record.get("reference_ms")

    @property
    def latency_words(self) -> str:
        """What latencies are measured on, in words."""
        given = self.settings
        return f"{given.target}, batch {given.batch}, {given.threads} thread{'s' * (given.threads > 1)}"

    @property
    def references(self) -> dict[str, tuple[Architecture, dict[str, Any]]]:
        """Name -> (design, its metrics) of the designs that the space speaks of."""
        file = self.path / "references.json"
        listed = _read_json(file)
        with _damage(file):
            return {n: (Architecture.from_dict(r["design"], n), r["metrics"]) for n, r in listed.items()}

    @property
    def prototypes(self) -> dict[str, Architecture]:
        """Name -> design that the search started from."""
        if not self.settings.prototypes:
            return {}
        file = self.path / PROTOTYPES
        listed = _read_json(file)
        with _damage(file):
            return {name: Architecture.from_dict(design, name) for name, design in listed.items()}

    def frame(self) -> pd.DataFrame:
        """Every evaluation: see `Archive.frame`."""
        with Archive.open(self.path, readonly=True) as archive:
            return archive.frame()

    def front(self, objectives: Sequence[Objective] | Mapping[str, str] | None = None) -> pd.DataFrame:
        """The Pareto front among designs that no measurement refutes, best in the first objective first.

        Args:
            objectives: Those of the search where None; else Objectives, or metric -> "max" or "min".

        Returns:
            Rows of `frame`, with a column `verified`: True where every constraint holds as measured; and with the
            metrics of `checks`, NaN where a design was not looked at.
        """
        wanted = self.objectives if objectives is None else _objectives(objectives)
        with Archive.open(self.path, readonly=True) as archive:
            front = unrefuted_front(archive, wanted, self.measured_constraints)
        scores = self.checks.scores
        for name in dict.fromkeys(metric for metrics in scores.values() for metric in metrics):
            if name not in front:
                front[name] = [scores.get(id, {}).get(name, math.nan) for id in front["id"]]
        return front

    @property
    def checks(self) -> Checks:
        """What a second proxy says of the designs of the front; see `gas.checks`."""
        return Checks.read(self.path)

    def choice(self, rule: str = "best") -> tuple[Architecture, str]:
        """The design that a rule picks, and why in words.

        Args:
            rule: `best` (highest first objective among the verified front; the whole front where nothing is
                verified yet), `checked` (highest by the proxy that looked at the front) or `knee`.
        """
        from gas.pareto import knee

        if rule not in RULES:
            raise RunError(f"{self.path}: {describe(rule, 'one of ' + ', '.join(RULES), known=RULES)}")
        front = self.front()
        if front.empty:
            raise RunError(f"{self.path}: got no design that is ok; expected at least one to choose from")
        verified = front[front["verified"]]
        rows = verified if len(verified) else front
        checks = self.checks
        if rule == "checked":
            if not set(rows["id"]) & set(checks.scores):
                expected = f"a front that a second proxy has looked at: gas search --resume {self.path} --check PROXY"
                raise RunError(f"{self.path}: got none that is checked; expected {expected}")
            rows = rows.sort_values(checks.proxy, ascending=False)
        losses = [[o.loss(row) for o in self.objectives] for row in rows.to_dict("records")]
        at = knee(losses) if rule == "knee" else 0
        row = rows.iloc[at]
        reason = RULES[rule].format(metric=self.objectives[0].metric, check=checks.proxy)
        if not len(verified):
            reason += " (nothing on the front is measured yet, so predictions decide)"
        return self.architecture(row["id"]), f"{row['id']} (candidate {row['number']}): {reason}"

    def architecture(self, which: str | int) -> Architecture:
        """A design by content id, candidate number, `best`, `checked` or `knee`; RunError where there is none."""
        if which in RULES:
            return self.choice(str(which))[0]
        try:
            with Archive.open(self.path, readonly=True) as archive:
                return archive.architecture(which)
        except RunError as error:
            if not (rule := nearest(str(which), RULES)):
                raise
            raise RunError(f"{error}; did you mean {rule!r}?") from error

    def row(self, architecture: Architecture) -> dict[str, Any]:
        """What is recorded about a design: its (first) row of `frame` as a dict, without what is not known."""
        frame = self.frame()
        rows = frame[frame["id"] == architecture.id]
        return rows.iloc[0].dropna().to_dict() if len(rows) else {}

    def probes(self, which: str | int = "best") -> pd.DataFrame:
        """What probing a design found when it was evaluated: a row per block, the readings in columns.

        Columns: block, stage, path, pattern, options, dim, then the readings in order (missing where a block has none
        of that kind). No rows where the run's generator asked for no probes.

        Args:
            which: Content id, candidate number, `best` or `knee`.
        """
        import pandas as pd

        from gas.exports.rows import probe_rows

        design = self.architecture(which)
        with Archive.open(self.path, readonly=True) as archive:
            found = archive.probes(design.id)
        return pd.DataFrame(probe_rows(design, found) if found else [])

    def measured_latencies(self) -> dict[str, float]:
        """Content id -> measured latency in ms, at the run's target, batch and threads; references included."""
        with Archive.open(self.path, readonly=True) as archive:
            return archive.latencies((self.settings.target, self.settings.batch, self.settings.threads))

    def facts(self, architecture: Architecture) -> dict[str, Any]:
        """What a model card says about a design: see `gas.exports.facts`."""
        row = self.row(architecture)
        if not row:
            return {}
        proxy = self.record["proxy"]
        fidelity = f"{json.dumps(proxy['fidelity'], sort_keys=True)} on {proxy['data']}, seed {proxy['seed']}"
        facts: dict[str, Any] = {
            "origin": f"{row['origin']}, candidate {row['number']} of run {self.path.name} over {self.space.name}",
            "proxies": {
                name: float(value) for name, value in row.items() if name == proxy["name"] or name.startswith(ESTIMATE)
            },
            "fidelity": fidelity,
        }
        where = {"target": self.settings.target, "batch": self.settings.batch, "threads": self.settings.threads}
        if "latency_ms" in row:
            quartiles = {"q1_ms": row["latency_ms_q1"], "q3_ms": row["latency_ms_q3"]}
            ratio = {"ratio": row["latency_ratio"], "against": self.record["against"]} if "latency_ratio" in row else {}
            facts["latency"] = {**where, "median_ms": row["latency_ms"], **quartiles, **ratio}
        elif "latency_ms_predicted" in row:
            facts["latency"] = {**where, "median_ms": row["latency_ms_predicted"], "predicted": True}
        return facts

    def __repr__(self) -> str:
        return f"<Run {self.path}: {self.record['space']}, {self.settings.generator}, {self.settings.proxy}>"


def open_run(path: str | Path) -> Run:
    """The run in a directory; RunError where there is none or it is damaged."""
    return Run(path)


def export(
    design: Architecture | Run | str | Path, out: str | Path, *, which: str = "best", command: str = "", **options: Any
) -> Any:
    """Writes a design as a standalone PyTorch file with weights, design file and model card, and checks it.

    Args:
        design: A design, a run (or its directory), or the name or path of a design.
        out: Folder to write to.
        which: For a run: content id, candidate number, `best` or `knee`.
        command: What made the files, for the model card.
        **options: See `gas.exports.export_design`.
    """
    from gas.exports import export_design

    if isinstance(design, str | Path) and (Path(design) / "run.json").exists():
        design = Run(design)
    if isinstance(design, Run):
        chosen = design.architecture(which)
        name = f"{design.space.name}_{chosen.id}"
        facts = design.facts(chosen) | ({"command": command} if command else {})
        return export_design(chosen, out, **{"name": name, "facts": facts, **options})
    chosen = design if isinstance(design, Architecture) else load(design)
    return export_design(chosen, out, **options)


def _objectives(given: Sequence[Objective] | Mapping[str, str]) -> tuple[Objective, ...]:
    if not isinstance(given, Mapping):
        return tuple(given)
    if not given:
        raise RunError("objectives: got none; expected at least one")
    for direction in given.values():
        if direction not in ("max", "min"):
            raise RunError(f"objectives: {describe(direction, 'max or min', known=('max', 'min'))}")
    return tuple(Objective(metric, direction == "max") for metric, direction in given.items())


@contextlib.contextmanager
def _damage(file: Path) -> Iterator[None]:
    """Whatever a file lacks or has in the wrong form is an error that names the file."""
    try:
        yield
    except KeyError as error:
        raise RunError(f"{file}: damaged: it lacks {error}") from error
    except (GasError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{file}: damaged: {error}") from error


def _read_json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{file.parent}: got no {file.name}; expected the directory of a run") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file}: damaged: {error}") from error
    if not isinstance(data, dict):
        raise RunError(f"{file}: damaged: got {type(data).__name__}; expected a mapping")
    return data


def _constraints(listed: Sequence[Mapping[str, str]]) -> tuple[Constraint, ...]:
    return tuple(Constraint(c["metric"], float(c["low"]), float(c["high"])) for c in listed)
