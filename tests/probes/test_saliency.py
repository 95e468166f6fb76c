"""Saliency against what truly happens to the scores, and on blocks that do nothing."""

from __future__ import annotations

import pytest
import torch
from proxies.designs import hierarchical
from torch import Tensor, nn

from gas.architecture import Architecture, Group, Spec, Stage
from gas.model import block_modules
from gas.patterns.units import LayerScale
from gas.plan import plan
from gas.probes import Subject, probe
from gas.probes.saliency import _change, saliency
from gas.probes.subject import fresh
from gas.probes.watching import watch


def scaled_design(depth: int = 3) -> Architecture:
    """Blocks on maps and on tokens, with layer scales that begin near 0; one stage is entered by a module."""
    block = Spec.of("transformer", mixer=Spec.of("global_attention", heads=2), layer_scale=1e-6)
    conv = Spec.of("convnext", layer_scale=1e-6)
    stages = (Stage(16, (Group(conv, 2),)), Stage(24, (Group(block, depth),), Spec.of("conv_downsample")))
    return Architecture(Spec.of("conv_embed", dim=16), stages, Spec.of("classifier"), 32)


def double(subject: Subject) -> Subject:
    return Subject(subject.network.double(), subject.architecture, subject.images.double())


def objective(subject: Subject, seed: int) -> Tensor:
    """That of `watch`, per image, as its documentation says."""
    scores = subject.network(subject.images)
    signs = torch.randint(0, 2, scores.shape, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0
    return (scores * (signs - signs.mean(dim=1, keepdim=True))).sum(dim=1)


@pytest.mark.parametrize("at", range(6))
def test_it_is_the_rate_at_which_the_scores_move_as_the_block_fades(at: int) -> None:
    design = scaled_design()
    subject = double(fresh(design, seed=2))
    subject.network.eval()  # as images bear on one another through a batch's statistics
    module, placed = list(block_modules(subject.network, subject.architecture))[at]
    block = watch(subject, design, seed=5)[at]
    if placed.pattern.kind == "entry":
        assert _change(block) is None
        return

    def faded(share: float) -> Tensor:
        hook = module.register_forward_hook(lambda _, inputs, output: output - share * (output - inputs[0]))
        with torch.no_grad():
            value = objective(subject, 5)
        hook.remove()
        return value

    rates = (faded(1e-4) - faded(-1e-4)) / 2e-4
    assert _change(block) == pytest.approx(rates.square().mean().sqrt().item(), rel=1e-5)


def test_a_block_that_widens_and_pools_is_read_by_its_branches() -> None:
    design = hierarchical(8, (8, 16), (1, 2), resolution=32, mask_unit=2, heads=2)
    subject = double(fresh(design, seed=1))
    modules = [module for module, _ in block_modules(subject.network, subject.architecture)]
    block = watch(subject, design, seed=5)[1]
    assert block.before.shape != block.after.shape
    shortcut: list[Tensor] = []

    def unbranched(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        x = module.shortcut(module.norm1(inputs[0]))
        shortcut.append(x.unflatten(1, (module.pool, -1)).amax(dim=1))

    hook = modules[1].register_forward_hook(unbranched)
    with torch.no_grad():
        subject.network(subject.images)
    hook.remove()
    assert torch.allclose(sum(block.branches), block.after - shortcut[0])
    expected = (block.gradient * (block.after - shortcut[0])).flatten(1).sum(1).square().mean().sqrt().item()
    assert _change(block) == pytest.approx(expected)


@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_block_that_does_nothing_has_no_saliency_and_is_its_input_s_like(at: int) -> None:
    design = scaled_design()
    subject = fresh(design)
    module = list(block_modules(subject.network, subject.architecture))[at][0]
    with torch.no_grad():
        for scale in (m for m in module.modules() if isinstance(m, LayerScale)):
            scale.gamma.zero_()
    readings = probe(design, subject=subject)
    assert readings[at]["saliency"] == 0.0
    assert readings[at]["similarity"] == pytest.approx(1.0)
    others = [r for n, r in enumerate(readings) if n != at and "saliency" in r]
    assert all(reading["saliency"] > 0.01 for reading in others)
    assert all(reading["similarity"] < 0.9999 for reading in others)


def test_layer_scales_near_0_do_not_mute_what_is_probed() -> None:
    readings = probe(scaled_design())
    assert min(reading["saliency"] for reading in readings if "saliency" in reading) > 0.01


def test_the_share_is_of_all_blocks_that_have_one() -> None:
    design = scaled_design()
    blocks = watch(fresh(design), design)
    changes = [_change(block) for block in blocks]
    total = sum(change for change in changes if change is not None)
    assert saliency(blocks) == [None if change is None else change / total for change in changes]
    assert [p.pattern.kind for p, s in zip(plan(design).blocks, changes, strict=True) if s is None] == ["entry"]
    for block in blocks:
        block.gradient = None
    assert saliency(blocks) == [None] * len(blocks)
