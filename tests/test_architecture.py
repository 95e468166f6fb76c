from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, replace

import pytest
from hiera_parity import hiera, tiny, turbovit
from random_designs import random_designs

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import DesignError


def test_round_trips() -> None:
    for design in [tiny(), turbovit(), hiera("hiera_base_224"), *random_designs(30, seed=1)]:
        assert Architecture.from_dict(design.to_dict()) == design
        assert Architecture.from_json(design.to_json()) == design
        assert Architecture.from_dict(json.loads(json.dumps(design.to_dict()))).id == design.id
        assert pickle.loads(pickle.dumps(design)) == design


def test_the_id_stands_for_good() -> None:
    # These ids are in people's files: a change of this number is a change of format.
    assert turbovit().id == "9fd3a43e644c"
    assert tiny().id == "625506bb7045"


def test_the_id_tells_designs_apart_and_does_not_see_the_name() -> None:
    designs = list(random_designs(60, seed=2))
    assert len({d.id for d in designs}) == len({d.to_json() for d in designs}) == len(set(designs)) > 50
    assert replace(tiny(), name="x").id == tiny().id
    assert replace(tiny(), name="x") == tiny()
    assert hash(replace(tiny(), name="x")) == hash(tiny())
    assert replace(tiny(), resolution=64).id != tiny().id
    assert replace(tiny(), channels=1).id != tiny().id


def test_options_in_any_order_are_one_spec() -> None:
    assert Spec.of("p", a=1, b=2) == Spec.of("p", b=2, a=1)
    data = tiny().to_dict()
    shuffled = {key: data[key] for key in reversed(data)}
    assert Architecture.from_dict(shuffled).id == tiny().id


def test_nested_specs_and_tuples_survive() -> None:
    spec = Spec.of("outer", inner=Spec.of("inner", sizes=(1, 2)), listed=(Spec.of("x"), 3), off=None, on=True)
    assert Spec.from_dict(spec.to_dict()) == spec
    assert spec.to_dict()["listed"] == [{"pattern": "x"}, 3]
    spec.options["inner"] = None  # a fresh dict: the spec stays
    assert spec.options["inner"] == Spec.of("inner", sizes=(1, 2))


def test_depths_and_dims() -> None:
    design = turbovit()
    assert design.depths == (1, 2, 8, 2)
    assert design.dims == (64, 128, 256, 512)
    assert Stage(8, (Group(Spec("a"), 2), Group(Spec("b"), 3))).depth == 5


def test_walk_names_every_leaf() -> None:
    leaves = dict(tiny().walk())
    assert leaves["input.resolution"] == 32
    assert leaves["stages[1].blocks[0].mixer.head_dim"] == 16
    assert leaves["stages[2].entry.pattern"] == "q_pool"
    assert leaves["head.classes"] == 10
    assert all(not isinstance(value, dict | list) for value in leaves.values())


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        tiny().resolution = 64


def test_defaults_that_a_file_may_leave_out() -> None:
    data = tiny().to_dict()
    del data["input"]["channels"]
    del data["stages"][0]["blocks"][0]["depth"]
    assert Architecture.from_dict(data) == tiny()


@pytest.mark.parametrize(
    ("damage", "where", "problem"),
    [
        (lambda d: d.pop("stem"), "", "'stem'"),
        (lambda d: d.pop("head"), "", "'head'"),
        (lambda d: d.pop("stages"), "", "'stages'"),
        (lambda d: d["stem"].pop("pattern"), "stem", "expected a mapping with a `pattern`"),
        (lambda d: d["stages"][1].pop("dim"), "stages[1]", "expected a stage with `dim` and `blocks`"),
        (lambda d: d["stages"][1].pop("blocks"), "stages[1]", "expected a stage with `dim` and `blocks`"),
        (lambda d: d["stages"][1]["entry"].pop("pattern"), "stages[1].entry", "`pattern`"),
        (lambda d: d["stages"][1]["blocks"].append(7), "stages[1].blocks[1]", "integer `depth`"),
        (lambda d: d["stages"][1]["blocks"][0].update(depth="two"), "stages[1].blocks[0]", "integer `depth`"),
        (lambda d: d["stages"][1]["blocks"][0]["mixer"].pop("pattern"), "stages[1].blocks[0].mixer", "`pattern`"),
        (lambda d: d.update(stages=[None]), "stages[0]", "expected a stage"),
    ],
)
def test_damaged_data_says_where(damage, where: str, problem: str) -> None:
    data = json.loads(tiny().to_json())
    damage(data)
    with pytest.raises(DesignError) as caught:
        Architecture.from_dict(data)
    assert caught.value.where == where
    assert problem in caught.value.problem
