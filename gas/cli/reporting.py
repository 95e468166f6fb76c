"""Commands that show a run as a whole: a page to read, and a running search as it goes on."""

from __future__ import annotations

import click

from gas.cli.app import cli


@cli.command()
@click.argument("run")
@click.option("--out", metavar="FILE", help="File to write [default: report.html in the run's folder].")
@click.option("--static", metavar="DIR", help="Folder for each figure as PNG and SVG.")
@click.option("--overwrite", is_flag=True, help="Replace files of --out and --static.")
def report(run: str, out: str | None, static: str | None, overwrite: bool) -> None:
    """Write a run as one HTML page to look through.

    It opens without a network: the front as an interactive plot and as a table, its progress, the decisions and which
    of them mattered, predicted against measured latency, where probes saw waste, the chosen design as a picture,
    failures, settings. A search that is still running is shown as far as it is.
    """
    from gas.report.html.command import report_command

    for file in report_command(run, out, static, overwrite=overwrite):
        click.echo(f"wrote {file}")


@cli.command()
@click.argument("run")
@click.option("--every", default="2s", show_default=True, help="Time between two looks at the run.")
@click.option("--once", is_flag=True, help="Print how it stands and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print JSON.")
def watch(run: str, every: str, once: bool, as_json: bool) -> None:
    """Watch a search until it is over, or until Ctrl-C.

    Evaluations, best so far, the front, hypervolume, rate, failures: live on a terminal; where piped, how it stands and
    then a line for every change. It only reads: the search may run in another process, or be over.
    """
    from gas.report.watch import watch_run

    watch_run(run, every=every, once=once, as_json=as_json)
