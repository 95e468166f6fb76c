from __future__ import annotations

import pytest

from gas.errors import SpaceError
from gas.space.text import MAX_LINE, parse, quantity


def value(text: str) -> object:
    mark, problems = parse(f"x: {text}", "f.yaml")
    problems.check()
    return mark.value["x"].plain()


def refusal(text: str) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        parse(text, "f.yaml")[1].check()
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("2.", 2.0),
        ("12", 12),
        ("+7", 7),
        ("010", 10),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ('"on"', "on"),
        ("'1e-3'", "1e-3"),
        ("mask_unit_attention", "mask_unit_attention"),
        ("12.7M", "12.7M"),
        ("2001-01-01", "2001-01-01"),
        ("[1, {a: 2.5}, x]", [1, {"a": 2.5}, "x"]),
    ],
)
def test_scalars_are_what_they_look_like(text: str, expected: object) -> None:
    got = value(text)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize("text", ["on", "off", "yes", "No", "YES"])
def test_words_that_yaml_turns_into_truth_values_are_refused(text: str) -> None:
    (line,) = refusal(f"a: 1\nx: {text}\n")
    assert line.startswith("f.yaml:2:4: x: ")
    assert repr(text) in line
    assert "quote" in line


@pytest.mark.parametrize("text", ["12:30", "0x10", "1_000", "0b11", "0o17", "1:30.5", ".inf", "-.inf", ".nan"])
def test_numbers_that_are_not_decimal_are_refused(text: str) -> None:
    if text == "0o17":  # YAML 1.1 reads it as text, and so do we
        assert value(text) == text
        return
    (line,) = refusal(f"x: {text}")
    assert line.startswith("f.yaml:1:4: x: ")
    assert repr(text) in line


@pytest.mark.parametrize("text", ["9" * 41, "1e400", "-1e999"])
def test_numbers_beyond_reach_are_refused(text: str) -> None:
    (line,) = refusal(f"x: {text}")
    assert f"got {text}; expected a number" in line


@pytest.mark.parametrize(
    "text", ["!!str 10", "!!int '3'", "!!python/object:os.system ls", "!mine {a: 1}", "!!set [1]", "!mine 3"]
)
def test_tags_are_refused(text: str) -> None:
    (line,) = refusal(f"x: {text}")
    assert line.startswith("f.yaml:1:4: x: the tag ")


def test_a_repeated_key_names_both_places() -> None:
    (line,) = refusal("a: 1\nb: {c: 1,\n    c: 2}\n")
    assert line == "f.yaml:3:5: b.c: the key stands twice; it was first given on line 2"


def test_every_problem_is_told_in_the_order_of_the_file() -> None:
    lines = refusal("x: [on, 1]\ny: {a: 12:30, a: 2}\nz: !t 5\n? [k]\n: v\n")
    assert [line.split(" ")[0] for line in lines] == [
        "f.yaml:1:5:",
        "f.yaml:2:8:",
        "f.yaml:2:15:",
        "f.yaml:3:4:",
        "f.yaml:4:3:",
    ]
    assert lines[-1].endswith("a key must be a name")


def test_anchors_are_followed_and_those_that_hold_themselves_are_not() -> None:
    mark, problems = parse("a: &one {k: [1, 2]}\nb: *one\n", "f.yaml")
    problems.check()
    assert mark.plain() == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}
    assert mark.value["b"].value["k"].path == "b.k"
    (line,) = refusal("a: &loop [1, *loop]\n")
    assert line.startswith("f.yaml:1:")
    assert line.endswith("a[1]: an anchor that holds itself")


def test_aliases_that_multiply_are_cut_short() -> None:
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10) if i else 1}]" for i in range(12)]
    (line,) = refusal("\n".join(lines))
    assert "more than 100,000 values" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2", "f.yaml:1:9: not valid YAML: "),
        ("a: 1\n\tb: 2", "f.yaml:2:1: not valid YAML: "),
        ("a: 'open", "f.yaml:1:9: not valid YAML: "),
        ("a: *nobody", "f.yaml:1:4: not valid YAML: "),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: not valid YAML: "),
        ("a: \x00", "f.yaml: not valid YAML: "),
        ("a: \ud800", "f.yaml: not valid YAML: "),
        ("", "f.yaml:1:1: the file is empty"),
        ("# only a comment\n", "f.yaml:1:1: the file is empty"),
        ("- a\n- b\n", "f.yaml:1:1: expected a mapping"),
        ("just text", "f.yaml:1:1: expected a mapping"),
        ("[" * 100_000, "f.yaml: values are nested too deeply"),
        ("a: " + "[" * 120 + "]" * 120, "f.yaml:1:104: values are nested too deeply"),
    ],
)
def test_what_is_no_mapping_is_one_line(text: str, said: str) -> None:
    (line,) = refusal(text)
    assert line.startswith(said)
    assert "\n" not in line


def test_marks_say_where_values_and_keys_stand() -> None:
    mark, _ = parse("a:\n  - {b: 1, c: x}\n", "f.yaml")
    inner = mark.value["a"].value[0]
    assert (inner.path, inner.line, inner.column) == ("a[0]", 2, 5)
    assert inner.keys == {"b": (2, 6), "c": (2, 12)}
    assert (inner.value["c"].path, inner.value["c"].column) == ("a[0].c", 15)


def test_problems_are_single_lines_of_bounded_length() -> None:
    mark, problems = parse('"a\\nb\\e[31m": 1', "f.yaml")
    problems.add(mark, "x" * 5000 + "; expected less", key="a\nb\x1b[31m")
    problems.add(mark, "x" * 5000 + "; expected less", key="a\nb\x1b[31m")
    with pytest.raises(SpaceError) as caught:
        problems.check()
    (line,) = caught.value.problems
    assert line.isprintable()
    assert line.startswith("f.yaml:1:1: a\\nb\\x1b[31m: xxx")
    assert line.endswith("; expected less")
    assert len(line) < MAX_LINE + 30


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("12.7M", 12_700_000.0),
        ("2.2G", 2.2e9),
        ("10ms", 10.0),
        ("500k", 500_000.0),
        ("500K", 500_000.0),
        ("1T", 1e12),
        (" 3 M ", 3e6),
        ("1e3k", 1e6),
        (0.311, 0.311),
        (7, 7.0),
        ("7", 7.0),
        (True, None),
        (None, None),
        ("M", None),
        ("1.2.3M", None),
        ("12.7m", None),
        ("5 apples", None),
        ([1], None),
        ("9" * 100, None),
    ],
)
def test_quantities(given: object, expected: float | None) -> None:
    assert quantity(given) == expected
