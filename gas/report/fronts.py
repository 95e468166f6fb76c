"""The front of a run in print: the designs asked for, in the order asked for, and the choice among them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gas.choosing import FILE, Condition
from gas.choosing.fronts import SUM, UTILITY
from gas.errors import RunError, SettingError
from gas.report.tables import Column, show
from gas.run import Run
from gas.settings import ESTIMATE

if TYPE_CHECKING:
    import pandas as pd

SUM_NOTE = f"{SUM.replace('_', ' ')}: weight x metric, each metric scaled to this front's range (0 best, 1 worst)"
KNEE_NOTE = f"{UTILITY.replace('_', ' ')}: how much worse the next best is, on the mean over all weights (Branke 2004)"


def show_front(
    run: Run,
    *,
    everything: bool = False,
    how: str = "text",
    limit: int | None = None,
    choose: str = "",
    **asked: Any,
) -> None:
    """`gas front`: prints the front, or all candidates, and makes and keeps a choice where one is asked for.

    Args:
        run: The run.
        everything: All candidates, not the front alone.
        how: As `gas.report.tables.show` has it.
        limit: Rows to print at most; None for all.
        choose: Rule of the choice; empty for none.
        **asked: `where`, `sort`, `ascending`, `weights`, `knees` of `Run.front`.

    Raises:
        RunError: There is no front yet.
        SettingError: Something asked for is none of what there is.
    """
    if everything:
        _check_alone(asked, choose)
        rows = run.frame(where=asked["where"], sort=asked["sort"], ascending=asked["ascending"])
    else:
        rows = run.front(**asked)
        if rows.empty:
            raise no_front(run)
    notes = front_notes(rows, run.settings.batch) + _notes(run, asked, everything)
    more = [asked["sort"], *asked["weights"]] if asked["weights"] else [asked["sort"]]
    columns = front_columns(run, rows, [name for name in more if name])
    if choose:
        made = run.choose(choose, where=asked["where"], weights=asked["weights"])
    few = rows if limit is None else rows.head(limit)
    title = f"the first {len(few)} of {len(rows)}" if len(few) < len(rows) else ""
    show(few, columns, how=how, title=title, notes=notes)
    if choose:
        stream = sys.stdout if how == "text" else sys.stderr
        quoted = shlex.quote(str(run.path))
        print(f"chosen: {made.reason}", file=stream)
        print(f"wrote {run.path / FILE}", file=stream)
        print(f"next: gas show {quoted} chosen; gas export {quoted} chosen --out out", file=stream)


def no_front(run: Run) -> RunError:
    """The error of a run that has no front yet: what its candidates came to."""
    frame = run.frame()
    states = ", ".join(f"{count} {status}" for status, count in frame["status"].value_counts().items())
    refuted = " and as measured meets every constraint" if (frame["status"] == "ok").any() else ""
    got = f"no front yet: {len(frame)} candidates" + f" ({states})" * bool(states)
    see = f"see gas front {shlex.quote(str(run.path))} --all"
    return RunError(f"{run.path}: got {got}; expected a design that is ok{refuted}; {see}")


def front_columns(run: Run, rows: pd.DataFrame, more: Sequence[str] = ()) -> list[Column]:
    """The columns of a front worth printing: what was searched for, costs, measurements, what it is ordered by."""
    wanted = ["id", "number", SUM, UTILITY, "status", "reason", *(o.metric for o in run.objectives)]
    wanted += [*(run.utility.metrics if run.utility else ()), *(c.metric for c in run.requirements)]
    wanted += [run.columns(rows).resolve(name, "sort") for name in more]
    if ESTIMATE in wanted:
        wanted += [f"{ESTIMATE}_low", f"{ESTIMATE}_high"]
    wanted += [run.checks.proxy] * bool(run.checks.proxy)
    wanted += ["macs", "params"]
    wanted += ["memory_mib", "latency_ms_predicted", "latency_ms", "latency_ratio", "verified", "origin"]
    if "verified" in rows:  # a front: every row is ok
        wanted = [name for name in wanted if name not in ("status", "reason")]
    return [Column.of(name) for name in dict.fromkeys(wanted) if name in rows]


def front_notes(rows: Any, batch: int) -> list[str]:
    """What stands below a front: which designs were not verified, what memory is, what it is ordered by."""
    unsure = "verified" in rows and len(rows) and not rows["verified"].all()
    hints = ["not verified: latency not measured yet, or no bound on it could be checked"] if unsure else []
    hints += [SUM_NOTE] * (SUM in rows) + [KNEE_NOTE] * (UTILITY in rows)
    return hints + [f"memory: weights and the peak of one forward pass of {batch}"] * ("memory_mib" in rows)


def _notes(run: Run, asked: Mapping[str, Any], everything: bool) -> list[str]:
    """What the condition's names meant, and of whom it could not be worked out."""
    if not asked["where"]:
        return []
    frame = run.frame()
    rows = frame if everything else run.checks.beside(frame[frame["status"] == "ok"]).assign(verified=True)
    rows.attrs = frame.attrs
    return Condition(asked["where"], run.columns(rows)).notes(rows)


def _check_alone(asked: Mapping[str, Any], choose: str) -> None:
    for name, value in (("weights", asked["weights"]), ("knees", asked["knees"]), ("choose", choose)):
        if value:
            raise SettingError(f"{name}: got {value!r} with --all; expected it with the front alone")
