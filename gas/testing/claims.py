"""How the checks say what is wrong: each claim in one line, every failed check of a thing in one error."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch

from gas.errors import unknown

T = TypeVar("T")
LONGEST = 2_000  # characters of one line: a design with all its options takes some hundred


def claim(holds: object, text: str) -> None:
    """AssertionError with `text` (`WHERE: got X; expected Y`) unless the claim holds; -O does not remove it."""
    if not holds:
        raise AssertionError(text)


def same(where: str, got: object, expected: object, why: str = "") -> None:
    """AssertionError unless both are equal."""
    claim(got == expected, f"{where}: got {got!r}; expected {expected!r}" + (f", {why}" if why else ""))


def is_file_of(thing: type, package: str, name: str) -> None:
    """AssertionError unless the thing stands in the file of its name, where the registry looks for it."""
    expected = f"{package}.{name}"
    same("file", thing.__module__, expected, "because the registered name is the file's name")


def documented(thing: type) -> None:
    """AssertionError unless the class says what it is."""
    claim((thing.__doc__ or "").strip(), f"docstring: got none on {thing.__name__}; expected what it does")


def run_checks(what: str, thing: T, checks: Mapping[str, Callable[[T], None]], only: Sequence[str]) -> None:
    """Runs the checks on a thing and tells of all that fail at once.

    Args:
        what: The thing's role and name, for the text.
        thing: What every check is called with.
        checks: The checks by name.
        only: Names of those to run; empty for all.

    Raises:
        AssertionError: One line for each failed check, `WHAT: CHECK: what is wrong`; an exception that the thing
            raised counts as a failure, and the first one is the cause.
        UnknownNameError: `only` holds a name that no check has.
    """
    for name in only:
        if name not in checks:
            raise unknown(f"check of a {what.partition(' ')[0]}", name, checks)
    lines, causes = [], []
    for name in only or checks:
        try:
            if _draws(checks[name], thing):
                # A library may draw once, when it is first imported.
                claim(not _draws(checks[name], thing), _DISTURBED)
        except Exception as error:
            kind = "" if type(error) is AssertionError else f"{type(error).__name__}: "
            lines.append(f"{what}: {name}: {kind}{error}"[:LONGEST])
            causes.append(error)
    if lines:
        raise AssertionError("\n".join(lines)) from causes[0]


_DISTURBED = (
    "random state: got draws from the global generators of random, numpy or torch; "
    "expected draws from what is passed in (or within torch.random.fork_rng)"
)


def _draws(check: Callable[[T], None], thing: T) -> bool:
    """Runs a check; True where it has moved a global random state."""
    before = _random_states()
    check(thing)
    return _random_states() != before


def _random_states() -> tuple:
    kind, keys, position, *_ = np.random.get_state()
    return random.getstate(), (kind, keys.tobytes(), position), torch.random.get_rng_state().numpy().tobytes()
