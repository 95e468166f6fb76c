"""Choices that are kept: the last one counts, all stay, and a damaged file is told."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from gas.choosing import FILE, Choice, keep_choice, last_choice
from gas.choosing.stored import choices
from gas.errors import RunError


def test_choices_are_kept_in_order(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"got no choice yet; expected one that was kept: gas front .* --choose best"):
        last_choice(tmp_path)
    first = keep_choice(tmp_path, Choice("best", "abc", 1, "why"))
    second = keep_choice(tmp_path, Choice("weights", "def", 2, "so", "macs < 3", {"macs": 1.0}))
    assert choices(tmp_path) == [first, second]
    assert last_choice(tmp_path) == second
    assert second.time > "2026"
    assert json.loads((tmp_path / FILE).read_text())[1]["weights"] == {"macs": 1.0}


def test_choices_made_at_once_are_all_kept(tmp_path: Path) -> None:
    made = [Choice("best", f"id{i}", i, "why") for i in range(12)]
    threads = [threading.Thread(target=keep_choice, args=(tmp_path, choice)) for choice in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(choice.number for choice in choices(tmp_path)) == list(range(12))


@pytest.mark.parametrize("text", ["{", "3", '[{"rule": "best"}]', '[{"rul": "best"}]', "[3]"])
def test_a_damaged_file_is_told_and_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RunError, match=r"choices\.json: damaged"):
        last_choice(tmp_path)
    with pytest.raises(RunError, match=r"choices\.json: damaged"):
        keep_choice(tmp_path, Choice("best", "abc", 1, "why"))
    assert (tmp_path / FILE).read_text() == text
