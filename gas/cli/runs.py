"""Commands on runs."""

from __future__ import annotations

from typing import Any

import click

from gas.cli.app import cli, how_csv, how_json


@cli.command()
@click.argument("run")
@click.option(
    "--where", default="", metavar="CONDITION", help='Designs to be the front of: "params < 12M and macs < 2G".'
)
@click.option("--sort", default="", metavar="COLUMN", help="Order by a column, the better end first.")
@click.option("--ascending/--descending", default=None, help="Order --sort from the least, or from the greatest.")
@click.option(
    "--weights", metavar="M=W,...", help="Order by the sum of weight x metric, each scaled to the front's range."
)
@click.option("--knees", type=click.IntRange(1), metavar="N", help="The N most pronounced knees of the front alone.")
@click.option("--choose", metavar="RULE", help="Choose and keep: best, checked, knee, or weights with --weights.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Print N designs at most.")
@how_json
@how_csv
@click.option("--plot", metavar="FILE", help="Draw the front into a .png, .svg or .pdf file.")
@click.option("--all", "everything", is_flag=True, help="Every evaluation, not the front alone.")
def front(run: str, how: str | None, plot: str | None, weights: str | None, choose: str | None, **asked: Any) -> None:
    """Print the Pareto front of a run, and choose from it.

    With --where the front among the designs that meet a CONDITION: comparisons of columns with and, or, not, in. A
    column may be called as the space calls it (latency), numbers may have units (12M, 10ms), text stands in quotes; a
    design of which a column is not known (latency is measured on the front alone) is left out, and that is said.

    With --choose the choice and its reason are kept in the run: from then on `gas show RUN chosen` and `gas export RUN
    chosen` mean it. The rules: `best`, highest in the first objective; `checked`, highest by the second proxy; `knee`,
    the least sum of objectives, each scaled to the front's range; `weights`, that sum with --weights. Designs that meet
    every constraint as measured come before all others.
    """
    from gas.arguments import pairs
    from gas.commands import draw_front
    from gas.report.fronts import show_front
    from gas.run import open_run

    opened = open_run(run)
    wanted = pairs("weights", (weights,)) if weights else None
    show_front(opened, how=how or "text", choose=choose or "", weights=wanted, **asked)
    if plot:
        click.echo(f"wrote {draw_front(opened, plot)}", err=True)


@cli.command()
@click.argument("run", nargs=-1, required=True)
@click.option("--out", metavar="DIR", help="Folder for the tables, and figures as PNG and as a page of HTML.")
@click.option("--overwrite", is_flag=True, help="Replace those that are there.")
@click.option("--reach", default="90,99", show_default=True, help="Percentages of the greatest hypervolume.")
@how_json
@how_csv
def compare(run: tuple[str, ...], out: str | None, overwrite: bool, reach: str, how: str | None) -> None:
    """Compare runs that search for the same.

    Front size, hypervolume on a common scale, evaluations to --reach percent of the greatest, the best of each
    objective, what each run gives to the front of all together, time. Runs whose metrics do not mean the same (another
    proxy, fidelity, data or target) are refused; seeds, spaces and generators may differ.
    """
    from gas.cli.app import shares
    from gas.report.comparing import show_comparison

    show_comparison(run, out=out, overwrite=overwrite, how=how or "text", reach=shares("reach", reach))


@cli.command()
@click.argument("run", nargs=-1, required=True)
@click.option("--out", required=True, metavar="RUN", help="Directory of the new run.")
def merge(run: tuple[str, ...], out: str) -> None:
    """Make one run of several over the same space.

    With every evaluation of all of them; of a design that several evaluated, the first that is ok. Objectives, proxy,
    fidelity and target must be the same. The new run is there to look at, to choose and export from; it cannot be
    resumed, because no search led to it.
    """
    import shlex

    from gas.merging import merge

    merged = merge(run, out)
    for name, count in merged.kept.items():
        click.echo(f"{name}: {count} candidates")
    for what, count in merged.dropped.items():
        click.echo(f"left out: {count} {what}")
    for note in merged.notes:
        click.echo(f"note: {note}")
    click.echo(f"wrote {out}")
    click.echo(f"next: gas front {shlex.quote(out)}")


@cli.command("to-optuna")
@click.argument("run")
@click.argument("storage")
@click.option("--study", metavar="NAME", help="Name of the study [default: that of the run's directory].")
def to_optuna(run: str, storage: str, study: str | None) -> None:
    """Write a run as a study of Optuna.

    STORAGE is a database such as sqlite:///runs.db, or a journal, whose name ends in .log or .journal. Decisions become
    parameters, objectives values, bounds constraints: optuna-dashboard STORAGE shows it, and the best trials that
    Optuna finds there are the front of the run. A study of that name there already is refused.
    """
    from gas.handover import to_optuna
    from gas.run import open_run

    written = to_optuna(open_run(run), storage, study=study)
    states = ", ".join(f"{count} {state}" for state, count in written.states.items())
    click.echo(f"wrote study {written.study} to {storage}: {sum(written.states.values())} trials ({states})")
    for what, count in written.left_out.items():
        click.echo(f"left out: {count} candidates {what}")
    click.echo(f"next: optuna-dashboard {storage}")
