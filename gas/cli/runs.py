"""Commands on runs."""

from __future__ import annotations

import click

from gas.cli.app import cli, how_csv, how_json


@cli.command()
@click.argument("run")
@how_json
@how_csv
@click.option("--plot", metavar="FILE", help="Draw the front into a .png, .svg or .pdf file.")
@click.option("--all", "everything", is_flag=True, help="Every evaluation, not the front alone.")
def front(run: str, how: str | None, plot: str | None, everything: bool) -> None:
    """Print the Pareto front of a run."""
    from gas.commands import draw_front, front_columns, front_notes
    from gas.report.tables import show as show_table
    from gas.run import open_run

    opened = open_run(run)
    rows = opened.frame() if everything else opened.front()
    if plot:
        click.echo(f"wrote {draw_front(opened, plot)}", err=True)
    show_table(rows, front_columns(opened, rows), how=how or "text", notes=front_notes(rows, opened.settings.batch))
