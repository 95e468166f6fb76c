"""What the commands do, behind their options: everything that needs more than one layer of gas at once."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.architecture import Architecture
from gas.arguments import settings_of, where
from gas.errors import GasError, SettingError, describe
from gas.evaluation import Objective
from gas.report.agreement import latency_notes, plot_latency
from gas.report.designs import compare_columns, compare_rows
from gas.report.fronts import front_columns
from gas.report.progress import SearchProgress
from gas.report.tables import show, to_csv, to_json
from gas.run import RULES, Run, open_run
from gas.settings import ESTIMATE

if TYPE_CHECKING:
    import pandas as pd

    from gas.loop import Progress

FRONT_ROWS = 15
MEMORY_NOTE = "memory: weights and the peak of one forward pass (float32, folded); kernels' own scratch is not in it"
FOLDED_NOTE = "folded: for inference, with norms and branches in the layers beside them"


def run_search(given: dict[str, Any]) -> None:
    """`gas search`: runs or resumes a search with a bar, then prints what came of it."""
    from gas.session import Session

    how, quiet = given.pop("how"), given.pop("quiet")
    space, out, resume = where(given)
    settings = settings_of(given, resume=resume)
    bar = None if quiet else SearchProgress()
    try:
        with Session(space, out, resume=resume, settings=settings, watch=_watcher(bar)) as session:
            try:
                ended = session.run()
            except KeyboardInterrupt as stop:
                done = session.loop.progress.done
                resume_it = f"gas search --resume {shlex.quote(str(out))}"
                raise KeyboardInterrupt(f"interrupted after {done} evaluations; go on with: {resume_it}") from stop
            seconds = time.monotonic() - session.began
            if session.table is not None and session.table.problem:
                print(f"note: latencies were not kept for the next run: {session.table.problem}", file=sys.stderr)
    finally:
        if bar:
            bar.close()
    run = open_run(out)
    if how == "json":
        print(to_json([_summary(run, ended)]))
        return
    _print_result(run, ended, seconds)


def draw_front(run: Run, path: str | Path) -> Path:
    """Draws the run's front beside its reference designs."""
    from gas.report.figures import plot_front

    objectives = run.objectives
    if len(objectives) == 1:  # what the one objective costs
        objectives += (Objective("params" if objectives[0].metric == "macs" else "macs"),)
    frame, front = run.frame(), run.front(objectives)
    chosen, _ = run.choice()
    return plot_front(
        frame,
        front,
        objectives,
        path=path,
        references=[{"name": name, **metrics} for name, (_, metrics) in run.references.items() if metrics],
        constraints=run.bounds,
        chosen=run.row(chosen),
        title=f"{run.space.name}: {len(frame[frame['status'] == 'ok'])} designs, {len(front)} on the front",
    )


def show_zoo(part: str, *, sort: str, how: str, csv: str | None) -> None:
    """`gas zoo`: prints the designs of the zoo, or writes them as CSV."""
    from gas.report.zoo import COLUMNS, NOTES, SORTS, printed, zoo_rows

    if sort not in SORTS:
        raise SettingError(f"sort: {describe(sort, 'one of ' + ', '.join(SORTS), known=SORTS)}")
    rows = zoo_rows(part, sort=sort)
    if csv is not None:
        write_text(to_csv(rows), None if csv == "-" else csv)
    elif how == "text":
        show(printed(rows), COLUMNS, notes=NOTES)
    else:
        show(rows, how=how)


def write_text(text: str, out: str | None) -> None:
    """Prints a text, or writes it to a file and says so."""
    if out is None:
        print(text)
        return
    try:
        Path(out).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"{out}: cannot be written: {error.strerror}") from error
    print(f"wrote {out}")


def block_rows(designs: Sequence[Architecture]) -> list[dict[str, Any]]:
    """One row per block of each design, in order, with the design's name and id before it."""
    from gas.exports.rows import design_rows

    return [{"design": d.name or d.id, "id": d.id, **row} for d in designs for row in design_rows(d)]


def cost_rows(designs: Sequence[Architecture], *, trace: bool, batches: Sequence[int] = ()) -> list[dict[str, Any]]:
    """macs and params per design, folded too (None where nothing folds).

    With `trace` also what torch's counter and fvcore find on the built module; with `batches` a row for each of them,
    with the memory that a batch takes.
    """
    from gas.costs import cost, folded_count, fvcore_count, traced_count

    rows = []
    for design in designs:
        exact = cost(design)
        row: dict[str, Any] = {"name": design.name or design.id, "id": design.id}
        row |= {"params": exact.params, "macs": exact.macs}
        folded = folded_count(design)
        row |= {"params_folded": folded and folded.cost.params, "macs_folded": folded and folded.cost.macs}
        if trace:
            traced, counted = traced_count(design), fvcore_count(design)
            row |= {"params_traced": traced.cost.params, "macs_traced": traced.cost.macs}
            row |= {"macs_fvcore": counted.total, "fvcore_norms": counted.norms}
            row |= {"fvcore_lacks_attention": counted.fused_attention}
        rows += [row | _memory_row(design, batch) for batch in batches] or [row]
    return rows


