"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gas.disk import write_whole
from gas.errors import RunError


@pytest.mark.parametrize("contents", [("first", "second, \u00e9"), (b"first", b"\x00\xff")])
def test_a_file_is_replaced_whole_and_nothing_else_stays(contents: tuple, tmp_path: Path) -> None:
    for content in contents:
        write_whole(tmp_path / "a.json", content)
        wanted = content.encode() if isinstance(content, str) else content
        assert (tmp_path / "a.json").read_bytes() == wanted
    assert [f.name for f in tmp_path.iterdir()] == ["a.json"]


def test_what_cannot_be_written_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"missing/a.json: cannot be written"):
        write_whole(tmp_path / "missing" / "a.json", "text")


def test_what_stood_there_stays_where_the_new_cannot_be_put_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(RunError, match=r"a.json: cannot be written: Is a directory"):
        write_whole(tmp_path / "a.json", "text")
    assert [f.name for f in tmp_path.iterdir()] == ["a.json"]
