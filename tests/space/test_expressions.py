from __future__ import annotations

import pytest

from gas.space.expressions import MAX_LENGTH, ExpressionError, normal_path, parse_expression

VALUES = {"stages[0].dim": 48, "stages[1].dim": 96, "stages[0].blocks[0].mixer": "mlp", "stem.dim": 64, "x": 0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stages[1].dim", 96),
        ("stages.1.dim", 96),
        ("2 * stages[0].dim + 1", 97),
        ("stages[1].dim / stages[0].dim", 2.0),
        ("stages[1].dim // 5 - stages[1].dim % 5", 18),
        ("-stages[0].dim + +1", -47),
        ("stages[0].dim < stem.dim < stages[1].dim", True),
        ("stages[0].dim < stem.dim > stages[1].dim", False),
        ("stages[0].dim == 48 and not stages[1].dim == 48", True),
        ("stages[0].dim == 1 or stages[1].dim != 1", True),
        ("stages[0].blocks[0].mixer == 'mlp'", True),
        ("stages[0].blocks[0].mixer in ['mlp', 'conv']", True),
        ("stages[0].dim not in (1, 2, 48)", False),
        ("max(stages[0].dim, stages[1].dim, 3)", 96),
        ("min(stages[0].dim, 3.5)", 3.5),
        ("sum([stages[0].dim, stages[1].dim])", 144),
        ("abs(stages[0].dim - stages[1].dim)", 48),
        ("True", True),
        ("x or stages[0].dim > 1", True),
    ],
)
def test_an_expression_is_worked_out_as_python_would(text: str, expected: object) -> None:
    got = parse_expression(text)(VALUES)
    assert got == expected
    assert type(got) is type(expected)


def test_and_stops_where_it_is_decided() -> None:
    assert parse_expression("x != 0 and 1 / x > 1")(VALUES) is False


def test_paths_are_listed_once_in_order_of_appearance() -> None:
    assert parse_expression("stages.1.dim > stages[0].dim and stages[1].dim < stem.dim").paths == (
        "stages[1].dim",
        "stages[0].dim",
        "stem.dim",
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("stages.1.blocks.0.mixer.head_dim", "stages[1].blocks[0].mixer.head_dim"),
        (" stages[1].dim ", "stages[1].dim"),
        ("stages.1.dim * 0.5", "stages[1].dim * 0.5"),
        ("0.5 * stem.dim", "0.5 * stem.dim"),
    ],
)
def test_dotted_numbers_are_indices_and_decimals_stay(path: str, expected: str) -> None:
    assert normal_path(path) == expected


@pytest.mark.parametrize(
    "text",
    [
        "stages[0].dim +",
        "stages[0].dim = 3",
        "",
        "open('f')",
        "__import__('os').system('ls')",
        "().__class__",
        "stages[0].dim ** 9",
        "stages[0].dim << 3",
        "stages[0].dim is 3",
        "lambda: 3",
        "[i for i in stages]",
        "min(*stages)",
        "sum([1], start=2)",
        "stages[i].dim",
        "stages[-1].dim",
        "stages[0:2].dim",
        "{1: 2}",
        "f'{x}'",
        "None",
        "b'a' == x",
        "1j",
        "x if x else 3",
        "x := 3",
        "\x00",
        "(" * 300 + "x" + ")" * 150,
        "x + 1" + " " * MAX_LENGTH,
    ],
)
def test_nothing_else_can_be_written(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)
    assert "\n" not in str(caught.value).split(" is not an expression")[-1]


@pytest.mark.parametrize(
    "text", ["1 / x", "stages[0].dim % x", "stages[0].dim < 'a'", "sum(3)", "min()", "3 in 4", "-'a'", "abs('a')"]
)
def test_what_cannot_be_worked_out_says_which_expression(text: str) -> None:
    with pytest.raises(ExpressionError, match="^" + text[:3].replace("(", r"\(").replace("[", r"\[")):
        parse_expression(text)(VALUES)


@pytest.mark.parametrize("text", ["-" * (MAX_LENGTH - 1) + "1", "+".join(["x"] * 250)])
def test_the_longest_expressions_are_not_too_deep(text: str) -> None:
    assert parse_expression(text)(VALUES) in (0, -1)


def test_an_unknown_path_is_a_key_error() -> None:
    with pytest.raises(KeyError, match=r"stages\[7\]\.dim"):
        parse_expression("stages[7].dim")(VALUES)
