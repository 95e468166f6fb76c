"""The log, the versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from gas.errors import RunError
from gas.records import Log, versions


def test_a_log_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"missing/log.txt: cannot be written"):
        Log(tmp_path / "missing" / "log.txt")("line")


def test_the_log_grows_by_a_dated_line_at_a_time(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.txt")
    assert not log.file.exists()
    log("began")
    Log(log.file)("went on")
    first, second = log.file.read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  began", first)
    assert second.endswith("  went on")


def test_versions_name_what_bears_on_the_numbers() -> None:
    found = versions()
    assert {"python", "platform", "gas", "torch", "numpy", "optuna", "ray", "moocore"} <= set(found)
    assert found["torch"] == torch.__version__
