"""Designs that a search starts from: found, refused, moved within the bounds, kept by the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_search import BODY, QUICK, SCORED, told, written

import gas
from gas.architecture import Architecture
from gas.errors import DesignError, GasError, RunError, SettingError
from gas.evaluation import Constraint
from gas.pricing import Pricing
from gas.prototypes import find_prototypes, outside
from gas.run import open_run
from gas.session import Session, search
from gas.space import SearchSpace, load, load_space

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def turbovit() -> SearchSpace:
    return load_space("turbovit.yaml")


def design_file(folder: Path, design: Architecture, name: str = "mine.yaml") -> str:
    return str(written(folder, name, json.dumps(design.to_dict())))


def largest(space: SearchSpace) -> Architecture:
    return max(space.sample(500, 0), key=lambda design: gas.cost(design).macs)


def test_prototypes_by_name_by_file_and_in_a_run(tmp_path: Path) -> None:
    space = load_space(written(tmp_path))
    run = search(space, out=tmp_path / "a:run", budget=4, **QUICK)  # a colon in the folder's own name
    design = space.sample(1, 1)[0]
    names = [design_file(tmp_path, design), f"{run.path}:best", f"{run.path}:2"]
    found = find_prototypes(names, space)
    assert list(found) == names
    assert list(found.values()) == [design, run.architecture("best"), run.architecture(2)]
    assert find_prototypes([], space) == {}


def test_names_of_the_zoo(turbovit: SearchSpace) -> None:
    names = ("hiera_tiny", "zoo/turbovit", "turbovit")  # the design, not the space of that name
    assert find_prototypes(names, turbovit) == {name: load(name) for name in names}


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("hiera_tinny", GasError, "hiera_tinny: no such file, and no bundled space or design of that name; did you"),
        ("tiny.yaml", GasError, "got a search space with"),
        ("RUN", SettingError, "RUN: got a folder; expected a design, or RUN:ID such as RUN:best"),
        ("RUN:", RunError, "RUN: got ''"),
        ("RUN:99", RunError, "RUN: got '99'; expected the id or number of one of the run's 3 candidates"),
        ("RUN:bst", RunError, "did you mean 'best'?"),
        ("nowhere:best", GasError, "nowhere:best: no such file"),
        ("efficientvit_m0", DesignError, "efficientvit_m0: stages: got 3; expected 2 in the space small"),
        ("hiera_tiny", DesignError, "hiera_tiny: stages: got 4; expected 2 in the space small"),
    ],
)
def test_what_is_no_prototype_is_named_and_nothing_is_left(
    name: str, kind: type, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = load_space(written(tmp_path))
    if name.startswith("RUN"):
        search(space, out="RUN", budget=3, **QUICK)
    with pytest.raises(kind) as caught:
        search(space, out="new", prototypes=[name], **QUICK)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("new").exists()


def test_one_outside_the_space_says_which_decision_and_the_nearest_value(turbovit: SearchSpace, tmp_path: Path) -> None:
    data = load("hiera_tiny").to_dict()
    data["stages"][2]["dim"] = 576
    name = design_file(tmp_path, Architecture.from_dict(data))
    with pytest.raises(DesignError) as caught:
        find_prototypes([name], turbovit)
    expected = "one of 224, 256, 288, 320, 384; nearest 384 in the space turbovit"
    assert str(caught.value) == f"{name}: stages[2].dim: got 576; expected {expected}"


def test_one_outside_the_bounds_is_moved_and_the_log_says_so(tmp_path: Path) -> None:
    design = largest(load_space(written(tmp_path)))
    bound = gas.cost(design).macs - 1
    text = f"name: small\n{BODY}\nconstraints: {{macs: {{max: {bound}}}}}\n"
    mine = design_file(tmp_path, design)
    run = search(written(tmp_path, "bounded.yaml", text), out=tmp_path / "run", budget=3, prototypes=[mine], **QUICK)
    first = run.frame().iloc[0]
    assert first["origin"] == f"near {mine}"
    assert first["macs"] <= bound
    lines = (run.path / "log.txt").read_text().splitlines()
    said = f"prototype {mine}: macs {bound + 1:.6g}, wanted macs <= {bound:g}; the search begins with what is near it"
    assert said in lines[1]
    search(None, out=run.path, resume=True, budget=4)
    assert (run.path / "log.txt").read_text().count("prototype ") == 1
    free = search(written(tmp_path), out=tmp_path / "free", budget=3, prototypes=[mine], **QUICK)
    assert free.frame().iloc[0]["origin"] == mine
    assert free.frame().iloc[0]["id"] == design.id
    assert "prototype " not in (free.path / "log.txt").read_text()


@pytest.mark.slow
def test_of_the_bounds_those_are_looked_at_that_generators_keep_to(turbovit: SearchSpace) -> None:
    hiera = {"hiera_tiny": load("hiera_tiny")}
    pricing = Pricing((Constraint("macs", high=2.2e9), Constraint("memory_mib", high=1.0)), memory_batch=1)
    assert outside(hiera, pricing) == {"hiera_tiny": "macs 4.90083e+09, wanted macs <= 2.2e+09"}
    assert outside(hiera, Pricing()) == {}


def test_a_run_keeps_its_prototypes(tmp_path: Path) -> None:
    space = load_space(written(tmp_path))
    design = space.sample(1, 1)[0]
    mine = design_file(tmp_path, design)
    run = search(space, out=tmp_path / "run", budget=2, prototypes=(mine,), **QUICK)
    assert open_run(run.path).prototypes == {mine: design}
    assert run.settings.prototypes == (mine,)
    assert SCORED[0] == design.id
    Path(mine).unlink()
    search(None, out=run.path, resume=True, budget=4)
    assert len(told(run.path)) == 4
    (run.path / "prototypes.json").unlink()
    with pytest.raises(RunError, match=r"got no prototypes\.json"):
        search(None, out=run.path, resume=True, budget=5)
    (run.path / "prototypes.json").write_text('{"a": {"stem": 3}}')
    with pytest.raises(RunError, match=r"prototypes\.json: damaged: "):
        search(None, out=run.path, resume=True, budget=5)


def test_the_same_prototype_twice_is_proposed_once(tmp_path: Path) -> None:
    space = load_space(written(tmp_path))
    design = space.sample(1, 1)[0]
    names = [design_file(tmp_path, design), design_file(tmp_path, design, "again.yaml")]
    run = search(space, out=tmp_path / "run", budget=5, prototypes=names, **QUICK)
    assert list(run.frame()["id"]).count(design.id) == 1


def test_a_budget_smaller_than_what_the_generator_begins_with(tmp_path: Path) -> None:
    space = load_space(written(tmp_path))
    names = [design_file(tmp_path, design, f"{i}.yaml") for i, design in enumerate(space.sample(3, 1))]
    with pytest.raises(SettingError) as caught:
        search(space, out=tmp_path / "run", budget=2, prototypes=names, **QUICK)
    begins = "the designs that the generator evolution begins with (prototypes among them: 3), or fewer prototypes"
    assert str(caught.value) == f"budget: got 2; expected at least 3, {begins}"
    assert not (tmp_path / "run").exists()
    run = search(space, out=tmp_path / "run", budget=3, prototypes=names, **QUICK)
    with Session(None, run.path, resume=True, settings={"budget": 1}) as session:  # nothing is lost by it
        assert session.run() == "budget"
    assert len(told(run.path)) == 3
