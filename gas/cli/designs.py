"""Commands on spaces and designs."""

from __future__ import annotations

from typing import Any

import click

from gas.cli.app import cli, designs_of, how_csv, how_json, meant, positive


@cli.command()
@click.argument("space")
@click.option("--designs", default=3, show_default=True, type=click.IntRange(0, 1000), help="Examples to draw.")
@click.option("--seed", default=0, show_default=True, help="Seed of the examples.")
@click.option("--exact", is_flag=True, help="Count the designs within the bounds even where that takes a minute.")
@how_json
def check(space: str, designs: int, seed: int, exact: bool, how: str | None) -> None:
    """Check a search space and say what it is.

    Its decisions, exact number of designs, cost range, number of designs within the bounds, and examples.
    """
    from gas.report.spaces import show_space
    from gas.space import load_space

    show_space(load_space(space), examples=designs, seed=seed, how=how or "text", exact=exact)


@cli.command()
@click.option("--out", help="File to write; standard output where not given.")
@click.option("--markdown", is_flag=True, help="The same for people: every key and pattern, as in docs/language.md.")
def schema(out: str | None, markdown: bool) -> None:
    """Write the JSON Schema of space files, for editors."""
    import json

    from gas.commands import write_text
    from gas.report.language import reference
    from gas.space.schema import json_schema

    write_text(reference(json_schema()) if markdown else json.dumps(json_schema(), indent=1), out)


@cli.command()
@click.argument("part", default="")
@click.option("--sort", default="name", show_default=True, help="By name, params, macs or top1.")
@how_json
@click.option("--csv", metavar="FILE", help="Write CSV to a file; - for standard output.")
def zoo(part: str, sort: str, how: str | None, csv: str | None) -> None:
    """List the zoo's designs, or those whose names hold PART.

    With their costs, what was published about them, and how the tests hold them against their public code.
    """
    from gas.commands import show_zoo

    show_zoo(part, sort=sort, how=how or "text", csv=csv)


@cli.command()
@click.argument("design", nargs=-1, required=True)
@click.option("--probes", is_flag=True, help="Print what probing the built design finds.")
@how_json
@how_csv
def show(design: tuple[str, ...], probes: bool, how: str | None) -> None:
    """Print a DESIGN block by block with its costs.

    With --probes instead what its blocks do with images (saliency, effective rank, similarity, attention entropy) and
    what they cost, and by stage where capacity is wasted and where it is short: as found when a run evaluated the
    design, or else now, with random weights.
    """
    from gas.commands import block_rows
    from gas.report.designs import show_design
    from gas.report.probes import show_probes
    from gas.report.tables import show as show_table

    if probes:
        show_probes(meant(design), how=how or "text")
        return
    designs = designs_of(design)
    if how:
        show_table(block_rows(designs), how=how)
        return
    for number, architecture in enumerate(designs):
        click.echo("\n" * (number > 0), nl=False)
        show_design(architecture)


@cli.command()
@click.argument("design", nargs=-1, required=True)
@click.option("--trace", is_flag=True, help="Count on the built module too, with torch's counter and with fvcore.")
@click.option("--batch", help="Print memory too, for batches of this size; several: 1,16.")
@how_json
@how_csv
def cost(design: tuple[str, ...], trace: bool, batch: str | None, how: str | None) -> None:
    """Print exact macs and params of DESIGNs.

    As they are trained, and where norms or branches fold into the layers beside them, folded for inference too. With
    --batch also the memory of a forward pass on the CPU, folded: weights, and the most that is alive at once beside
    them, images included.
    """
    from gas.commands import show_costs

    sizes = [positive("batch", part) for part in batch.split(",")] if batch is not None else []
    show_costs(designs_of(design), trace=trace, batches=sizes, how=how or "text")


@cli.command()
@click.argument("design", nargs=-1, required=True)
@click.option("--distilled", is_flag=True, help="For a training with a teacher, not for a plain one.")
@how_json
@how_csv
def estimate(design: tuple[str, ...], distilled: bool, how: str | None) -> None:
    """Estimate DESIGNs' ImageNet-1k top-1, with an interval.

    From what published networks of like structure reached; nothing is trained. Says which networks are nearest, and
    when a design is unlike all of them; of one that is very unlike them it says nothing but why.
    """
    from gas.report.estimates import show_estimates

    show_estimates(designs_of(design), distilled=distilled, how=how or "text")


@cli.command()
@click.argument("design", nargs=-1, required=True)
@click.option("--target", default="cpu_eager", show_default=True, help="What to measure on; several: a,b.")
@click.option("--batch", default="1", show_default=True, help="Images per call; several: 1,16.")
@click.option("--threads", default="1", show_default=True, help="CPU threads; several: 1,2.")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.1), help="Time for each setting.")
@click.option("--channels-last/--no-channels-last", default=None, help="Memory format of maps [default: the target's].")
@click.option("--profile", help="A file of gas profile, whose predictions are printed beside.")
@how_json
@how_csv
def latency(design: tuple[str, ...], how: str | None, **given: Any) -> None:
    """Measure the latency of DESIGNs.

    They are measured folded for inference (norms and branches in the convolutions beside them), as they are deployed.
    They are measured in turns, so that their ratios (to the first) mean something on a machine that is not quiet.
    Targets: cpu_compiled, cpu_eager, cpu_onnxruntime, cuda_eager, cuda_graphs.
    """
    from gas.report.latencies import show_latencies

    sizes, counts = ([positive(name, part) for part in given[name].split(",")] for name in ("batch", "threads"))
    targets = [name.strip() for name in given["target"].split(",")]
    rest = {key: given[key] for key in ("seconds", "channels_last", "profile")} | {"how": how or "text"}
    show_latencies(designs_of(design), targets=targets, batches=sizes, threads=counts, **rest)
