"""The PiT space, and the trained designs of ViT-Bench-101 in it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from types import SimpleNamespace

import pytest
from experiments.experiment_scripts import EXPERIMENTS, scripts

from gas.architecture import Architecture
from gas.plan import plan
from gas.space import SearchSpace, load, load_space


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space("pit")


@pytest.fixture(scope="module")
def pit() -> Iterator[SimpleNamespace]:
    with scripts("proxy_validation", ("pit",)) as found:
        yield found.pit


@pytest.fixture(scope="module")
def rows() -> list[Mapping[str, str]]:
    with (EXPERIMENTS / "proxy_validation" / "pit.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_has_the_designs_of_the_benchmark_s_choices_and_no_others(space: SearchSpace) -> None:
    # Channels per head; heads per stage, never fewer than before; depths; MLP ratio.
    assert space.size() == 4 * 10 * (3 * 3 * 3) * 4
    for design in space.sample(50, seed=0):
        base = dict(design.stages[0].blocks[0].block.options)["mixer"].options["head_dim"]
        heads = [dim // base for dim in design.dims]
        assert [base * number for number in heads] == list(design.dims)
        assert heads == sorted(heads)
        assert set(heads) <= {2, 4, 8}


def test_the_trained_designs_are_members_and_cost_what_the_benchmark_says(
    space: SearchSpace, pit: SimpleNamespace, rows: list[Mapping[str, str]]
) -> None:
    assert len({row["id"] for row in rows}) == len(rows) == 100
    for row in rows:
        design = Architecture.from_json(row["design"])
        cost = plan(design).cost
        assert design.id == row["id"]
        assert design in space
        assert cost.params == int(row["params"])
        # The benchmark leaves out the layers that the class token alone goes through.
        assert cost.macs == int(row["macs"]) == int(row["table_macs"]) + pit.class_token_macs(design)
        assert 40 < float(row["c100_base_acc"]) < 90
        assert 30 < float(row["flower_base_acc"]) < 80


def test_a_row_of_the_benchmark_as_a_design(pit: SimpleNamespace, rows: list[Mapping[str, str]]) -> None:
    first = pit.design({"base_dim": 16, "mlp_ratio": 6, "depth": [2, 8, 4], "num_heads": [2, 4, 4]})
    assert first.id == rows[0]["id"]
    assert (first.dims, first.depths) == ((32, 64, 64), (2, 8, 4))
    assert plan(first).cost.params == 893_828  # as the table has it
    published = pit.design({"base_dim": 32, "mlp_ratio": 4, "depth": [2, 6, 4], "num_heads": [2, 4, 8]})
    assert plan(published).cost.params == plan(load("pit_ti")).cost.params - 900 * 257
