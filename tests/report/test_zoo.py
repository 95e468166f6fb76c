"""The zoo as rows: every file once, with its own count and what was published, in the order asked for."""

from __future__ import annotations

import pytest

from gas.costs import cost
from gas.errors import UnknownNameError
from gas.report.zoo import COLUMNS, SORTS, printed, zoo_rows
from gas.space import bundled, load, load_space


def row_of(name: str) -> dict:
    (row,) = [row for row in zoo_rows(name) if row["name"] == name]
    return row


def test_every_design_of_the_zoo_is_a_row() -> None:
    rows = zoo_rows()
    assert sorted(f"zoo/{row['name']}" for row in rows) == [name for name in bundled() if name.startswith("zoo/")]
    assert {tuple(row) for row in rows} == {tuple(rows[0])}


@pytest.mark.parametrize("name", ["turbovit", "hiera_tiny", "efficientvit_m0"])
def test_a_row_is_what_the_file_says(name: str) -> None:
    row, space = row_of(name), load_space(f"zoo/{name}")
    assert (row["params"], row["macs"]) == (cost(load(name)).params, cost(load(name)).macs)
    assert row["resolution"] == load(name).resolution
    for key in ("top1", "distilled", "checked", "verified", "code", "differs", "source"):
        assert row[key] == space.published.get(key)
    assert (row["params_published"], row["macs_published"]) == (space.published["params"], space.published["macs"])
    assert row["about"] == space.about
    assert row["file"].endswith(f"zoo/{name}.yaml")


@pytest.mark.parametrize("sort", SORTS)
def test_rows_are_sorted_and_what_is_not_known_comes_last(sort: str) -> None:
    rows = zoo_rows(sort=sort)
    if sort == "name":
        families = [row["name"].partition("_")[0] for row in rows]
        assert families == sorted(families)
        return
    values = [row[sort] for row in rows]
    known = [value for value in values if value is not None]
    assert known == sorted(known)
    assert values[: len(known)] == known


@pytest.mark.parametrize("part", ["hiera", "zoo/hiera", "HIERA"])
def test_a_part_of_a_name_chooses(part: str) -> None:
    assert [row["name"] for row in zoo_rows(part)] == ["hiera_base", "hiera_small", "hiera_tiny"]


@pytest.mark.parametrize("part", ["hiera_tiny", "zoo/hiera_tiny", "zoo/hiera_tiny.yaml"])
def test_a_whole_name_chooses_one(part: str) -> None:
    assert [row["name"] for row in zoo_rows(part)] == ["hiera_tiny"]


@pytest.mark.parametrize(
    ("part", "near"),
    [
        ("hiera_tinny", "hiera_tiny"),
        ("zoo/turbovitt", "turbovit"),
        ("hieraa", "hiera"),
        ("eficientvit", "efficientvit"),
    ],
)
def test_a_mistyped_name_says_the_nearest(part: str, near: str) -> None:
    with pytest.raises(
        UnknownNameError, match=rf"^zoo: got '.*'; expected a name of the zoo .*; did you mean '{near}'\?$"
    ):
        zoo_rows(part)


@pytest.mark.parametrize(
    ("verified", "said"),
    [
        ("params, macs, top1", "params, macs, top-1"),
        ("top1", "top-1"),
        ("top1, and the ratio from which the macs follow", "top-1"),
        ("the ratios of the abstract", "in part"),
        ("unverified", "no"),
        (None, "no"),
    ],
)
def test_what_was_looked_up_in_few_words(verified: str | None, said: str) -> None:
    (row,) = printed([{"verified": verified, "distilled": None}])
    assert row["looked_up"] == said


def test_people_read_words_for_yes_and_no() -> None:
    words = [row["distilled"] for row in printed([{"verified": None, "distilled": d} for d in (True, False, None)])]
    assert words == ["yes", "no", None]
    assert {column.key for column in COLUMNS} <= {*zoo_rows("turbovit")[0], "looked_up"}
