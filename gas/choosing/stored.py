"""The choices that were made from a run, kept in a file beside its archive: the last one is what `chosen` means."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gas.disk import write_whole
from gas.errors import RunError

FILE = "choices.json"


@dataclass(frozen=True)
class Choice:
    """A choice that was made.

    Args:
        rule: The rule; see `gas.choosing.rules`.
        id: Content id of the design.
        number: Its candidate's number.
        reason: Why, with the numbers that decided.
        where: The condition on the designs to choose from; empty for none.
        weights: Weight by metric, for the rule `weights`.
        time: When, ISO 8601.
    """

    rule: str
    id: str
    number: int
    reason: str
    where: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    time: str = ""


def choices(folder: Path) -> list[Choice]:
    """All choices made from a run, the last one last. RunError where the file is damaged."""
    file = folder / FILE
    try:
        return [Choice(**told) for told in json.loads(file.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RunError(f"{file}: damaged: {error}") from error


def last_choice(folder: Path) -> Choice:
    """The last choice made from a run. RunError where there is none."""
    if made := choices(folder):
        return made[-1]
    expected = f"one that was kept: gas front {folder} --choose best"
    raise RunError(f"{folder}: got no choice yet; expected {expected}")


def keep_choice(folder: Path, choice: Choice) -> Choice:
    """Adds a choice to a run's; returns it with its time. RunError where it cannot be written."""
    choice = dataclasses.replace(choice, time=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    with _alone(folder):
        made = [dataclasses.asdict(told) for told in (*choices(folder), choice)]
        write_whole(folder / FILE, json.dumps(made, indent=1))
    return choice


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process adds one meanwhile: each would write what it has read and its own."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