def _memory_row(design: Architecture, batch: int) -> dict[str, Any]:
    """Weights, peak and both together for a batch, MiB."""
    from gas.costs import memory

    held = memory(design, batch)
    return {"batch": batch, "weights_mib": held.weights_mib, "peak_mib": held.peak_mib, "memory_mib": held.mib}


def show_costs(designs: Sequence[Architecture], *, trace: bool, batches: Sequence[int] = (), how: str) -> None:
    """Prints `cost_rows`; people see what folding changes only where it changes something."""
    rows = cost_rows(designs, trace=trace, batches=batches)
    folds = any(row["macs_folded"] is not None for row in rows)
    columns = [key for key in rows[0] if folds or not key.endswith("_folded")]
    show(rows, columns, how=how, notes=[FOLDED_NOTE] * folds + [MEMORY_NOTE] * bool(batches))


def profile_command(
    space: str,
    target: str,
    *,
    batch: int,
    threads: int,
    designs: int,
    seconds: float,
    seed: int,
    out: str | None,
    how: str,
) -> None:
    """`gas profile`."""
    from gas.costs import LatencyTable
    from gas.costs.targets import create
    from gas.report.profiles import run_profile
    from gas.space import load_space

    table = LatencyTable.on(create(target, batch=batch, threads=threads), seconds=seconds)
    run_profile(load_space(space), table, designs=designs, seed=seed, out=out, how=how)


def export_command(
    words: Sequence[str],
    out: str,
    *,
    name: str | None,
    overwrite: bool,
    seed: int,
    fold: bool = True,
    formats: Sequence[str] = (),
) -> None:
    """`gas export`: writes one design and says what was written, and why that design."""
    from gas.exports import export_design
    from gas.run import export
    from gas.space import load

    options: dict[str, Any] = {"overwrite": overwrite, "seed": seed, "fold": fold} | ({"name": name} if name else {})
    options |= {"formats": formats}
    first, *rest = words
    command = f"gas export {shlex.join(words)} --out {shlex.quote(out)}" + " --no-fold" * (not fold)
    command += "".join(f" --{part}" for part in formats)
    if Path(first).is_dir():
        if len(rest) != 1:
            raise SettingError(f"{first}: got {len(rest)} ids behind a run; expected one, such as {first} best")
        run = open_run(first)
        if rest[0] in RULES:
            print(f"chosen: {run.choice(rest[0])[1]}")
        result = export(run, out, which=rest[0], command=command, **options)
    else:
        if rest:
            raise SettingError(f"export: got {len(words)} designs; expected one")
        result = export_design(load(first), out, facts={"command": command}, **options)
    _print_export(result, f" (seed {seed})")


def export_trained_command(architecture: Architecture, out: str, weights: str, command: str, **options: Any) -> None:
    """`gas export --weights`: writes a design with weights that are there already."""
    from gas.exports import export_trained

    _print_export(export_trained(architecture, weights, out, facts={"command": command}, **options))


def _print_export(result: Any, seed: str = "") -> None:
    from gas.exports import other_words

    for path in result.paths:
        print(f"wrote {path}")
    kind = "the weights given" if result.trained else f"untrained weights{seed}"
    print(f"checked in a fresh process without gas: outputs differ by {result.difference:g} at most; {kind}")
    if result.folded_difference is not None:
        print(f"folded for inference by its function load: outputs differ by {result.folded_difference:.2g} relative")
    for line in other_words(result):
        print(line)


def _watcher(bar: SearchProgress | None) -> Any:
    def watch(state: Progress) -> None:
        if bar is None or (not state.proposed and not sys.stderr.isatty()):
            return  # a log begins with the first candidate; what cannot even begin is told in one line
        known = {
            name: None if math.isnan(value) else value
            for name, value in (
                ("feasible_share", state.feasible_share),
                ("best", state.best),
                ("hypervolume", state.hypervolume),
                ("seconds_left", state.seconds_left),
            )
        }
        note = state.note or (f"{state.stopped} stopped early" if state.stopped else "")
        bar.update(state.done, state.total, in_flight=state.in_flight, note=note, **known)

    return watch


