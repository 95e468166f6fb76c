"""The array form of a space against the walk: the same designs, the same costs, both ways."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from space.brute import designs as brute_designs
from space.test_properties import attempt, spaces

from gas.architecture import Group, Spec
from gas.errors import SpaceError
from gas.patterns.base import options_of
from gas.plan import plan
from gas.space import SearchSpace, load_space, space_from_text
from gas.space import codes as codes_module

NAMES = ["tiny", "turbovit", "supervit", "efficientvit", pytest.param("hybrid", marks=pytest.mark.slow)]
HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large]


@cache
def loaded(name: str) -> SearchSpace:
    return load_space(name)


@pytest.mark.parametrize("name", NAMES)
def test_designs_are_those_of_the_walk(name: str) -> None:
    space = loaded(name)
    rng = np.random.default_rng(7)
    made = [
        space.realise(lambda decision, allowed: allowed[rng.integers(len(allowed))], feasible=False) for _ in range(40)
    ]
    found = space.designs(architectures=[each.architecture for each in made])
    assert len(found) == 40
    assert found.codes.shape == (40, len(space.decisions))
    again = space.designs(codes=found.codes)
    assert (again.rows == found.rows).all()
    assert (space.designs(found.rows).rows == found.rows).all()
    for number, each in enumerate(made):
        assert found[number].id == each.architecture.id
        assert found.decisions(number) == dict(each.decisions) == space.decode(found[number])
        cost = plan(each.architecture).cost
        assert (found.macs[number], found.params[number]) == (cost.macs, cost.params)


@settings(max_examples=25, suppress_health_check=HEALTH)
@given(spaces())
def test_every_design_of_random_spaces(text: str) -> None:
    space = attempt(text)
    if isinstance(space, SpaceError):
        return
    every = space.sample_feasible(3 * space.size() + 10, 0)  # uniform: no budgets are set
    expected = brute_designs(text)
    costs = dict(zip((design.id for design in every), zip(every.macs, every.params, strict=True), strict=True))
    assert all(expected[id] == cost for id, cost in costs.items())
    assert (space.designs(codes=every.codes).rows == every.rows).all()


@pytest.mark.parametrize("dense", [1, 1 << 22])
@pytest.mark.parametrize("largest", [40, 1 << 62])
def test_codes_find_their_rows_however_keys_are_kept(dense: int, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes_module, "DENSE", dense)
    monkeypatch.setattr(codes_module, "LARGEST", largest)
    space = load_space("tiny")
    found = space.sample_feasible(500, 3)
    assert (space.designs(codes=found.codes).rows == found.rows).all()
    wrong = found.codes.copy()
    wrong[17, 2] = 99
    with pytest.raises(
        SpaceError, match=r"^designs\.codes\[17\]: stages\[0\]\.blocks\[0\]\.depth: got 99; expected 0 "
    ):
        space.designs(codes=wrong)


def test_some_of_the_designs() -> None:
    every = loaded("tiny").sample_feasible(20, 1)
    assert len(every[3:7]) == 4
    assert every[3:7][0] == every[3]
    mask = every.macs > np.median(every.macs)
    assert (every[mask].macs == every.macs[mask]).all()
    assert list(every[np.array([5, 5])]) == [every[5], every[5]]
    assert every[-1] == every[19]
    assert every.decisions(-1) == every.decisions(19)
    empty = every[:0]
    assert (len(empty), empty.macs.shape, empty.codes.shape, len(empty.frame())) == (0, (0,), (0, 11), 0)
    assert loaded("tiny").designs(architectures=[]).rows.shape == (0, 8)


def test_a_frame_holds_decisions_and_costs() -> None:
    space = loaded("tiny")
    found = space.sample_feasible(50, 2)
    frame = found.frame()
    assert list(frame.columns) == [*(decision.path for decision in space.decisions), "macs", "params"]
    for number in range(50):
        row = frame.iloc[number]
        decided = {path: row[path] for path in frame.columns[:-2] if not _missing(row[path])}
        assert decided == found.decisions(number)
    assert (frame["macs"] == found.macs).all()


def _missing(value: object) -> bool:
    return value is None or value != value


@pytest.mark.parametrize("name", ["tiny", "turbovit", "efficientvit"])
def test_features_are_sums_over_blocks(name: str) -> None:
    space = loaded(name)
    found = space.sample_feasible(30, 4)
    features = found.features()
    assert features.values.shape == (30, len(features.names))
    assert len(set(features.names)) == len(features.names)
    for design, values in zip(found, features.values, strict=True):
        told = dict(zip(features.names, values, strict=True))
        for i, stage in enumerate(design.stages):
            assert told.get(f"stages[{i}].dim", stage.dim) == stage.dim
            assert told.get(f"stages[{i}].depth", stage.depth) == stage.depth
            counted = _counted(stage.blocks, stage.entry)
            mine = {key.partition("].")[2]: v for key, v in told.items() if key.startswith(f"stages[{i}].")}
            assert {k: v for k, v in mine.items() if k in counted} == {k: counted[k] for k in mine if k in counted}
            assert all(v == 0 for k, v in mine.items() if k not in counted | {"dim": 0, "depth": 0, "tokens": 0})


def _counted(groups: tuple[Group, ...], entry: Spec | None) -> dict[str, float]:
    """The slow way: every block by itself."""
    found: dict[str, float] = {}
    todo = [group.block for group in groups for _ in range(group.depth)] + ([entry] if entry else [])
    while todo:
        spec = todo.pop()
        found[spec.pattern] = found.get(spec.pattern, 0) + 1
        for name, value in options_of(spec):
            if isinstance(value, Spec):
                todo.append(value)
            elif isinstance(value, int | float):
                found[f"{spec.pattern}.{name}"] = found.get(f"{spec.pattern}.{name}", 0) + value
    return found


def test_a_feature_that_never_differs_is_left_out() -> None:
    names = loaded("tiny").sample_feasible(1).features().names
    assert "stages[1].dim" in names
    assert "stages[1].tokens" not in names
    assert not any(name.startswith("head.classifier.classes") for name in names)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"rows": [[0] * 8], "change": (3, 500)},
            r"designs\.rows\[0, 3\]: stages\[1\]: got 500; expected 0 to \d+, the",
        ),
        ({"rows": [[0] * 7]}, r"designs\.rows: got shape \(1, 7\); expected \(n, 8\), one segment per column"),
        ({"codes": np.zeros((2, 11))}, r"designs\.codes: got float64; expected integers"),
        ({"codes": [0, 1]}, r"designs\.codes: got shape \(2,\); expected \(n, 11\), one decision per column"),
    ],
)
def test_what_is_no_design_is_refused(given: dict, text: str) -> None:
    given = dict(given)
    if "change" in given:
        segment, row = given.pop("change")
        given["rows"] = np.array(given["rows"])
        given["rows"][0, segment] = row
    with pytest.raises(SpaceError, match=text):
        loaded("tiny").designs(**given)


def test_rows_that_do_not_follow_one_another_are_refused() -> None:
    space = loaded("tiny")
    rows = np.array(space.sample_feasible(5, 0).rows)
    other = next(r for r in range(len(space.arrays.layers[2])) if _state(space, 2, r) != _state(space, 2, rows[3, 2]))
    rows[3, 2] = other
    with pytest.raises(SpaceError, match=rf"designs\.rows\[3, 2\]: stages\[0\]\.blocks\[0\]: got {other}; expected"):
        space.designs(rows)


def _state(space: SearchSpace, segment: int, row: int) -> int:
    return int(space.arrays.layers[segment].state[row])


def test_a_design_of_another_space_is_refused() -> None:
    stranger = loaded("turbovit").sample_feasible(1)[0]
    with pytest.raises(SpaceError, match=r"^designs\.architectures\[0\]: stages: got 4; expected 3"):
        loaded("tiny").designs(architectures=[stranger])


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(0, 10))
def test_a_changed_code_is_another_design_or_refused(seed: int, column: int) -> None:
    space = loaded("tiny")
    design = space.sample_feasible(1, seed)
    codes = design.codes.copy()
    codes[0, column] = (codes[0, column] + 2) % (len(space.decisions[column].choices) + 1) - 1
    try:
        other = space.designs(codes=codes)
    except SpaceError as error:
        refused = str(error)
    else:
        refused = ""
        assert other[0] != design[0]
        assert space.designs(architectures=other).codes.tolist() == codes.tolist()
    assert refused.startswith("designs.codes[0]: "[: len(refused)])


def test_a_single_design_is_a_space() -> None:
    space = load_space("zoo/hiera_tiny")
    found = space.sample_feasible(3)
    assert [each.id for each in found] == [space.sample(1)[0].id] * 3
    assert found.codes.shape == (3, 0)
    assert found.features().values.shape == (3, 0)


def test_an_impossible_text_is_refused_before_any_array() -> None:
    with pytest.raises(SpaceError):
        space_from_text("input: {resolution: 32}")
