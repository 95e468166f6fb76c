"""Activations by pieces, by the whole module, and by fvcore: three roads to one number."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from gas.architecture import Architecture
from gas.costs.activations import ActivationCounter, activations, activations_of, part_activations
from gas.model import network_part
from gas.plan import plan
from gas.space import load, load_space

QUICK = ("turbovit", "fastvit_t8")
SLOW = ("hiera_tiny", "efficientvit_m0", "mobilevit_s", "edgenext_small")


def by_the_whole(design: Architecture) -> int:
    with torch.device("meta"):
        module = network_part(design).build().eval()
    image = torch.zeros(1, design.channels, design.resolution, design.resolution, device="meta")
    with ActivationCounter() as counter, torch.no_grad():
        module(image)
    return counter.elements


def by_fvcore(design: Architecture) -> int:
    """Its own count, and what it leaves out: fused attention and products with a sum."""
    with torch.random.fork_rng(devices=[]):
        module = network_part(design).build().eval()
    left_out: list[int] = []

    def sizes(values: list[Any]) -> list[list[int]]:
        return [value.type().sizes() for value in values[:3]]

    def attention(inputs: list[Any], outputs: list[Any]) -> int:
        query, key, _ = sizes(inputs)
        left_out.append(math.prod(query[:-1]) * key[-2] + math.prod(sizes(outputs)[0]))
        return 0

    def product(inputs: list[Any], outputs: list[Any]) -> int:
        left_out.append(math.prod(sizes(outputs)[0]))
        return 0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore decorates with torch.jit.script, and its tracing warns
        from fvcore.nn import ActivationCountAnalysis

        image = torch.zeros(1, design.channels, design.resolution, design.resolution)
        count = ActivationCountAnalysis(module, image).set_op_handle("aten::scaled_dot_product_attention", attention)
        count.set_op_handle("aten::baddbmm", product)
        total = count.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    return int(total) + sum(left_out)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_three_roads(name: str) -> None:
    design = load(name)
    assert activations(design) == by_the_whole(design) == by_fvcore(design) > 0


def test_a_stem_by_hand() -> None:
    stem = plan(load("turbovit")).placed[0]
    assert part_activations(stem.spec, stem.came) == 96 * 56 * 56


def test_many_designs_at_once() -> None:
    space = load_space("tiny")
    designs = space.sample_feasible(9, 0)
    found = activations_of(designs)
    assert found.dtype == np.int64
    assert found.tolist() == [by_the_whole(design) for design in designs]
    assert (activations_of(designs[3:9]) == found[3:9]).all()


@pytest.mark.slow
def test_many_designs_of_a_space_with_many_patterns() -> None:
    designs = load_space("hybrid").sample_feasible(12, 0)
    assert activations_of(designs).tolist() == [by_the_whole(design) for design in designs]
