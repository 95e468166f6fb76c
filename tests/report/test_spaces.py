from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from small_search import REFERENCE, SIZE, SPACE, timed_space

from gas.report.spaces import show_space, space_facts
from gas.report.tables import MACS_NOTE
from gas.space import SearchSpace, load_space, space_from_text


@pytest.fixture(scope="module")
def tiny() -> SearchSpace:
    return load_space("tiny.yaml")


def shown(space: SearchSpace, **options: object) -> str:
    stream = io.StringIO()
    show_space(space, stream=stream, **options)
    return stream.getvalue()


def test_text_says_what_the_space_is(tiny: SearchSpace) -> None:
    text = shown(tiny)
    low, high = tiny.cost_range["params"]
    for part in (
        "tiny: Three stages",
        f"designs      {tiny.size():,}",
        f"decisions    {len(tiny.decisions)}",
        f"params       {low / 1e3:.2f} k to {high / 1e6:.2f} M",
        "objectives   maximise proxy",
        "bounds       params at most 500.0 k",
        "macs at most 5.00 M",
        "rules        stages[1].dim > stages[0].dim",
        "feasible     17,635 designs (54.979% of all) meet the bounds on params and macs",
        "stages[0].blocks[0].mixer is mask_unit_attention",
        MACS_NOTE,
    ):
        assert part in text
    for decision in tiny.decisions:
        assert decision.path in text
    assert text.count(MACS_NOTE) == 1
    assert "\x1b" not in text


def test_json_holds_the_same_and_exact_numbers(tiny: SearchSpace) -> None:
    (facts,) = json.loads(shown(tiny, how="json", examples=4, seed=1))
    assert facts["designs"] == tiny.size()
    assert facts["macs"] == list(tiny.cost_range["macs"])
    assert [d["path"] for d in facts["decisions"]] == [d.path for d in tiny.decisions]
    share = facts["feasible_share"]
    assert 0 <= share["low"] < share["estimate"] < share["high"] <= 1
    assert facts["constraints"] == ["params <= 500000", "macs <= 5e+06"]
    assert len(facts["examples"]) == 4
    assert all(e["params"] <= 500_000 and e["macs"] <= 5_000_000 for e in facts["examples"])
    # Where nothing is bounded there is no share to estimate.
    small = space_facts(space_from_text(SPACE), examples=3, seed=0)
    assert small["designs"] == SIZE
    assert "feasible_share" not in small


def test_examples_depend_on_the_seed_alone(tiny: SearchSpace) -> None:
    ids = [[e["id"] for e in space_facts(tiny, examples=5, seed=seed)["examples"]] for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]
    assert space_facts(tiny, examples=0, seed=0)["examples"] == []
    assert shown(tiny, examples=0).count(MACS_NOTE) == 1


def test_a_relative_bound_names_its_reference(tmp_path: Path) -> None:
    text = shown(load_space(timed_space(tmp_path)))
    assert "bounds       latency at most 1.5 times reference.yaml" in text
    absolute = SPACE + "constraints: {latency: {max: 3}, macs: {min: 1M}}\n"
    text = shown(space_from_text(absolute))
    assert "latency at most 3" in text
    assert "macs at least 1.00 M" in text


def test_a_design_is_a_space_with_one_member() -> None:
    text = shown(space_from_text(REFERENCE))
    assert "designs      1" in text
    assert "Decisions\n" not in text


@pytest.mark.slow
def test_a_long_list_of_choices_is_cut_in_the_table_and_whole_as_json() -> None:
    space = load_space("hybrid.yaml")
    text, data = io.StringIO(), io.StringIO()
    show_space(space, examples=0, stream=text)
    show_space(space, examples=0, how="json", stream=data)
    mixers = next(d for d in json.loads(data.getvalue())[0]["decisions"] if d["path"] == "stages[0].blocks[0].mixer")
    names = mixers["choices"].split(", ")
    (line,) = (line for line in text.getvalue().splitlines() if line.startswith("stages[0].blocks[0].mixer  "))
    assert line.endswith(f", ... ({len(names)} in all)")
    shown = line.split("  ")[-1].strip().split(", ")[:-1]
    assert shown == names[: len(shown)]
    assert max(map(len, text.getvalue().splitlines())) < 240
