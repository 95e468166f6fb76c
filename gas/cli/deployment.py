"""Commands that take a design out of the search: written as files, trained."""

from __future__ import annotations

import shlex

import click

from gas.cli.app import cli, designs_of
from gas.errors import SettingError


@cli.command()
@click.argument("design", nargs=-1, required=True)
@click.option("--out", required=True, help="Folder to write to.")
@click.option("--name", help="Name of the files [default: the design's].")
@click.option("--overwrite", is_flag=True, help="Replace files of that name, and remove forms that become untrue.")
@click.option("--weights", metavar="FILE", help="Weights of gas train (.safetensors) [default: untrained ones].")
@click.option("--seed", default=0, show_default=True, help="Seed of the initial weights.")
@click.option("--no-fold", is_flag=True, help="Leave out the form folded for inference.")
@click.option("--timm", "formats", flag_value="timm", multiple=True, help="A file that makes timm know the design.")
@click.option("--onnx", "formats", flag_value="onnx", multiple=True, help="ONNX, for batches of any size.")
@click.option("--int8", "formats", flag_value="int8", multiple=True, help="ONNX with linear layers in 8 bits, timed.")
@click.option("--pt2", "formats", flag_value="pt2", multiple=True, help="torch.export, for batches of any size.")
@click.option("--all", "formats", flag_value="all", multiple=True, help="All of these.")
@click.option("--format", "formats", multiple=True, metavar="NAME", help="One of these by its name.")
def export(
    design: tuple[str, ...],
    out: str,
    name: str | None,
    overwrite: bool,
    seed: int,
    no_fold: bool,
    formats: tuple[str, ...],
    weights: str | None,
) -> None:
    """Write a DESIGN as a standalone PyTorch file.

    With weights, the design as YAML and a model card; then checks that the file gives the same output without gas. The
    file builds the form to train and, where something in it folds for inference, loads the folded one to deploy.
    """
    from gas.commands import export_command, export_trained_command

    options = {"name": name, "overwrite": overwrite, "fold": not no_fold, "formats": formats}
    if weights is None:
        export_command(design, out, seed=seed, **options)
        return
    designs = designs_of(design)
    if len(designs) != 1:
        raise SettingError(f"export: got {len(designs)} designs; expected one")
    command = shlex.join(["gas", "export", *design, "--weights", weights, "--out", out])
    export_trained_command(designs[0], out, weights, command, **options)
