from __future__ import annotations

import pickle

import pytest

from gas import errors
from gas.errors import DesignError, GasError, SpaceError, UnknownNameError, describe, nearest, unknown

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GasError) and kind is not GasError
]


def test_every_kind_stands_in_the_drawing() -> None:
    assert len(KINDS) >= 7
    for kind in KINDS:
        assert f"-- {kind.__name__} " in errors.__doc__
        assert kind.__doc__


@pytest.mark.parametrize("kind", KINDS)
def test_errors_travel_between_processes(kind: type[GasError]) -> None:
    if kind is DesignError:
        error = DesignError("stages[0].dim", "got 3")
    elif kind is SpaceError:
        error = SpaceError(["first", "second"])
    else:
        error = kind("got 3")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_design_error_names_the_place_where_it_knows_one() -> None:
    assert str(DesignError("stem.dim", "got 0")) == "stem.dim: got 0"
    assert str(DesignError("", "got 0")) == "got 0"


def test_a_space_error_holds_every_problem() -> None:
    error = SpaceError(["a.yaml:1:1: x", "a.yaml:2:1: y"])
    assert error.problems == ("a.yaml:1:1: x", "a.yaml:2:1: y")
    assert str(error).splitlines() == list(error.problems)


def test_describe() -> None:
    assert describe(3, "an even number") == "got 3; expected an even number"
    assert describe("dept", "a key", known=["depth", "dim"]) == "got 'dept'; expected a key; did you mean 'depth'?"
    assert describe("zzz", "a key", known=["depth", "dim"]) == "got 'zzz'; expected a key"
    assert describe("dim", "a key", known=["dim"]) == "got 'dim'; expected a key"  # what was said is no suggestion


def test_nearest() -> None:
    assert nearest("trasnformer", ["transformer", "mlp"]) == "transformer"
    assert nearest("q", ["transformer", "mlp"]) is None
    assert nearest("anything", []) is None


def test_unknown_lists_what_there_is_and_stops_at_twelve() -> None:
    error = unknown("pattern", "mpl", ["mlp", "conv"])
    assert isinstance(error, UnknownNameError)
    assert str(error) == "pattern: got 'mpl'; expected one of conv, mlp; did you mean 'mlp'?"
    many = str(unknown("pattern", "x", [f"name{i:02d}" for i in range(20)]))
    assert "name11, ..." in many
    assert "name12" not in many
    assert str(unknown("pattern", "x", [])) == "pattern: got 'x'; expected none exists yet"
