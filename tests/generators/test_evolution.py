"""Evolution: children are their parents' children, and the population holds the best."""

from __future__ import annotations

import re

import pytest
from generators.stand_in import OBJECTIVES, evaluate, search, stand_in

from gas.evaluation import Evaluation, Status
from gas.generators import create
from gas.pareto import non_dominated


def _differences(child: dict, parent: dict) -> int:
    return sum(child[path] != parent[path] for path in child if path in parent)


def test_children_inherit_from_the_parents_they_name() -> None:
    evaluations = search(create("evolution", stand_in(), OBJECTIVES, 0), 200)
    decisions = [dict(e.candidate.decisions) for e in evaluations]
    origins = [e.candidate.origin for e in evaluations]
    assert origins[:16] == ["random"] * 16
    kept: dict[str, list[int]] = {"mutation": [], "crossover": []}
    for number, origin in enumerate(origins[16:], 16):
        found = re.fullmatch(r"(mutation) of (\d+)|(crossover) of (\d+) and (\d+)", origin)
        assert found, origin
        parents = [int(text) for text in found.groups() if text and text.isdigit()]
        assert all(parent < number for parent in parents)
        kind = found[1] or found[3]
        child = decisions[number]
        strange = [
            path
            for path in child
            if any(path in decisions[p] for p in parents)
            and child[path] not in [decisions[p].get(path) for p in parents]
        ]
        kept[kind].append(len(strange))
    assert min(map(len, kept.values())) > 40
    # Of up to 8 decisions: the one or two mutated, and what the budget then forces to the nearest allowed value.
    assert sum(kept["mutation"]) / len(kept["mutation"]) < 2.5
    assert sum(kept["crossover"]) / len(kept["crossover"]) < 2.0
    assert min(kept["mutation"]) == 1


def test_random_designs_share_less_with_any_earlier_one_than_mutations_with_their_parent() -> None:
    evaluations = search(create("evolution", stand_in(), OBJECTIVES, 1, crossover=0.0), 120)
    decisions = [dict(e.candidate.decisions) for e in evaluations]
    children = [(n, int(e.candidate.origin.split()[-1])) for n, e in enumerate(evaluations) if n >= 16]
    to_parent = [_differences(decisions[n], decisions[parent]) for n, parent in children]
    to_others = [_differences(decisions[n], decisions[other]) for n, _ in children for other in range(16)]
    assert sum(to_parent) / len(to_parent) < 0.5 * sum(to_others) / len(to_others)


def test_the_population_keeps_the_front_and_its_size() -> None:
    generator = create("evolution", stand_in(), OBJECTIVES, 2, population=12)
    evaluations = search(generator, 80)
    losses = [generator.losses(e) for e in evaluations]
    front = {e.candidate.number for e, kept in zip(evaluations, non_dominated(losses), strict=True) if kept}
    members = {m.number for m in generator.members}
    assert len(members) == 12
    assert members <= front if len(front) >= 12 else front <= members


def test_failures_never_become_parents() -> None:
    generator = create("evolution", stand_in(), OBJECTIVES, 3)
    failed = set()
    for k in range(80):
        (candidate,) = generator.ask(1)
        status = Status.FAILED if k % 3 else Status.OK
        if status is Status.FAILED:
            failed.add(k)
        generator.tell(evaluate(candidate, status))
        assert not failed & {int(n) for n in re.findall(r"\d+", candidate.origin)}


def test_a_full_start_is_not_needed_when_none_is_told_yet() -> None:
    generator = create("evolution", stand_in(), OBJECTIVES, 4, start=0)
    assert {c.origin for c in generator.ask(5)} == {"random"}


@pytest.mark.parametrize("population", [2, 3])
def test_least_populations_work(population: int) -> None:
    generator = create("evolution", stand_in(), OBJECTIVES, 5, population=population, start=2, crossover=1.0)
    assert len(search(generator, 40)) == 40


def test_equal_losses_keep_the_search_going() -> None:
    generator = create("evolution", stand_in(), OBJECTIVES, 6, population=6)
    for _ in range(60):
        (candidate,) = generator.ask(1)
        generator.tell(Evaluation(candidate, Status.OK, {"score": 1.0, "macs": 1.0}))
    assert len({m.number for m in generator.members}) == 6
