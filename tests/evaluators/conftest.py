from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gas.architecture import Architecture, Spec
from gas.evaluation import Candidate
from gas.evaluators import Evaluator, Outcome
from gas.proxies import PROXIES


@pytest.fixture(scope="module", autouse=True)
def troubles() -> Iterator[None]:
    """The module `troubles` can be imported, and its proxy is known, during these tests only."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)
    sys.modules.pop("troubles", None)
    PROXIES._table.pop("troubles", None)


@pytest.fixture(scope="session")
def troubled() -> Callable[..., Candidate]:
    """A candidate whose scoring does what is asked: `troubled(number, "hangs")`."""

    def make(number: int, what: str = "fine", **options: Any) -> Candidate:
        stem = Spec.of("conv_embed", what=what, **options)
        return Candidate(number, Architecture(stem, (), Spec.of("classifier")))

    return make


@pytest.fixture(scope="session")
def collect_all() -> Callable[[Evaluator], dict[int, Outcome]]:
    """All outcomes that are pending, by number; a number that comes twice fails the test."""

    def collect(evaluator: Evaluator) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        while evaluator.pending:
            for outcome in evaluator.collect(60.0):
                assert outcome.number not in outcomes
                outcomes[outcome.number] = outcome
        return outcomes

    return collect
