"""Memory of a forward pass: by hand, by parts, over the whole network, on real tensors, as the allocator saw it."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from random_designs import random_designs
from torch import nn
from torch.profiler import ProfilerActivity, profile

from gas.architecture import Architecture, Group, Spec, Stage
from gas.costs import folded_count, memory, traced_count
from gas.costs.memory import MIB, Alive, Features, trace
from gas.errors import SettingError
from gas.model import build, fuse, network_part
from gas.patterns import Part
from gas.patterns.layouts import FromWindows, ToMap, ToTokens
from gas.patterns.units import Residual
from gas.plan import plan
from gas.space import bundled, load, load_space

QUICK = ("hiera_tiny", "fastvit_t8", "efficientvit_m0")  # attention on tokens, convolutions that fold, and both
ZOO = sorted(name.removeprefix("zoo/").removesuffix(".yaml") for name in bundled() if name.startswith("zoo/"))


def tokens(batch: int, count: int, dim: int) -> Features:
    return Features((batch, count, dim), (count * dim, dim, 1), 0, 4 * batch * count * dim)


def plain(batch: int, *rest: int) -> Features:
    return Features.of(torch.empty(batch, *rest, device="meta"))


def whole_network(design: Architecture, batch: int) -> tuple[int, int, int]:
    """Params, buffers and peak of the design traced in one piece."""
    image = plain(batch, design.channels, design.resolution, design.resolution)
    step = trace(network_part(design), image)
    return step.params_bytes, step.buffers_bytes, image.storage_bytes + step.peak_bytes


def real_run(design: Architecture, batch: int) -> int:
    """Peak of a real forward pass on the CPU, storage by storage."""
    module = fuse(build(design, seed=0))
    with torch.no_grad(), Alive([*module.parameters(), *module.buffers()]) as alive:
        image = torch.zeros(batch, design.channels, design.resolution, design.resolution)
        module(image)
    return alive.peak_bytes


def allocator_peak(design: Architecture, batch: int) -> int:
    """Peak of what PyTorch's allocator was asked for in a real forward pass, kernels' scratch included."""
    module = fuse(build(design, seed=0))
    with torch.inference_mode():
        module(torch.zeros(batch, design.channels, design.resolution, design.resolution))
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            image = torch.zeros(batch, design.channels, design.resolution, design.resolution)
            out = module(image)
            del image, out
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    assert now == 0
    return peak


# By hand


def test_a_chain_holds_what_a_layer_reads_and_what_it_writes() -> None:
    layers = Part(nn.Sequential, {"": [Part.of(nn.Linear, in_features=8, out_features=16), Part.of(nn.GELU)]})
    step = trace(layers, tokens(2, 5, 8))
    assert step.peak_bytes == 4 * (2 * 5 * 16) * 2  # the input is not counted here, whoever made it does
    assert step.params_bytes == 4 * (8 * 16 + 16)
    assert step.buffers_bytes == 0
    assert step.after == tokens(2, 5, 16)
    assert step.fresh


def test_a_residual_branch_holds_its_result_until_it_is_added() -> None:
    branch = Part.of(nn.Linear, in_features=8, out_features=8)
    assert trace(Part.of(Residual, branch=branch), tokens(2, 5, 8)).peak_bytes == 4 * (2 * 5 * 8) * 2


def test_views_and_operations_in_place_take_nothing() -> None:
    come = plain(2, 6, 4, 4)
    step = trace(Part.of(ToTokens), come)
    assert (step.peak_bytes, step.fresh) == (0, False)
    assert step.after == Features((2, 16, 6), (96, 1, 16), 0, come.storage_bytes)
    back = trace(Part.of(ToMap, grid=(4, 4)), step.after)
    assert (back.peak_bytes, back.fresh, back.after) == (0, False, come)
    assert trace(Part.of(nn.ReLU, inplace=True), come).peak_bytes == 0
    assert trace(Part.of(nn.ReLU), come).peak_bytes == come.storage_bytes


def test_a_view_keeps_the_whole_storage_alive() -> None:
    with_class_token = tokens(2, 17, 6)
    step = trace(Part.of(ToMap, grid=(4, 4), extra=1), with_class_token)
    assert not step.fresh
    assert step.after.offset == 6
    assert step.after.storage_bytes == with_class_token.storage_bytes


def test_windows_are_copied() -> None:
    step = trace(Part.of(FromWindows, grid=(4, 4), window=2, extra=1), tokens(1, 20, 6))
    assert step.peak_bytes == 4 * 16 * 6
    assert step.fresh


def test_a_design_worked_out_by_hand() -> None:
    """Norm by norm through one block: the peak is in its MLP, beside the image and the tokens that came in."""
    block = Spec.of("transformer", mixer=Spec.of("global_attention", heads=1), mlp=Spec.of("mlp", ratio=4))
    stem = Spec.of("conv_embed", dim=16, kernel=4, stride=4, position="none")
    design = Architecture(stem, (Stage(16, (Group(block, 2), Group(block, 1))),), Spec.of("classifier", classes=10), 32)
    batch = 3
    image, features = 4 * batch * 3 * 32 * 32, 4 * batch * 8 * 8 * 16
    # In the second block: what the stage began with, what the block reads, its first norm's result (which still has a
    # name there), the sum behind the mixer, the second norm's result, and the MLP's hidden features twice, at its GELU.
    expected = image + 5 * features + 2 * 4 * features
    found = memory(design, batch)
    assert found.peak_bytes == expected == real_run(design, batch)
    assert found.at == "stages[0].blocks[0]"  # the group whose second block it is; the third block takes as much
    assert found.params_bytes == 4 * traced_count(design).cost.params
    assert found.mib == (found.params_bytes + found.buffers_bytes + expected) / MIB


def test_a_conversion_that_is_a_view_is_not_counted_again() -> None:
    """A map that a stage reads as tokens: one storage, held by the stage and by the block."""
    block = Spec.of("transformer", mixer=Spec.of("global_attention", heads=1), mlp=Spec.of("mlp", ratio=1))
    stem = Spec.of("conv_stem", dim=16, strides=(4,), act="none")
    design = Architecture(stem, (Stage(16, (Group(block, 1),)),), Spec.of("classifier", classes=10), 32)
    assert [part.cls for part in plan(design).placed[1].conversions] == [ToTokens]
    found = memory(design, 2)
    assert found.at == "stages[0].blocks[0]"
    assert found.peak_bytes == real_run(design, 2)


# Parts, the whole network, real tensors, the allocator


@pytest.mark.parametrize("name", [*QUICK[:2], pytest.param(QUICK[2], marks=pytest.mark.slow)])
def test_parts_and_the_whole_network_agree(name: str) -> None:
    found = memory(load(name))
    assert (found.params_bytes, found.buffers_bytes, found.peak_bytes) == whole_network(load(name), 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_design_of_the_zoo_takes_what_a_real_run_takes(name: str, batch: int) -> None:
    design = load(name)
    found = memory(design, batch)
    assert (found.params_bytes, found.buffers_bytes, found.peak_bytes) == whole_network(design, batch)
    assert found.peak_bytes == real_run(design, batch)


@pytest.mark.slow
@pytest.mark.parametrize("space", ["hybrid.yaml", "efficientvit.yaml", "turbovit.yaml"])
def test_random_designs_of_a_space_by_parts_and_whole(space: str) -> None:
    for number, design in enumerate(load_space(space).sample(8, seed=11)):
        batch = 1 + number % 3
        found = memory(design, batch)
        assert (found.params_bytes, found.buffers_bytes, found.peak_bytes) == whole_network(design, batch)
        assert found.peak_bytes == real_run(design, batch)


def test_random_small_designs_take_what_a_real_run_takes() -> None:
    for number, design in enumerate(random_designs(10, seed=5)):
        batch = 1 + number % 3
        assert memory(design, batch).peak_bytes == real_run(design, batch), design.to_dict()


@pytest.mark.parametrize("name", ["hiera_tiny", "deit_small"])
def test_the_allocator_was_asked_for_as_much(name: str) -> None:
    """Designs whose kernels at the peak take nothing for themselves: with one image, byte for byte."""
    assert memory(load(name)).peak_bytes == allocator_peak(load(name), 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_the_allocator_was_asked_for_no_less(name: str) -> None:
    """What more it was asked for is the scratch of kernels."""
    assert memory(load(name), 2).peak_bytes <= allocator_peak(load(name), 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("name", ["hiera_tiny", "turbovit", "deit_small", "swin_tiny"])
def test_a_gpu_takes_as_much_within_5_percent(name: str) -> None:
    design, batch = load(name), 16
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    module = fuse(build(design, seed=0)).cuda()
    weights = torch.cuda.memory_allocated() - before
    with torch.inference_mode():
        module(torch.zeros(batch, design.channels, design.resolution, design.resolution, device="cuda"))
        # From here on the workspaces that cuBLAS keeps are there: they belong to the process, not to the design.
        kept = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        module(torch.zeros(batch, design.channels, design.resolution, design.resolution, device="cuda"))
        peak = torch.cuda.max_memory_allocated() - kept
    found = memory(design, batch)
    assert weights == pytest.approx(found.weights_bytes, rel=0.05)
    assert (weights + peak) / MIB == pytest.approx(found.mib, rel=0.05)


# What it is and is not


def test_the_peak_grows_with_the_batch_and_the_weights_do_not() -> None:
    for design in random_designs(3, seed=2):
        found = {batch: memory(design, batch) for batch in (2, 4, 10)}
        assert found[4].peak_bytes == 2 * found[2].peak_bytes
        assert found[10].peak_bytes == 5 * found[2].peak_bytes
        assert {m.weights_bytes for m in found.values()} == {memory(design).weights_bytes}
        assert memory(design).peak_bytes <= found[2].peak_bytes / 2
        assert {batch: m.batch for batch, m in found.items()} == {batch: batch for batch in found}


def test_fused_attention_makes_no_matrix_of_all_tokens() -> None:
    block = Spec.of("transformer", mixer=Spec.of("global_attention", heads=1), mlp=Spec.of("mlp", ratio=1))
    stem = Spec.of("conv_embed", dim=8, kernel=4, stride=4)
    design = Architecture(stem, (Stage(8, (Group(block, 1),)),), Spec.of("classifier", classes=2), 256)
    count = 64 * 64
    assert memory(design).peak_bytes < 4 * count**2 / 10
    assert memory(design).peak_bytes == real_run(design, 1)


@pytest.mark.parametrize("name", ["fastvit_t8", "efficientvit_m0", "hiera_tiny"])
def test_weights_are_those_of_the_folded_module(name: str) -> None:
    design = load(name)
    count = folded_count(design) or traced_count(design)
    module = fuse(build(design, seed=0))
    found = memory(design)
    assert found.params_bytes == 4 * count.cost.params
    assert found.buffers_bytes == sum(b.numel() * b.itemsize for b in module.buffers())
    assert found.weights_bytes == found.params_bytes + found.buffers_bytes
    assert math.isclose(found.weights_mib + found.peak_mib, found.mib)


@hypothesis_settings(max_examples=8)
@given(dim=st.integers(1, 5), extra=st.integers(0, 3), batch=st.integers(1, 4))
def test_a_larger_head_takes_exactly_its_own(dim: int, extra: int, batch: int) -> None:
    """A head writes (batch, classes) behind the pooled features: its weights and its result are all that it adds."""
    part = Part.of(nn.Linear, in_features=dim, out_features=2 + extra)
    step = trace(part, plain(batch, dim))
    assert step.params_bytes == 4 * (dim + 1) * (2 + extra)
    assert step.peak_bytes == 4 * batch * (2 + extra)


@pytest.mark.parametrize("batch", [0, -1, 1.5, "2", True, None])
def test_a_batch_that_cannot_be(batch: object) -> None:
    with pytest.raises(SettingError, match=r"batch: got .*; expected a whole number of at least 1"):
        memory(load("efficientvit_m0"), batch)


def test_a_part_is_traced_once(monkeypatch) -> None:
    design = next(random_designs(1, seed=77))
    first = memory(design, 7)
    # By way of sys.modules, because the package lends the function under the module's name.
    monkeypatch.setattr(sys.modules["gas.costs.memory"], "trace", lambda part, came: 1 / 0)
    assert memory(design, 7) == first
    with pytest.raises(ZeroDivisionError):
        memory(design, 8)


def test_nothing_is_left_behind() -> None:
    state = torch.get_rng_state()
    memory(next(random_designs(1, seed=78)), 5)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(torch.zeros(1)) is torch.Tensor
    assert torch.is_grad_enabled()


def test_storages_are_followed_to_their_end() -> None:
    known = torch.zeros(100)
    with Alive([known]) as alive:
        first = torch.zeros(10)
        view = first[2:4]
        del first
        assert alive.bytes == 40  # the view holds it
        known.add_(1)
        second = known + 1
        assert alive.bytes == 440
        del view
        assert alive.bytes == 400
        del second
        torch.zeros(5).split(2)
    assert (alive.bytes, alive.peak_bytes) == (0, 440)
