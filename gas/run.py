"""A run directory, read: what a search leaves, and what is asked of it.

run.json          settings, versions, objectives and bounds in recorded names
space.yaml        the search space as it was read
references.json   the designs that the space speaks of, with their costs and scores
archive.sqlite    every candidate, evaluation and measurement
log.txt           what happened when, for people
front.csv         the front at the end, for people; `Run.front()` is the truth
profile.json      what latency was predicted from, where that was a profile
checks.json       what a second proxy says of the designs of the front
choices.json      the choices that were made and kept, with their reasons
prototypes.json   the designs that the search started from, where there were any
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.architecture import Architecture
from gas.archive import Archive
from gas.checks import Checks
from gas.choosing import CHOSEN, RULES, Choice, Columns, Condition, keep_choice, last_choice, pick
from gas.choosing import FILE as CHOICES
from gas.choosing.fronts import by_knees, by_weights, objectives_of, ordered
from gas.disk import damage, read_mapping
from gas.errors import RunError, describe, nearest
from gas.evaluation import Constraint, Objective
from gas.settings import ESTIMATE, LATENCY, MEMORY, Settings
from gas.space import SearchSpace, load, space_from_text
from gas.space.document import said
from gas.utility import Utility
from gas.verify import unrefuted_front

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

FORMAT = 1
PROTOTYPES = "prototypes.json"


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
        self.record = read_mapping(file)
        if self.record.get("format") != FORMAT:
            raise RunError(f"{file}: {describe(self.record.get('format'), f'format {FORMAT}')}")
        with damage(file):
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
        listed = read_mapping(file)
        with damage(file):
            return {n: (Architecture.from_dict(r["design"], n), r["metrics"]) for n, r in listed.items()}

    @property
    def prototypes(self) -> dict[str, Architecture]:
        """Name -> design that the search started from."""
        if not self.settings.prototypes:
            return {}
        file = self.path / PROTOTYPES
        listed = read_mapping(file)
        with damage(file):
            return {name: Architecture.from_dict(design, name) for name, design in listed.items()}

    def frame(self, *, where: str = "", sort: str = "", ascending: bool | None = None) -> pd.DataFrame:
        """Every evaluation: see `Archive.frame`; those asked for, in the order asked for, as in `front`."""
        with Archive.open(self.path, readonly=True) as archive:
            rows = archive.frame()
        rows = Condition(where, self.columns(rows)).kept(rows, "candidates") if where and len(rows) else rows
        return ordered(rows, self.columns(rows), sort, ascending) if sort else rows

    def front(
        self,
        objectives: Sequence[Objective] | Mapping[str, str] | None = None,
        *,
        where: str = "",
        sort: str = "",
        ascending: bool | None = None,
        weights: Mapping[str, float] | None = None,
        knees: int | None = None,
    ) -> pd.DataFrame:
        """The Pareto front among designs that no measurement refutes, best in the first objective first.

        Args:
            objectives: Those of the search where None; else Objectives, or metric -> "max" or "min".
            where: Condition on the designs that it shall be the front of, such as "latency_ms < 10 and params < 12M".
            sort: Column to order by, the better end first.
            ascending: Least first, or greatest first; None for the better end.
            weights: Weight by metric: ordered by `weighted_sum`; see `gas.choosing.fronts.by_weights`.
            knees: So many knees alone, by `marginal_utility`; see `gas.choosing.fronts.by_knees`.

        Returns:
            Rows of `frame`, with a column `verified`: True where every constraint holds as measured; and with the
            metrics of `checks`, NaN where a design was not looked at.

        Raises:
            SettingError: The condition cannot be read, or something names what is no column.
            RunError: The condition leaves no design; says how many each part of it leaves.
        """
        wanted = self.objectives if objectives is None else objectives_of(objectives)

        def among(rows: pd.DataFrame) -> pd.DataFrame:
            rows = self.checks.beside(rows)
            return Condition(where, self.columns(rows)).kept(rows) if where and len(rows) else rows

        with Archive.open(self.path, readonly=True) as archive:
            front = unrefuted_front(archive, wanted, self.measured_constraints, among)
        if front.empty:
            return front
        front = by_knees(front, self.columns(front), wanted, knees) if knees is not None else front
        front = by_weights(front, self.columns(front), weights) if weights else front
        return ordered(front, self.columns(front), sort, ascending) if sort else front

    def columns(self, frame: pd.DataFrame) -> Columns:
        """The columns of a frame of this run, by what people call them."""
        words = {"proxy": self.settings.proxy, "latency": LATENCY, "memory": MEMORY, said(ESTIMATE): ESTIMATE}
        return Columns(frame, words, self.objectives)

    def plot_front(self, x: str | None = None, y: str | None = None, color: str | None = None) -> Figure:
        """The front among everything evaluated, as an interactive plotly figure for a notebook.

        Args:
            x: Metric across; the second objective where None (macs where there is one objective).
            y: Metric upward; the first objective where None.
            color: Metric by which the front is coloured; None for one colour.

        Raises:
            SettingError: One of them is no numeric column of `frame`; says the nearest.
        """
        from gas.plots import front_figure

        front, frame = self.front(), self.frame()
        bounds = (*self.bounds, *self.measured_constraints)
        chosen = self.preferred()[0].id if len(front) else ""
        look = {"references": self.marks(frame), "constraints": bounds, "chosen": chosen}
        return front_figure(frame, front, self.objectives, x=x, y=y, color=color, **look)

    def marks(self, frame: pd.DataFrame) -> list[dict[str, Any]]:
        """The named designs beside the search: `name`, `key` (content id), and their metrics as far as they are known.

        Those that the space speaks of, with the latency measured beside the front, and those that it started from.

        Args:
            frame: Evaluations, which say what the latter came to.
        """
        found, latencies = [], self.measured_latencies()
        for name, (design, metrics) in self.references.items():
            row = {"name": name, "key": design.id, **metrics}
            row |= {"latency_ms": latencies[design.id]} if design.id in latencies else {}
            if name == self.record["against"]:
                row |= {"latency_ratio": 1.0} if design.id in latencies else {}
                row |= {"latency_ms_predicted": self.reference_ms} if self.reference_ms is not None else {}
            found.append(row)
        for name, design in self.prototypes.items():
            rows = frame[(frame["id"] == design.id) & (frame["status"] == "ok")]
            if len(rows):
                found.append({**rows.iloc[0].dropna().to_dict(), "name": name, "key": design.id})
        return found

    @property
    def checks(self) -> Checks:
        """What a second proxy says of the designs of the front; see `gas.checks`."""
        return Checks.read(self.path)

    def choice(
        self, rule: str = "best", *, where: str = "", weights: Mapping[str, float] | None = None
    ) -> tuple[Architecture, str]:
        """The design that a rule picks, and why in words, with the numbers that decided.

        Args:
            rule: `best`, `checked`, `knee` or `weights`; or `chosen`, which is what was kept last. See
                `gas.choosing.rules`.
            where: Condition on the designs to choose from, as for `front`.
            weights: Weight by metric, for the rule `weights`.
        """
        if rule == CHOSEN:
            made = last_choice(self.path)
            return self.architecture(made.id), made.reason
        picked, id, _ = self._picked(rule, where, weights)
        return self.architecture(id), picked

    def preferred(self) -> tuple[Architecture, str]:
        """The choice that was kept last, with its reason; where none was kept, what `best` means."""
        return self.choice(CHOSEN if (self.path / CHOICES).exists() else "best")

    def choose(self, rule: str = "best", *, where: str = "", weights: Mapping[str, float] | None = None) -> Choice:
        """Makes a choice as `choice` does, and keeps it with its reason in the run: it is then what `chosen` means."""
        reason, id, number = self._picked(rule, where, weights)
        return keep_choice(self.path, Choice(rule, id, number, reason, where, dict(weights or {})))

    def _picked(self, rule: str, where: str, weights: Mapping[str, float] | None) -> tuple[str, str, int]:
        """Reason, content id and candidate's number."""
        front, check = self.front(where=where), self.checks.proxy
        if front.empty:
            raise RunError(f"{self.path}: got no design that is ok; expected at least one to choose from")
        if rule == "checked" and (check not in front or front[check].isna().all()):
            expected = f"a front that a second proxy has looked at: gas search --resume {self.path} --check PROXY"
            raise RunError(f"{self.path}: got none that is checked; expected {expected}")
        found = pick(rule, front, self.objectives, self.columns(front), check=check, weights=weights)
        row = front.iloc[found.row]
        among = f"; of {len(front)} on the front where {' '.join(where.split())}" if where else ""
        return f"{found.reason}{among}", str(row["id"]), int(row["number"])

    def architecture(self, which: str | int) -> Architecture:
        """A design by content id, candidate number, or the name of a rule (`best`, `chosen`); RunError where none."""
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


def _constraints(listed: Sequence[Mapping[str, str]]) -> tuple[Constraint, ...]:
    return tuple(Constraint(c["metric"], float(c["low"]), float(c["high"])) for c in listed)
