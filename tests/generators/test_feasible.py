"""Every proposal of every generator keeps the budgets of the bundled spaces, counted by the planner."""

from __future__ import annotations

from functools import lru_cache

import pytest
from generators.stand_in import OBJECTIVES, evaluate

from gas.generators import GENERATORS, create
from gas.plan import plan
from gas.space import SearchSpace, load_space

SPACES = ("tiny", "turbovit")
OPTIONS = {"inquisitor": {"screened": 2000}}  # what it proposes is as feasible, sooner
SLOWER = ("inquisitor", "tpe")
STUDY = 200  # proposals of one search; a generator that models what it has seen takes longer over each later one


@lru_cache(maxsize=2)
def _space(name: str) -> SearchSpace:
    return load_space(name)


def _share_feasible(space: SearchSpace, name: str, proposals: int, study: int) -> float:
    """Share of proposals within the budgets, over several searches with seeds 0, 1, ..."""
    by_path = {d.path: d for d in space.decisions}
    seen = inside = 0
    for seed in range(-(-proposals // study)):
        generator = create(name, space, OBJECTIVES, seed, **OPTIONS.get(name, {}))
        for _ in range(min(study, proposals - seen)):
            (candidate,) = generator.ask(1)
            cost = plan(candidate.architecture).cost
            inside += all(c.violation(getattr(cost, c.metric)) == 0 for c in space.budgets)
            assert all(v in by_path[path].choices for path, v in candidate.decisions.items())
            generator.tell(evaluate(candidate))
            seen += 1
    assert seen == proposals
    return inside / seen


def test_the_spaces_have_budgets_that_leave_something_out() -> None:
    for name in SPACES:
        assert {c.metric for c in _space(name).budgets} == {"macs", "params"}
        assert _space(name).feasible_share(2_000)[0] < 0.9


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", GENERATORS.names())
def test_every_proposal_is_feasible(name: str, space: str) -> None:
    proposals = 60 if name in SLOWER else 300
    assert _share_feasible(_space(space), name, proposals, STUDY) == 1.0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", GENERATORS.names())
def test_ten_thousand_proposals_are_feasible(name: str, space: str) -> None:
    assert _share_feasible(_space(space), name, 10_000, STUDY) == 1.0


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", GENERATORS.names())
def test_decisions_are_those_that_decode_the_design(name: str, space: str) -> None:
    generator = create(name, _space(space), OBJECTIVES, 1, **OPTIONS.get(name, {}))
    for _ in range(30):
        (candidate,) = generator.ask(1)
        assert _space(space).decode(candidate.architecture) == candidate.decisions
        generator.tell(evaluate(candidate))
