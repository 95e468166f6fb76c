"""Commands that search, and that prepare a search."""

from __future__ import annotations

from typing import Any

import click

from gas.cli.app import cli, how_csv, how_json

# What the registry and Settings say, for the help, which shall not load them; a test holds them equal.
GENERATORS, GENERATOR = ("random", "evolution", "tpe", "nsga2", "inquisitor"), "inquisitor"


@cli.command()
@click.option("--space", help="Search space: a path or a bundled name, such as turbovit.yaml or tiny.yaml.")
@click.option("--out", help="Directory of the run [default: runs/NAME-OF-THE-SPACE].")
@click.option("--budget", type=int, help="Evaluations in all [default: 40, or 300 where nothing is trained].")
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
@click.option("--proxy", help="What stands in for accuracy [default: see docs/searching.md].")
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
@click.option("--tensorboard/--no-tensorboard", default=None, help="Write event files for TensorBoard into the run.")
@click.option("--mlflow", metavar="URI", help="Tell MLflow at this address too; none to stop that.")
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
