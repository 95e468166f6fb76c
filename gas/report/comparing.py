"""Several runs beside one another: how fast each got how far, and what each adds to the front of all together.

Hypervolumes are comparable because all runs have one scale and one reference point: each objective is scaled to its
range over the fronts of all runs (0 is the best there, 1 the worst), and the reference point is 1.1 in each. A single
objective is treated alike; its hypervolume is 1.1 less the scaled value of the best.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gas.archive import event_times
from gas.disk import write_whole
from gas.errors import RunError, SettingError
from gas.evaluation import Objective, Status
from gas.merging import check_alike, labels, same_space, seed_notes, version_notes
from gas.pareto import hypervolume, non_dominated
from gas.report.fronts import no_front
from gas.report.tables import Column, show, to_csv
from gas.run import Run, open_run

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = 1.1
REACH = (90.0, 99.0)
COUNTED = (Status.OK, Status.STOPPED, Status.FAILED)
FILES = ("compare.csv", "curves.csv", "fronts.csv", "compare.png", "compare.html")


@dataclass(frozen=True)
class Comparison:
    """Runs beside one another.

    Args:
        runs: By name.
        objectives: What all of them search for.
        table: A row per run.
        curves: run, evaluations (1, 2, ...), hypervolume after so many.
        fronts: run, id, number, the objectives, joint (on the front of all runs together).
        best: Best value of each objective on any front: 0 on the common scale.
        worst: The worst there: 1 on the common scale.
        reference: The reference point, in the objectives' own units.
        notes: What should be known beside.
    """

    runs: Mapping[str, Run]
    objectives: tuple[Objective, ...]
    table: list[dict[str, Any]]
    curves: pd.DataFrame
    fronts: pd.DataFrame
    best: tuple[float, ...]
    worst: tuple[float, ...]
    reference: tuple[float, ...]
    notes: tuple[str, ...]


def compare(paths: Sequence[str | Path | Run], *, reach: Sequence[float] = REACH) -> Comparison:
    """Compares runs that search for the same.

    Args:
        paths: Two or more runs, or their directories.
        reach: Percentages of the greatest hypervolume that the table says the evaluations to.

    Raises:
        RunError: They do not search for the same, or their metrics do not mean the same (says what differs); or one has
            no front yet.
        SettingError: A percentage that is none.
    """
    import pandas as pd

    if wrong := [share for share in reach if not 0 < share <= 100]:
        raise SettingError(f"reach: got {wrong[0]:g}; expected percentages above 0, to 100")
    runs = labels([path if isinstance(path, Run) else open_run(path) for path in paths], "compare")
    check_alike(runs, "compare", whole=False)
    objectives = next(iter(runs.values())).objectives
    fronts = {name: run.front() for name, run in runs.items()}
    for name, front in fronts.items():
        if front.empty:
            raise no_front(runs[name])
    losses = {name: _losses(front, objectives) for name, front in fronts.items()}
    every = np.concatenate(list(losses.values()))
    low, high = every.min(axis=0), every.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    curves = {name: _curve(run, objectives, low, span) for name, run in runs.items()}
    joint = _joint(fronts, losses)
    signs = np.array([-1.0 if o.maximise else 1.0 for o in objectives])
    listed = [
        pd.DataFrame({"run": name, "id": front["id"], "number": front["number"]})
        .assign(**{o.metric: front[o.metric] for o in objectives})
        .assign(joint=joint[name])
        for name, front in fronts.items()
    ]
    return Comparison(
        runs,
        objectives,
        _table(runs, objectives, fronts, curves, joint, tuple(reach)),
        pd.concat([_drawn(name, curve) for name, curve in curves.items()], ignore_index=True),
        pd.concat(listed, ignore_index=True),
        tuple((low * signs).tolist()),
        tuple((high * signs).tolist()),
        tuple(((low + REFERENCE * span) * signs).tolist()),
        (*_space_notes(runs), *seed_notes(runs), *version_notes(runs)),
    )


def show_comparison(
    paths: Sequence[str], *, out: str | None, overwrite: bool, how: str, reach: Sequence[float]
) -> None:
    """`gas compare`: prints the table, and writes tables and figures where a folder is named."""
    folder = None if out is None else Path(out)
    if folder is not None:
        _check_free(folder, overwrite)
    found = compare(paths, reach=reach)
    show(found.table, _columns(found), how=how, notes=[*scale_notes(found), *found.notes])
    if folder is not None:
        for file in write_comparison(found, folder):
            print(f"wrote {file}", file=_stream(how))


def write_comparison(found: Comparison, folder: Path) -> list[Path]:
    """Writes tables and figures into a folder, over what is there; returns the files."""
    from gas.report.comparing_figures import html_of, plot_comparison

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{folder}: cannot be written to: {error.strerror}") from error
    for name, rows in (("compare", found.table), ("curves", found.curves), ("fronts", found.fronts)):
        write_whole(folder / f"{name}.csv", to_csv(rows) + "\n")
    plot_comparison(found, folder / "compare.png")
    write_whole(folder / "compare.html", html_of(found))
    return [folder / name for name in FILES]


def scale_notes(found: Comparison) -> list[str]:
    """The common scale and the common reference point, in words."""
    told = zip(found.objectives, found.best, found.worst, found.reference, strict=True)
    scale = "; ".join(f"{o.metric} {best:g} to {worst:g}, reference point {at:g}" for o, best, worst, at in told)
    top = f"{REFERENCE ** len(found.objectives):.4g}"
    return [
        f"hypervolume: each objective scaled to its range over all fronts (0 best, 1 worst): {scale}; {top} at most",
        "joint: designs of the run on the front of all runs together; one that several runs found counts for each",
    ]


def _losses(front: pd.DataFrame, objectives: Sequence[Objective]) -> np.ndarray:
    """(n, m) objectives of a front, to be made small."""
    columns = [front[o.metric].to_numpy(dtype=float) * (-1 if o.maximise else 1) for o in objectives]
    return np.stack(columns, axis=1)


def _curve(run: Run, objectives: Sequence[Objective], low: np.ndarray, span: np.ndarray) -> list[float]:
    """Hypervolume after each evaluation; a design that a measurement refutes counts for nothing."""
    front, volume, found = np.empty((0, len(objectives))), 0.0, []
    reference = np.full(len(objectives), REFERENCE)
    for losses in _told(run, objectives):
        if losses is not None:
            point = (np.array(losses) - low) / span
            if (point < reference).all() and not (front <= point).all(axis=1).any():
                front = np.vstack([front, point])
                front = front[non_dominated(front)]
                volume = hypervolume(front, reference)
        found.append(volume)
    return found


def _drawn(name: str, curve: Sequence[float]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"run": name, "evaluations": range(1, len(curve) + 1), "hypervolume": curve})


def _told(run: Run, objectives: Sequence[Objective]) -> Iterator[tuple[float, ...] | None]:
    """What each evaluation came to, in the order told; None for what is on no front."""
    bounds = run.measured_constraints
    for row in run.frame().to_dict("records"):
        if row["status"] not in COUNTED:
            continue
        losses = tuple(float(o.loss(row)) for o in objectives) if row["status"] == Status.OK else (math.nan,)
        refuted = any(bound.violation(float(row.get(bound.metric, math.nan))) > 0 for bound in bounds)
        yield losses if not refuted and all(map(math.isfinite, losses)) else None


def _joint(fronts: Mapping[str, pd.DataFrame], losses: Mapping[str, np.ndarray]) -> dict[str, list[bool]]:
    """For each run, which of its front is on the front of all runs together."""
    stays = iter(non_dominated(np.concatenate(list(losses.values()))).tolist())
    return {name: [next(stays) for _ in range(len(front))] for name, front in fronts.items()}


def _table(
    runs: Mapping[str, Run],
    objectives: Sequence[Objective],
    fronts: Mapping[str, pd.DataFrame],
    curves: Mapping[str, list[float]],
    joint: Mapping[str, list[bool]],
    reach: Sequence[float],
) -> list[dict[str, Any]]:
    best = max(curve[-1] for curve in curves.values())
    together = {id for name, front in fronts.items() for id in front["id"][joint[name]]}
    rows = []
    for name, run in runs.items():
        front, curve = fronts[name], curves[name]
        row: dict[str, Any] = {"run": name, "generator": run.settings.generator, "seed": run.settings.seed}
        row |= {"generator": "merged", "seed": None} if run.record.get("merged") else {}
        row |= {"evaluations": len(curve), "front": len(front), "hypervolume": curve[-1]}
        row |= {"hypervolume_share": curve[-1] / best if best else math.nan}
        for share in reach:
            row[f"to_{share:g}%"] = next((i + 1 for i, v in enumerate(curve) if v >= share / 100 * best > 0), None)
        for objective in objectives:
            values = front[objective.metric]
            row[f"best_{objective.metric}"] = (values.max() if objective.maximise else values.min()).item()
        row |= {"joint": sum(joint[name]), "joint_share": sum(joint[name]) / len(together)}
        times = [at for _, at in event_times(run.path)]
        row |= {"worker_s": float(run.frame()["seconds"].sum()), "wall_s": times[-1] - times[0]}
        rows.append(row)
    return rows


def _columns(found: Comparison) -> list[Column]:
    words = {"hypervolume_share": "of the best", "joint_share": "joint share", "worker_s": "worker time (s)"}
    words |= {"wall_s": "first to last (s)"}
    kinds = {"hypervolume_share": "share", "joint_share": "share", "worker_s": "number", "wall_s": "number"}
    return [
        Column.of(key, words.get(key, f"evaluations to {key[3:]}" if key.startswith("to_") else ""), kinds.get(key, ""))
        for key in found.table[0]
    ]


def _space_notes(runs: Mapping[str, Run]) -> list[str]:
    one, *others = runs.values()
    if all(same_space(one.space, other.space) for other in others):
        return []
    return ["spaces differ: " + "; ".join(f"{name}: {run.space.name}" for name, run in runs.items())]


def _check_free(folder: Path, overwrite: bool) -> None:
    there = [name for name in FILES if (folder / name).exists()]
    if there and not overwrite:
        raise RunError(f"{folder}: got {', '.join(there)} there already; expected none, or --overwrite")


def _stream(how: str) -> Any:
    import sys

    return sys.stdout if how == "text" else sys.stderr
