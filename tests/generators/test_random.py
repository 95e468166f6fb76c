"""Random search: uniform at every decision, whatever it is told."""

from __future__ import annotations

from collections import Counter

from generators.stand_in import OBJECTIVES, evaluate, search, stand_in

from gas.generators import create


def test_each_decision_is_uniform_over_what_is_allowed() -> None:
    space = stand_in(max_macs=1e12)
    generator = create("random", space, OBJECTIVES, 0)
    drawn = [generator.draw()[0].decisions for _ in range(2_000)]
    for decision in space.decisions:
        counts = Counter(d[decision.path] for d in drawn if decision.path in d)
        expected = sum(counts.values()) / len(decision.choices)
        assert set(counts) == set(decision.choices)
        # Five standard deviations of a count.
        assert all(abs(n - expected) < 5 * expected**0.5 for n in counts.values()), (decision.path, counts)


def test_it_learns_nothing() -> None:
    told = [e.candidate for e in search(create("random", stand_in(), OBJECTIVES, 0), 30)]
    assert told == create("random", stand_in(), OBJECTIVES, 0).ask(30)
    assert {c.origin for c in told} == {"random"}
    assert [evaluate(c).metrics["macs"] <= stand_in().max_macs for c in told] == [True] * 30
