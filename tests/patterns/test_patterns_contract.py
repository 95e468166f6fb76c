"""Every registered pattern keeps the contract that `gas.testing` checks."""

from __future__ import annotations

import pytest

from gas.patterns import PATTERNS
from gas.patterns.base import KINDS
from gas.testing import PATTERN_CHECKS, check_pattern
from gas.testing.cases import effort


def test_the_registry_holds_a_pattern_of_every_kind() -> None:
    assert {PATTERNS.get(name).kind for name in PATTERNS} == set(KINDS)


# Exports take as long as all else together. Quick are those of every tenth pattern, which whole designs of
# tests/exports add to; a new pattern's own is checked by hand before it goes in, and by `make test-all`.
LONG = {(name, "export") for number, name in enumerate(PATTERNS.names()) if number % 10}
CASES = [
    pytest.param(name, check, share, marks=[pytest.mark.slow] * (share == 1.0 or (name, check) in LONG))
    for name in PATTERNS.names()
    for check in PATTERN_CHECKS
    for share in (0.2, 1.0)
]


@pytest.mark.parametrize(("name", "check", "share"), CASES)
def test_contract(name: str, check: str, share: float) -> None:
    with effort(share):
        check_pattern(name, check)
