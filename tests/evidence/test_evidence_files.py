"""Tables that grow: what is on the disk after a cut, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from gas.errors import RunError
from gas.evidence.files import Table, number, read_table


def test_rows_are_there_for_the_next_process(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    table = Table(file, ("id", "value", "words"))
    assert table.rows == []
    assert not file.exists()
    table.add({"id": "x", "value": 0.1 + 0.2, "words": 'a "b",\n'})
    table.add({"id": "y", "value": math.nan})
    again = Table(file, ("id", "value", "words"))
    assert again.rows == table.rows == read_table(file)
    assert number(again.rows[0]["value"], "value") == 0.1 + 0.2
    assert math.isnan(number(again.rows[1]["value"], "value"))


@pytest.mark.parametrize("cut", range(1, 10))
def test_half_a_row_is_dropped_and_written_anew(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "a.csv"
    table = Table(file, ("id", "value"))
    table.add({"id": "first", "value": 1})
    table.add({"id": "second", "value": 2})
    both = file.read_bytes()
    file.write_bytes(both[:-cut])
    again = Table(file, ("id", "value"))
    assert [row["id"] for row in again.rows] == ["first"]
    again.add({"id": "second", "value": 2})
    assert file.read_bytes() == both


def test_a_head_that_was_cut_off_is_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,va")
    Table(file, ("id", "value")).add({"id": "x", "value": 1})
    assert file.read_text() == "id,value\nx,1\n"


def test_a_file_with_more_columns_in_another_order_is_kept_to(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("value,more,id\n1,2,x\n")
    Table(file, ("id", "value")).add({"id": "y", "value": 3})
    assert file.read_text() == "value,more,id\n1,2,x\n3,,y\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id,valu\nx,1\n", "columns: got 'id,valu'; expected value among them"),
        ("id,value\nx,1,2\n", "row 2: got another number of columns; expected 2 columns"),
        ("id,value\nx\n", "row 2: got another number of columns"),
        (b"id,value\n\xff,1\n", "cannot be read"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path: Path, text: str | bytes, problem: str) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RunError, match=problem):
        Table(file, ("id", "value"))


def test_a_place_that_cannot_be_written_or_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(RunError, match="cannot be read"):
        Table(tmp_path / "a.csv", ("id",))
    with pytest.raises(RunError, match="cannot be read: No such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(RunError, match="cannot be written"):
        Table(tmp_path / "no" / "folder.csv", ("id",)).add({"id": "x"})
    with pytest.raises(RunError, match="value: got 'many'; expected a number"):
        number("many", "value")
