"""The command line. Each command imports what it needs when it runs, so `gas --help` answers at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gas.errors import GasError, SettingError, describe
from gas.report.terminal import INTERRUPTED, Commands, complain, usage

if TYPE_CHECKING:
    from gas.architecture import Architecture
    from gas.run import Run

# What the registry and Settings say, for the help, which shall not load them; a test holds them equal.
GENERATORS, GENERATOR = ("random", "evolution", "tpe", "nsga2", "inquisitor"), "inquisitor"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gas", prog_name="gas")
def cli() -> None:
    """Generative architecture search for fast vision transformers.

    A DESIGN is a zoo name (hiera_tiny), a YAML file, or RUN ID: a run's directory and a content id, a candidate's
    number, `best`, `checked` or `knee`. Macs are multiply-adds, which papers call FLOPs.
    """


how_json = click.option("--json", "how", flag_value="json", help="Print JSON.")
how_csv = click.option("--csv", "how", flag_value="csv", help="Print CSV.")


@cli.command()
@click.option("--space", help="Search space: a path or a bundled name, such as turbovit.yaml or tiny.yaml.")
@click.option("--out", help="Directory of the run [default: runs/NAME-OF-THE-SPACE].")
@click.option("--budget", type=int, help="Evaluations in all [default: 40].")
@click.option("--time", "time_limit", help="Wall time in all, such as 90s, 10m, 2h, or none [default: 5m].")
@click.option("--workers", help="Evaluations at once, or auto [default: auto, which fits the cores, or the cluster].")
@click.option("--worker-threads", type=int, help="CPU threads of each worker [default: 1].")
@click.option("--worker-gpus", type=float, help="GPUs of each worker, or its share of one [default: 0].")
@click.option("--retries", type=int, help="Further attempts at a candidate whose worker died [default: 1].")
@click.option("--seed", type=int, help="Seed of all that is drawn [default: 0].")
@click.option("--generator", help=f"How designs are proposed: {', '.join(GENERATORS)} [default: {GENERATOR}].")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the generator.")
@click.option("--utility", metavar="U", help='What to maximise instead: netscore, or as in "proxy - 2 * log10(macs)".')
@click.option("--from", "prototypes", multiple=True, metavar="DESIGN", help="A design to start from; RUN:ID in a run.")
@click.option("--proxy", help="What stands in for accuracy [default: blend].")
@click.option("--check", metavar="PROXY", help="Score that looks at the front once the search is over; or none.")
@click.option("--data", help="The proxy's images: digits, procedural, contours or a folder [default: the proxy's own].")
@click.option("--fidelity", "fidelity", multiple=True, metavar="NAME=VALUE", help="A field of the proxy's fidelity.")
@click.option("--bank", metavar="DIR", help="A bank of gas train-bank, for the proxy shared_weights.")
@click.option("--ladder", metavar="STEPS,...", help="Train in rungs, and stop who is not the best 1 in eta.")
@click.option("--eta", type=float, help="One design in so many goes on from each rung [default: 2].")
@click.option("--ray-address", "address", help="A running Ray cluster [default: Ray is started here].")
@click.option("--target", help="What latency is measured on [default: cpu_eager].")
@click.option("--batch", type=int, help="Images per call for latency and memory [default: 1].")
@click.option("--threads", type=int, help="CPU threads when latency is measured [default: 1].")
@click.option("--profile", help="A file of gas profile, auto or none [default: auto, which takes one made before].")
@click.option("--foreign-profile", is_flag=True, default=None, help="Take --profile from another machine or version.")
@click.option("--limit", "limit", help="Time limit of one evaluation [default: 5m].")
@click.option("--memory", "memory_mib", type=int, help="Memory limit of one evaluation, MiB: no bound on designs.")
@click.option("--compare", multiple=True, metavar="DESIGN", help="A design to show the chosen one beside.")
@click.option("--resume", metavar="RUN", help="Go on with this run.")
@click.option("--resume-if-exists", is_flag=True, help="Go on with the run in --out where there is one.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@how_json
def search(**given: Any) -> None:
    """Search a space for the Pareto front of its designs.

    Proposes designs within the constraints and scores them with a proxy, then measures the front and names the chosen
    design. With --utility the one design that is best by it. Ctrl-C leaves a run that --resume continues.
    """
    from gas.commands import run_search

    run_search(given)


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
@click.option("--out", help="File to write; standard output where not given.")
def schema(out: str | None) -> None:
    """Write the JSON Schema of space files, for editors."""
    import json

    from gas.commands import write_text
    from gas.space.schema import json_schema

    write_text(json.dumps(json_schema(), indent=1), out)


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
        show_probes(_meant(design), how=how or "text")
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

    sizes = [_positive("batch", part) for part in batch.split(",")] if batch is not None else []
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

    sizes, counts = ([_positive(name, part) for part in given[name].split(",")] for name in ("batch", "threads"))
    targets = [name.strip() for name in given["target"].split(",")]
    rest = {key: given[key] for key in ("seconds", "channels_last", "profile")} | {"how": how or "text"}
    show_latencies(designs_of(design), targets=targets, batches=sizes, threads=counts, **rest)


@cli.command()
@click.option("--space", required=True, help="Search space: a path or a bundled name.")
@click.option("--target", default="cpu_eager", show_default=True, help="What to measure on.")
@click.option("--batch", default=1, show_default=True, help="Images per call.")
@click.option("--threads", default=1, show_default=True, help="CPU threads.")
@click.option("--designs", default=96, show_default=True, help="Designs to measure whole, from 16.")
@click.option("--seconds", default=0.08, show_default=True, type=click.FloatRange(0.001), help="Time for each piece.")
@click.option("--seed", default=0, show_default=True, help="Seed of the designs that are measured whole.")
@click.option("--out", help="File to write [default: where gas search looks for it].")
@how_json
@how_csv
def profile(space: str, target: str, batch: int, threads: int, designs: int, how: str | None, **rest: Any) -> None:
    """Measure the pieces of a space, to predict latencies.

    Measures every distinct piece (a mixer, a channel mixer, an entry, ...) and some whole designs, and learns from
    these what the sum over pieces misses. What was measured is kept: the same command goes on where it was cut off.
    A search over the space on the same target then predicts latencies with an interval.
    """
    from gas.commands import profile_command

    profile_command(space, target, batch=batch, threads=threads, designs=designs, how=how or "text", **rest)


@cli.command("train-bank")
@click.argument("space")
@click.option("--out", required=True, metavar="DIR", help="Folder of the bank.")
@click.option("--steps", type=click.IntRange(1), help="Training steps [default: 3000].")
@click.option("--batch", type=click.IntRange(1), help="Images per step [default: 64].")
@click.option("--data", help="Images: digits, procedural, contours, or a folder [default: digits].")
@click.option("--fidelity", multiple=True, metavar="NAME=VALUE", help="A field of the fidelity, as for gas search.")
@click.option("--seed", type=int, help="Seed of the data, the weights and the designs of each step [default: 0].")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes that share a batch.")
@click.option("--ray-address", "address", help="A running Ray cluster [default: Ray is started here].")
@click.option("--resume", is_flag=True, help="Go on with the bank in --out.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@how_json
def train_bank(space: str, out: str, fidelity: tuple[str, ...], **given: Any) -> None:
    """Train weights that all designs of SPACE share.

    A search with --proxy shared_weights --bank DIR then scores a design without training it. Every step trains the
    largest design, the smallest and two drawn ones. Ctrl-C leaves a bank that --resume continues.
    """
    from gas.arguments import pairs
    from gas.report.banks import run_training

    run_training(space, out, fidelity=pairs("fidelity", fidelity), **given)


@cli.command("validate-proxies")
@click.argument("space", required=False)
@click.option("--designs", default=60, show_default=True, help="Designs to draw from the space, and to train.")
@click.option("--data", help="Images to train them on: digits, procedural, contours, or a folder [default: digits].")
@click.option("--fidelity", multiple=True, metavar="NAME=VALUE", help="A field of the recipe that they are trained by.")
@click.option("--seeds-again", "again", default=10, show_default=True, help="Designs to train with two more seeds.")
@click.option("--proxies", metavar="A,B", help="The proxies to validate [default: all that can be].")
@click.option("--combine", multiple=True, metavar="A+B", help="Validate the mean of scores too.")
@click.option("--band", metavar="BAND", help="Draw at nearly equal cost: macs=0.1 or macs=2.7M..3.3M.")
@click.option("--bands", metavar="N", help="Bands of macs to compare within: how many, or edges such as 1G,2.5G.")
@click.option("--time", "time_limit", default="1h", show_default=True, help="Wall time, such as 20m, 2h, or none.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Trainings at once.")
@click.option("--ray-address", "address", help="A running Ray cluster [default: Ray is started here].")
@click.option("--truth", metavar="FILE", help="A CSV of designs and what they reached, in place of training.")
@click.option("--column", default="accuracy", show_default=True, help="Its column of the truth.")
@click.option("--out", metavar="DIR", help="Folder of the results [default: evidence/NAME-OF-THE-SPACE].")
@click.option("--seed", default=0, show_default=True, help="Seed of the designs, the data and the scores.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@how_json
@how_csv
def validate_proxies(space: str | None, time_limit: str, **given: Any) -> None:
    """Find out which proxies can be trusted in SPACE.

    Draws designs, scores them with every proxy, trains each in full, and tells how well every score ranks them at equal
    macs, beside counts of parameters and macs. The same command goes on where it was cut off.
    """
    from gas.arguments import validation_of
    from gas.report.evidence import run_validation

    run_validation(space, **validation_of(given, time_limit))


@cli.command()
@click.argument("design", nargs=-1, required=True)
@click.option("--out", required=True, help="Folder to write to.")
@click.option("--name", help="Name of the files [default: the design's].")
@click.option("--overwrite", is_flag=True, help="Replace files of that name.")
@click.option("--seed", default=0, show_default=True, help="Seed of the initial weights.")
@click.option("--no-fold", is_flag=True, help="Leave out the form folded for inference.")
def export(design: tuple[str, ...], out: str, name: str | None, overwrite: bool, seed: int, no_fold: bool) -> None:
    """Write a DESIGN as a standalone PyTorch file.

    With weights, the design as YAML and a model card; then checks that the file gives the same output without gas. The
    file builds the form to train and, where something in it folds for inference, loads the folded one to deploy.
    """
    from gas.commands import export_command

    export_command(design, out, name=name, overwrite=overwrite, seed=seed, fold=not no_fold)


def designs_of(words: Sequence[str]) -> list[Architecture]:
    """The designs that words on the command line mean: names and files, and pairs of a run and an id."""
    return [design for design, _ in _meant(words)]


def _meant(words: Sequence[str]) -> list[tuple[Architecture, Run | None]]:
    """The designs that words mean, each with the run that it is of."""
    from pathlib import Path

    from gas.run import open_run
    from gas.space import load

    found, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not Path(word).is_dir():
            found.append((load(word), None))
            continue
        run = open_run(word)
        if not rest:
            raise SettingError(f"{word}: got a run alone; expected an id behind it, such as {word} best")
        found.append((run.architecture(rest.pop(0)), run))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0 fine, 2 something the user can put right, 130 interrupted."""
    # Whoever asks a search to end wants its bookkeeping done, by whatever signal they ask.
    with contextlib.suppress(ValueError):  # raised where this is not the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = cli.main(args=arguments, prog_name="gas", standalone_mode=False)
        sys.stdout.flush()  # here, where it can still be told that nobody reads
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return complain(usage(error))
    except GasError as error:
        return complain(str(error))
    except (KeyboardInterrupt, click.Abort):
        click.echo("gas: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone. Python will flush once more at its end, and may do so into the void.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _positive(name: str, text: str) -> int:
    if not text.strip().isdigit() or int(text) < 1:
        raise SettingError(f"{name}: {describe(text, 'a whole number from 1')}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
