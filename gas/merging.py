"""Several runs as one: whether they can be, and the run directory that holds what all of them evaluated.

The runs stand one after another, as given; candidates are numbered anew. Of a design that occurs more than once, one
evaluation is kept: the first that is ok, else the first that was stopped, that failed, that was refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gas.archive import Archive, Row, rows_of, write_rows
from gas.checks import Checks
from gas.disk import write_whole
from gas.errors import RunError
from gas.evaluation import Status
from gas.records import Log
from gas.run import PROTOTYPES, Run, open_run
from gas.space import SearchSpace

ORDER = (Status.OK, Status.STOPPED, Status.FAILED, Status.INFEASIBLE, Status.DUPLICATE)
COUNTED = (Status.OK, Status.STOPPED, Status.FAILED)
EXACT = ("macs", "params")
PROFILE = "profile.json"


@dataclass(frozen=True)
class Merged:
    """What came of merging.

    Args:
        run: The run that holds all.
        kept: Candidates kept, by run.
        dropped: Candidates left out, by what they were.
        notes: What should be known of it, in words.
    """

    run: Run
    kept: Mapping[str, int]
    dropped: Mapping[str, int]
    notes: tuple[str, ...]


def labels(runs: Sequence[Run], what: str) -> dict[str, Run]:
    """What each run is called: its directory's name, or its path where two have one name.

    Raises:
        RunError: There are fewer than two, or one stands twice.
    """
    if len(runs) < 2:
        raise RunError(f"{what}: got {len(runs)} run{'s' * (len(runs) != 1)}; expected two or more")
    places = [run.path.resolve() for run in runs]
    for run, place in zip(runs, places, strict=True):
        if places.count(place) > 1:
            raise RunError(f"{what}: got {run.path} twice; expected each run once")
    names = [place.name for place in places]
    return {n if names.count(n) == 1 else str(r.path): r for n, r in zip(names, runs, strict=True)}


def check_alike(runs: Mapping[str, Run], what: str, *, whole: bool) -> None:
    """RunError, which says what differs, unless metrics of the same name mean the same in all runs.

    Seeds may differ: a score's noise is then among what is compared.

    Args:
        runs: By name.
        what: The command, for errors.
        whole: They must be searches of the same space, for the same target, too.
    """
    (first, one), *others = runs.items()
    for name, other in others:
        wanted, got = (", ".join(map(str, run.objectives)) for run in (one, other))
        if wanted != got:
            raise RunError(f"{what}: got the objectives {got} in {name}; expected those of {first}, {wanted}")
        if whole and not same_space(one.space, other.space):
            raise RunError(f"{what}: got the space {other.space.name} in {name}; expected that of {first}")
        a, b = (_meaning(run, whole=whole) for run in (one, other))
        # What one of them does not record is younger than that run, which was made as the default is.
        keys = [key for key in a if key in b and a[key] != b[key]]
        if keys:
            differ = "; ".join(f"{key} is {b[key]!r} in {name}, {a[key]!r} in {first}" for key in keys)
            raise RunError(f"{what}: got runs whose metrics do not mean the same: {differ}; expected the same")


def same_space(one: SearchSpace, other: SearchSpace) -> bool:
    """Whether two spaces mean the same search, however their files are written."""
    return _said(one) == _said(other)


def check_resumable(run: Run) -> None:
    """RunError for a merged run: no search led to it, so none can go on from there."""
    if run.record.get("merged"):
        expected = f"a run that a search made; a new search may begin with its designs: --from {run.path}:best"
        raise RunError(f"{run.path}: got a merged run to resume; expected {expected}")


def merge(paths: Sequence[str | Path], out: str | Path) -> Merged:
    """Makes one run of several, whole or not at all.

    Args:
        paths: Their directories.
        out: Directory of the new run; must not exist.

    Raises:
        RunError: There is something at `out`, the runs are not of one kind (says what differs), or one is damaged.
    """
    runs, out = labels([open_run(path) for path in paths], "merge"), Path(out)
    if out.exists() or out.is_symlink():
        raise RunError(f"{out}: got a directory that exists already; expected a new one")
    check_alike(runs, "merge", whole=True)
    rows, kept, dropped = _joined(runs)
    notes = (*seed_notes(runs), *_bounds(runs), *version_notes(runs))
    with _draft(out) as draft:
        _write(draft, runs, rows, kept, notes)
        write_whole(draft / "front.csv", open_run(draft).front().to_csv(index=False))
    return Merged(open_run(out), kept, dropped, notes)


def _said(space: SearchSpace) -> tuple:
    """What of a space's file bears on a search."""
    return space.document.tree, space.document.objectives, space.document.constraints


