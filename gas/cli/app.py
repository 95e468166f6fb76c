"""The command line's root, the options that several commands have, and what words on the command line mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gas.errors import SettingError, describe
from gas.report.terminal import Commands

if TYPE_CHECKING:
    from gas.architecture import Architecture
    from gas.run import Run


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gas", prog_name="gas")
def cli() -> None:
    """Generative architecture search for fast vision transformers.

    A DESIGN is a zoo name (hiera_tiny), a YAML file, or RUN ID: a run's directory and a content id, a candidate's
    number, `best`, `checked`, `knee` or `chosen`. Macs are multiply-adds, which papers call FLOPs.
    """


how_json = click.option("--json", "how", flag_value="json", help="Print JSON.")
how_csv = click.option("--csv", "how", flag_value="csv", help="Print CSV.")


def designs_of(words: Sequence[str]) -> list[Architecture]:
    """The designs that words on the command line mean: names and files, and pairs of a run and an id."""
    return [design for design, _ in meant(words)]


def meant(words: Sequence[str]) -> list[tuple[Architecture, Run | None]]:
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


def positive(name: str, text: str) -> int:
    """The whole number from 1 that a text on the command line says."""
    if not text.strip().isdigit() or int(text) < 1:
        raise SettingError(f"{name}: {describe(text, 'a whole number from 1')}")
    return int(text)


def shares(name: str, text: str) -> list[float]:
    """The percentages that a text on the command line lists: `90,99`."""
    found = []
    for part in text.split(","):
        try:
            found.append(float(part.strip().removesuffix("%")))
        except ValueError as error:
            raise SettingError(f"{name}: {describe(part, 'percentages such as 90,99')}") from error
    return found
