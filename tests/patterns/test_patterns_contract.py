"""Every registered pattern keeps the contract that `gas.testing` checks."""

from __future__ import annotations

import pytest

from gas.patterns import PATTERNS
from gas.patterns.base import KINDS
from gas.testing import PATTERN_CHECKS, check_pattern
from gas.testing.cases import effort


def test_the_registry_holds_a_pattern_of_every_kind() -> None:
    assert {PATTERNS.get(name).kind for name in PATTERNS} == set(KINDS)


@pytest.mark.parametrize("share", [0.2, pytest.param(1.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("check", PATTERN_CHECKS)
@pytest.mark.parametrize("name", PATTERNS.names())
def test_contract(name: str, check: str, share: float) -> None:
    with effort(share):
        check_pattern(name, check)
