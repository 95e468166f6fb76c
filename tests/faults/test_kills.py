"""The search's own process is killed at random moments, again and again, and gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.campaign import BUDGET, Setting, clean, kill_campaign
from faults.nursery import Nursery

KILLS = [
    ("plain", 30),
    ("ladder", 25),
    pytest.param("plain", 80, marks=pytest.mark.slow),
    pytest.param("ladder", 70, marks=pytest.mark.slow),
]


def test_the_unbroken_searches_do_what_the_kills_shall_not_disturb(settings: dict[str, list[Setting]]) -> None:
    assert {"ok", "failed"} <= {status for setting in settings["plain"] for _, _, status, _ in setting.told}
    for setting in settings["ladder"]:
        assert {"ok", "stopped"} <= {status for _, _, status, _ in setting.told}
    assert all(len(setting.told) >= BUDGET for kind in settings.values() for setting in kind)


@pytest.mark.parametrize(("kind", "kills"), KILLS)
def test_a_search_killed_at_random_moments_loses_nothing_and_invents_nothing(
    kind: str, kills: int, nursery: Nursery, settings: dict[str, list[Setting]], folder: Path, seed: int
) -> None:
    tally = kill_campaign(nursery, settings[kind], folder, seed, kills)
    print(f"seed {seed}: {tally}")
    assert not clean(tally), f"seed {seed}: {tally.notes}"
    assert tally.blows >= kills
    assert tally.before > tally.blows  # the kills met searches that had something to lose
