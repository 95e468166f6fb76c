"""Tables of a run's evaluations: the views that `gas.archive` gives as pandas frames."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gas.errors import unknown
from gas.evaluation import UNITS, Constraint, Evaluation, Objective
from gas.pareto import non_dominated

if TYPE_CHECKING:
    import pandas as pd

Setting = tuple[str, int, int]
"""What a latency was measured with: target, batch, threads."""

MEASURED = ("target", "batch", "threads", "id", "median_ms", "q1_ms", "q3_ms", "ratio")
"""Fields of a measurement, in the order in which `frame_of` takes them."""

BEFORE = {"id": "str", "number": "int64", "status": "str", "reason": "str", "origin": "str"}
LATENCIES = ("latency_ms", "latency_ms_q1", "latency_ms_q3", "latency_ratio")
AFTER = {"seconds": "float64", "worker": "str", "fidelity": "str", "architecture": "str"}


@dataclass(frozen=True)
class Told:
    """An evaluation with where it ran and the fidelity (JSON) of its proxies."""

    evaluation: Evaluation
    worker: str
    fidelity: str


def frame_of(told: Sequence[Told], measured: Sequence[tuple], latency: Setting | None) -> pd.DataFrame:
    """See `Archive.frame`; `measured` holds tuples of MEASURED, the last one measured last."""
    import pandas as pd

    records = pd.DataFrame([_record(row) for row in told], columns=[*BEFORE, *AFTER]).astype({**BEFORE, **AFTER})
    metrics = _metrics(told)
    setting = latency or (tuple(measured[-1][:3]) if measured else None)
    if setting:
        metrics = _with_latencies(metrics, records["id"], [row[3:] for row in measured if tuple(row[:3]) == setting])
    decisions = _decisions(told)
    taken = {*BEFORE, *AFTER}
    metrics = metrics.rename(columns={name: f"metrics.{name}" for name in metrics if name in taken})
    taken.update(metrics)
    decisions = decisions.rename(columns={name: f"decisions.{name}" for name in decisions if name in taken})
    table = pd.concat([records[[*BEFORE]], metrics, decisions, records[[*AFTER]]], axis=1)
    table.attrs["decisions"] = list(decisions)
    table.attrs["units"] = {name: unit for name in table if (unit := _unit(name))}
    if setting:
        table.attrs["latency"] = dict(zip(("target", "batch", "threads"), setting, strict=True))
    return table


def front_of(table: pd.DataFrame, objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> pd.DataFrame:
    """See `Archive.front`; ValueError without objectives, or where a constraint is relative."""
    if not objectives:
        raise ValueError("front: got no objective; expected at least one")
    if relative := [constraint for constraint in constraints if constraint.of]:
        raise ValueError(f"front: got the relative constraint {relative[0]}; expected absolute ones")
    rows = table[table["status"] == "ok"]
    if rows.empty:
        return rows.reset_index(drop=True)
    for constraint in constraints:
        values = _column(rows, constraint.metric)
        rows = rows[[constraint.violation(value) == 0 for value in values]]
    losses = [[o.loss({o.metric: value}) for value in _column(rows, o.metric)] for o in objectives]
    points = list(zip(*losses, strict=True))
    # An infinite one would dominate, and is no score: it counts as one that is not known.
    known = [point if all(map(math.isfinite, point)) else (math.nan,) * len(point) for point in points]
    best = [row for row, kept in enumerate(non_dominated(known)) if kept] if points else []
    return rows.iloc[sorted(best, key=lambda row: points[row])].reset_index(drop=True)


def _record(row: Told) -> dict[str, Any]:
    evaluation = row.evaluation
    candidate = evaluation.candidate
    return {
        "id": candidate.architecture.id,
        "number": candidate.number,
        "status": str(evaluation.status),
        "reason": evaluation.reason,
        "origin": candidate.origin,
        "seconds": evaluation.seconds,
        "worker": row.worker,
        "fidelity": row.fidelity,
        "architecture": candidate.architecture.to_json(),
    }


def _metrics(told: Sequence[Told]) -> pd.DataFrame:
    """Costs first, then the others in the order in which they were first told."""
    import pandas as pd

    names = dict.fromkeys(name for row in told for name in row.evaluation.metrics)
    names = [name for name in UNITS if name in names] + [name for name in names if name not in UNITS]
    data = pd.DataFrame([dict(row.evaluation.metrics) for row in told], columns=names, index=range(len(told)))
    return data.astype({name: "Int64" if name in ("macs", "params") else "float64" for name in names})


def _with_latencies(metrics: pd.DataFrame, ids: pd.Series, measured: Sequence[tuple]) -> pd.DataFrame:
    """The metrics with the columns of LATENCIES behind the costs; a measured latency stands before one told."""
    import pandas as pd

    last = {id: values for id, *values in measured}
    nothing = [math.nan] * len(LATENCIES)
    rows = [last.get(id, nothing) for id in ids]
    latencies = pd.DataFrame(rows, columns=list(LATENCIES), index=metrics.index).astype("float64")
    if "latency_ms" in metrics:
        latencies["latency_ms"] = latencies["latency_ms"].fillna(metrics["latency_ms"])
        metrics = metrics.drop(columns="latency_ms")
    costs = [name for name in metrics if name in UNITS]
    return pd.concat([metrics[costs], latencies, metrics.drop(columns=costs)], axis=1)


def _decisions(told: Sequence[Told]) -> pd.DataFrame:
    """A column per decision path, of the narrowest type that holds its values and 'there is no such decision'."""
    import pandas as pd

    made = [dict(row.evaluation.candidate.decisions) for row in told]
    paths = sorted({path for decisions in made for path in decisions})
    columns = {}
    for path in paths:
        values = [decisions.get(path) for decisions in made]
        kinds = {type(value) for value in values if value is not None}
        dtype = "str"
        if len(kinds) == 1:
            dtype = {int: "Int64", float: "float64", bool: "boolean"}.get(*kinds, "str")
        elif kinds == {int, float}:
            dtype = "float64"
        if dtype == "str":  # lists, and choices between a word and a number, as the space's file writes them
            values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        columns[path] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(columns, index=range(len(told)))


def _column(rows: pd.DataFrame, name: str) -> list[float]:
    import pandas as pd

    numeric = [column for column in rows if pd.api.types.is_numeric_dtype(rows[column].dtype)]
    if name not in numeric:
        raise unknown("metric", name, numeric)
    return rows[name].to_numpy(dtype=float, na_value=math.nan).tolist()


def _unit(name: str) -> str | None:
    return UNITS.get(name.removesuffix("_q1").removesuffix("_q3"))
