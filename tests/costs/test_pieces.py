from __future__ import annotations

import pytest
import torch
from hiera_parity import hierarchical, tiny
from random_designs import random_designs

from gas.architecture import Architecture
from gas.costs import cost
from gas.costs.pieces import design_pieces, pieces, whole
from gas.patterns import Cost
from gas.plan import plan
from gas.space import load, load_space


@pytest.mark.parametrize(
    "name", ["hiera_tiny", "fastvit_t8", "swin_tiny", "fastervit_0", "mobilevit_xs", "efficientvit_m2"]
)
def test_pieces_run_one_after_another_and_cost_what_the_design_costs(name: str) -> None:
    design = load(name)
    x = torch.zeros(1, 3, design.resolution, design.resolution, device="meta")
    total = Cost()
    for piece in design_pieces(design):
        assert tuple(x.shape[1:]) == piece.shape, piece
        with torch.device("meta"):
            x = piece.part.build().eval()(x)
        total += piece.cost
    assert x.shape == (1, 1000)
    assert total == cost(design)


def test_a_block_is_its_two_branches() -> None:
    design = tiny()
    kinds = [piece.kind for piece in design_pieces(design)]
    assert kinds.count("mlp") == sum(design.depths)
    assert kinds.count("mlp") == sum("attention" in kind for kind in kinds)


def test_a_channel_mixer_is_the_same_piece_whatever_mixed_the_tokens() -> None:
    local, everywhere = (
        hierarchical(16, (16, 32), (2, 2), 16, resolution=32, classes=10, mask_unit=4, local=stages)
        for stages in (2, 0)
    )

    def keys(design: Architecture, kind: str) -> set[str]:
        return {piece.key for piece in design_pieces(design) if piece.kind == kind}

    assert keys(local, "mlp") == keys(everywhere, "mlp")
    assert not keys(local, "mask_unit_attention") & keys(everywhere, "global_attention")


def test_a_part_s_pieces_are_the_design_s() -> None:
    for design in random_designs(10, seed=3):
        found = [piece for placed in plan(design).placed for piece in pieces(placed.spec, placed.came)]
        assert found == design_pieces(design)
        assert whole(design).cost == cost(design)


def test_a_whole_design_is_a_piece_of_its_own() -> None:
    space = load_space("tiny.yaml")
    designs = space.sample(20, 0)
    assert len({whole(design).key for design in designs}) == len({design.id for design in designs})
    assert not {whole(design).key for design in designs} & {p.key for d in designs for p in design_pieces(d)}