def _print_result(run: Run, ended: str, seconds: float) -> None:
    front, frame = run.front(), run.frame()
    states = ", ".join(f"{count} {status}" for status, count in frame["status"].value_counts().items())
    why = {"budget": "the budget is spent", "time": "the time is up", "exhausted": "there is nothing left to propose"}
    came = f"{len(frame)} candidates" + f" ({states})" * bool(states)
    print(f"{run.space.name}: {came} in {seconds:.0f} s; {why[ended]}")
    print(f"led by {run.settings.proxy}: {run.record['proxy'].get('why', 'as asked for')}")
    quoted = shlex.quote(str(run.path))
    if front.empty:
        why_none = "".join(f"; {text}" for text in _unmet(run, frame))
        some = (frame["status"] == "ok").any()
        what = "no design meets every constraint as measured" if some else "no design was evaluated with success"
        raise GasError(f"{run.path}: {what}{why_none}; see: gas front {quoted} --all")
    more = f"; the first {FRONT_ROWS} of {len(front)}" if len(front) > FRONT_ROWS else ""
    unsaid = {"origin"} | (set() if run.measured_constraints else {"verified"})
    columns = [c for c in front_columns(run, front) if c.key not in unsaid]
    print()
    notes = _agreement(run, frame) + _second_opinion(run, front)
    notes += latency_notes(frame, run.latency_interval, run.reference_ms)
    title = "Pareto front" if len(run.objectives) > 1 else f"Best {run.objectives[0].metric}"
    show(front.head(FRONT_ROWS), columns, title=f"{title}{more}", notes=notes)
    chosen, reason = run.choice()
    rows = _comparison(run, chosen)
    print()
    columns = [c for c in compare_columns(rows) if any(row.get(c.key) is not None for row in rows)]
    columns = columns if len(rows) > 1 else [c for c in columns if c.kind != "ratio"]
    show(
        rows, columns, title="The chosen design beside the reference designs" if len(rows) > 1 else "The chosen design"
    )
    print(f"chosen: {reason}")
    for path in _written(run):
        print(f"wrote {path}")
    print(f"next: gas report {quoted}; gas show {quoted} best; gas export {quoted} best --out out")


def _unmet(run: Run, frame: pd.DataFrame) -> list[str]:
    """The bounds that no candidate met, each with the value that came nearest."""
    told = []
    for bound in dict.fromkeys((*run.bounds, *run.measured_constraints)):
        values = frame[bound.metric].dropna().astype(float).tolist() if bound.metric in frame else []
        if values and all(bound.violation(value) > 0 for value in values):
            nearest = min(values, key=bound.violation)
            told.append(f"none of {len(values)} candidates has {bound}, the nearest has {nearest:.6g}")
    return told


def _comparison(run: Run, chosen: Architecture) -> list[dict[str, Any]]:
    """The chosen design and the references: costs, latency measured alike, proxy."""
    from gas.costs import cost

    latencies = run.measured_latencies()
    rows = []
    for name, design, metrics in (
        ("chosen", chosen, run.row(chosen)),
        *((name, design, metrics) for name, (design, metrics) in run.references.items()),
    ):
        exact = cost(design)
        row = {"name": name, "params": exact.params, "macs": exact.macs}
        row |= {"memory_mib": metrics["memory_mib"]} if "memory_mib" in metrics else {}
        row |= {"latency_ms": latencies[design.id]} if design.id in latencies else {}
        told = [o.metric for o in run.objectives if run.utility] + [run.settings.proxy, ESTIMATE]
        rows.append(row | {name: float(metrics[name]) for name in told if name in metrics})
    return compare_rows(rows[0], rows[1:])


def _agreement(run: Run, frame: pd.DataFrame) -> list[str]:
    """How the proxy ranks the run's random designs against their size: what it adds to counting parameters."""
    from scipy.stats import kendalltau

    proxy = run.settings.proxy
    rows = frame[(frame["status"] == "ok") & (frame["origin"] == "random")]
    if proxy not in rows or len(rows) < 8:
        return []
    taus = {size: kendalltau(rows[proxy], rows[size].astype(float)).statistic for size in ("params", "macs")}
    told = " and ".join(f"{value:.2f} with {size}" for size, value in taus.items() if value == value)
    return [f"{proxy} on {len(rows)} random designs of this run, all within the bounds: Kendall {told}"]


def _second_opinion(run: Run, front: pd.DataFrame) -> list[str]:
    """What the check says of the front: how far it agrees with what led there, and what it likes best."""
    from scipy.stats import kendalltau

    name, lead = run.checks.proxy, run.objectives[0].metric
    rows = front[front[name].notna()] if name in front else front[:0]
    if rows.empty:
        return []
    tau = kendalltau(rows[name], rows[lead]).statistic if len(rows) > 2 else math.nan
    agrees = f": Kendall {tau:.2f} with {lead}" if tau == tau else ""
    first = rows.loc[rows[name].idxmax(), "id"]
    return [f"{name} looked at {len(rows)} designs of the front{agrees}; highest is {first} (`checked`)"]


def _written(run: Run) -> list[Path]:
    try:
        draw_front(run, run.path / "front.png")
    except SettingError as error:
        print(f"no figure: {error}", file=sys.stderr)
    told = {"reference_ms": run.reference_ms, "title": run.latency_words}
    plot_latency(run.frame(), run.latency_interval, run.path / "latency.png", **told)
    files = ("archive.sqlite", "checks.json", "front.csv", "front.png", "latency.png", "log.txt", "profile.json")
    files += ("prototypes.json", "references.json", "run.json", "space.yaml")
    return [run.path / name for name in files if (run.path / name).exists()]


def _summary(run: Run, ended: str) -> dict[str, Any]:
    chosen, reason = run.choice()
    return {
        "run": str(run.path),
        "ended": ended,
        "candidates": len(run.frame()),
        "front": list(run.front()["id"]),
        "chosen": chosen.id,
        "reason": reason,
    }
