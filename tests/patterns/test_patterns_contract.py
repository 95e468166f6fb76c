"""Every registered pattern keeps the contract that `gas.testing` checks."""

from __future__ import annotations

import pytest

from gas.patterns import PATTERNS
from gas.patterns.base import KINDS
from gas.testing import PATTERN_CHECKS, check_pattern


def test_the_registry_holds_a_pattern_of_every_kind() -> None:
    assert {PATTERNS.get(name).kind for name in PATTERNS} == set(KINDS)


@pytest.mark.parametrize("check", PATTERN_CHECKS)
@pytest.mark.parametrize("name", PATTERNS.names())
def test_contract(name: str, check: str) -> None:
    check_pattern(name, check)
