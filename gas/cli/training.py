"""The command that trains a design."""

from __future__ import annotations

from typing import Any

import click

from gas.cli.app import cli


@cli.command()
@click.argument("design", nargs=-1)
@click.option("--data", help="digits, procedural, contours, or a folder: train/CLASS/* with val/CLASS/*, or CLASS/*.")
@click.option("--recipe", help="quick, imagenet_300ep, or a YAML file [default: quick].")
@click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE", help="A field of the recipe; several times.")
@click.option("--out", metavar="DIR", help="Folder of the training.")
@click.option("--resume", is_flag=True, help="Go on with the training in --out; nothing else needs to be said.")
@click.option("--overwrite", is_flag=True, help="Replace the training in --out.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes, on Ray from 2 on.")
@click.option("--ray-address", metavar="A", help="Ray cluster, whose nodes all see --out and the data.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(0), help="Of a process; 0: torch's own.")
@click.option("--loaders", type=click.IntRange(0), help="Processes that decode a folder's images [default: the cores].")
@click.option("--teacher", metavar="T", help="DESIGN+WEIGHTS.safetensors, or a model of timm, to distil from.")
@click.option("--init", metavar="FILE", help="Safetensors weights to begin from, or to look at with --eval-only.")
@click.option("--eval-only", is_flag=True, help="Print top-1 and top-5 of --init, or of what --out was trained to.")
@click.option("--classes", type=click.IntRange(2), help="Classes of the data at most [default: all].")
@click.option("--seed", type=click.IntRange(0), help="Of weights and draws [default: the recipe's].")
@click.option("--time", "time_limit", metavar="LIMIT", help="Break off after 90s, 10m or 2h, with a checkpoint.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def train(design: tuple[str, ...], **given: Any) -> None:
    """Train a DESIGN.

    With AdamW, warm-up and cosine, and what the recipe asks for: augmentations, mixing, stochastic depth, mean weights,
    distillation. Writes checkpoints, curves (metrics.csv, TensorBoard) and model.safetensors. A training that was ended
    by Ctrl-C, a kill or --time goes on with --resume, to the very weights of one that was not. The recipe
    imagenet_300ep was not run by the authors: they had no ImageNet.
    """
    from gas.arguments import pairs
    from gas.cli.app import designs_of
    from gas.errors import SettingError
    from gas.report.training import evaluate_and_print, train_and_print
    from gas.settings import seconds_of

    designs = designs_of(design)
    if len(designs) > 1:
        raise SettingError(f"train: got {len(designs)} designs; expected one")
    given["seconds"] = seconds_of(given.pop("time_limit"))
    given["overrides"] = pairs("set", given.pop("fields"))
    seed = given.pop("seed")
    given["overrides"] |= {} if seed is None else {"seed": seed}
    act = evaluate_and_print if given.pop("eval_only") else train_and_print
    act(designs[0] if designs else None, **given)