def _meaning(run: Run, *, whole: bool) -> dict[str, Any]:
    """What the run's metrics depend on, by setting."""
    metrics = {o.metric for o in run.objectives} | set(run.utility.metrics if run.utility else ())
    metrics |= {c.metric for c in run.measured_constraints}
    given = run.settings.model_dump()
    told: dict[str, Any] = {"utility": run.utility.text if run.utility else ""}
    latency = whole or any(metric.startswith("latency") for metric in metrics)
    told |= {name: given[name] for name in ("target", "threads")} if latency else {}
    told |= {"batch": given["batch"]} if latency or "memory_mib" in metrics else {}
    if whole or any(not m.startswith(("latency", "memory")) and m not in EXACT for m in metrics):
        scored = run.record.get("scored") or [run.record["proxy"]]
        for proxy in scored:
            told |= _flat({k: v for k, v in proxy.items() if k not in ("name", "seed", "why")}, proxy["name"])
        told["proxies"] = ", ".join(proxy["name"] for proxy in scored)
    return told


def _flat(told: Mapping[str, Any], before: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in told.items():
        found |= _flat(value, f"{before}.{key}") if isinstance(value, dict) else {f"{before}.{key}": value}
    return found


def _joined(runs: Mapping[str, Run]) -> tuple[list[Row], dict[str, int], dict[str, int]]:
    """The events of all runs with their candidates numbered anew; how many are kept of each, and left out for what."""
    rows = {name: rows_of(run.path) for name, run in runs.items()}
    best: dict[str, tuple[int, int, int]] = {}  # content id -> (how good its status is, run, number)
    dropped: Counter[str] = Counter()
    for index, told in enumerate(rows.values()):
        ids = {row.values["number"]: row.values["id"] for row in told if row.kind == "asked"}
        states = {row.values["number"]: Status(row.values["status"]) for row in told if row.kind == "told"}
        dropped["under way"] += len(ids) - len(states)
        dropped["proposed before in their run"] += sum(status is Status.DUPLICATE for status in states.values())
        for number, status in states.items():
            found = (ORDER.index(status), index, number)
            if status is not Status.DUPLICATE:
                dropped["evaluated in several runs"] += ids[number] in best
                best[ids[number]] = min(best.get(ids[number], found), found)
    chosen = {(index, number) for _, index, number in best.values()}
    references = {design.id for run in runs.values() for design, _ in run.references.values()}
    joined, kept, count = [], {}, 0
    for index, (name, told) in enumerate(rows.items()):
        numbers: dict[int, int] = {}
        for row in told:
            if row.kind == "measured":
                joined += [row] if row.values["id"] in best or row.values["id"] in references else []
            elif (index, old := row.values["number"]) in chosen:
                new = numbers.setdefault(old, count + len(numbers))
                values = {**row.values, "number": new}
                if row.kind == "asked":
                    values["origin"] = f"{values['origin']} ({name}, candidate {old})".strip()
                joined.append(replace(row, values=values))
        kept[name] = len(numbers)
        count += len(numbers)
    return joined, kept, {what: number for what, number in dropped.items() if number}


@contextlib.contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` when all is in it."""
    draft = out.absolute().with_name(f".{out.name}.{os.getpid()}")
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.rename(out)
    except OSError as error:
        raise RunError(f"{out}: cannot be written to: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(
    folder: Path, runs: Mapping[str, Run], rows: Sequence[Row], kept: Mapping[str, int], notes: Sequence[str]
) -> None:
    one = next(iter(runs.values()))
    for name in ("space.yaml", PROFILE):
        if (one.path / name).exists():
            shutil.copyfile(one.path / name, folder / name)
    Archive.create(folder).close()
    write_rows(folder, rows)
    references: dict[str, Any] = {}
    prototypes: dict[str, Any] = {}
    for run in reversed(runs.values()):
        told = {name: {"design": d.to_dict(), "metrics": metrics} for name, (d, metrics) in run.references.items()}
        references |= {name: value for name, value in told.items() if value["metrics"] or name not in references}
        prototypes |= {name: design.to_dict() for name, design in run.prototypes.items()}
    write_whole(folder / "references.json", json.dumps(references, indent=1))
    if prototypes:
        write_whole(folder / PROTOTYPES, json.dumps(prototypes, indent=1))
    if (checks := _checks(list(runs.values()))).proxy:
        checks.write(folder)
    log = Log(folder / "log.txt")
    for name, count in kept.items():
        log(f"merged: {count} candidates of {name} ({runs[name].path})")
    for note in notes:
        log(note)
    counted = sum(row.kind == "told" and Status(row.values["status"]) in COUNTED for row in rows)
    settings = one.settings.model_copy(update={"budget": max(counted, 1), "prototypes": tuple(prototypes)})
    record = {
        **one.record,
        "settings": settings.model_dump(mode="json"),
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "merged": [_origin(name, run, kept[name]) for name, run in runs.items()],
        "notes": list(notes),
    }
    write_whole(folder / "run.json", json.dumps(record, indent=1))


def _origin(name: str, run: Run, kept: int) -> dict[str, Any]:
    told = {"name": name, "path": str(run.path.resolve()), "kept": kept, "began": run.record.get("began", "")}
    told |= {"seed": run.settings.seed, "generator": run.settings.generator, "versions": run.record["versions"]}
    return told | ({"merged": run.record["merged"]} if run.record.get("merged") else {})


def _checks(runs: Sequence[Run]) -> Checks:
    """What one second proxy said of their designs; the first run's that has any."""
    told = [run.checks for run in runs if run.checks.proxy]
    found = Checks()
    for checks in told:
        if not found.proxy:
            found = Checks(checks.proxy, checks.settings)
        if (checks.proxy, checks.settings) == (found.proxy, found.settings):
            found.scores = checks.scores | found.scores
            found.reasons = checks.reasons | found.reasons
    return found


def seed_notes(runs: Mapping[str, Run]) -> list[str]:
    """Words on runs whose scores were made with different seeds; none where they were not."""
    seeds = {name: run.settings.seed for name, run in runs.items()}
    if len(set(seeds.values())) == 1:
        return []
    return [f"scores were made with different seeds ({_listed(seeds)}): their noise is in what is compared"]


def _bounds(runs: Mapping[str, Run]) -> list[str]:
    """A bound relative to a design depends on what its latency was taken for."""
    told = {name: ", ".join(map(str, run.bounds)) for name, run in runs.items()}
    return [f"bounds differ, the first run's are kept: {_listed(told)}"] if len(set(told.values())) > 1 else []


def version_notes(runs: Mapping[str, Run]) -> list[str]:
    """Words on runs of different machines or versions; none where there are none."""
    found = []
    for part in ("platform", "torch", "gas"):
        told = {name: run.record["versions"].get(part, "") for name, run in runs.items()}
        found += [f"{part} differs: {_listed(told)}"] if len(set(told.values())) > 1 else []
    return found


def _listed(told: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in told.items())
