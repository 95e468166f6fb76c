"""The positive pass: closed forms of linear networks, conservation on whole designs, and what it takes out of them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from proxies.designs import hierarchical
from torch import nn

from gas.architecture import Architecture
from gas.model import build
from gas.passes import Passes, Positive, Site, Subject, fresh
from gas.passes.positive import _Proportional
from gas.passes.subject import CLASSES
from gas.space import design_from_text

ONES = torch.ones(1, 3, 4, 4, dtype=torch.float64)


class Flat(nn.Module):
    """(B, 3, 4, 4) -> (B, 16, 3): a token per pixel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).transpose(1, 2)


class Ramp(nn.Module):
    """Makes the tokens unlike one another."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.linspace(1, 2, 16, dtype=x.dtype)[:, None]


def subject_of(*layers: nn.Module, blocks: tuple[int, ...] = ()) -> Subject:
    """A network of these layers behind `Flat`; those numbered in `blocks` are its blocks."""
    network = nn.Sequential(Flat(), *layers).eval()
    sites = [Site(layers[index], "tokens", "tokens") for index in blocks]
    return Subject(network, sites, torch.zeros(2, 3, 4, 4), 0, 0, 0)


def seeded_linears(widths: list[int]) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(a, b, bias=False) for a, b in pairwise(widths)]


def flows(seen: Positive) -> dict[str, float]:
    """Per layer the log of sum w dR/dw."""
    return {n: (g * seen.weights[n]).sum().log().item() + seen.scale for n, g in seen.gradients.items()}


def test_two_linear_layers_answer_as_their_closed_form() -> None:
    first, second = seeded_linears([3, 5, 2])
    seen = Passes(subject_of(first, nn.ReLU(), second)).positive
    one, two = (np.abs(layer.weight.detach().numpy().astype(float)) for layer in (first, second))
    response = 16 * (np.ones(2) @ two @ one @ np.ones(3))
    assert seen.response == pytest.approx(math.log(response))
    assert seen.scale == 0.0
    assert list(seen.weights) == ["1.weight", "3.weight"]
    assert np.allclose(seen.gradients["1.weight"], 16 * np.outer(two.sum(0), np.ones(3)))
    assert np.allclose(seen.gradients["3.weight"], 16 * np.outer(np.ones(2), one.sum(1)))


@pytest.mark.parametrize("blocks", [(), (1, 3)])
def test_levelling_before_blocks_changes_nothing_and_every_layer_conserves_the_flow(blocks: tuple[int, ...]) -> None:
    layers = seeded_linears([3, 7, 6, 5, 4])
    plain, levelled = (Passes(subject_of(*layers, blocks=b)).positive for b in ((), blocks))
    assert levelled.response == pytest.approx(plain.response, abs=1e-12)
    assert (levelled.scale != 0.0) == bool(blocks)
    assert flows(levelled) == pytest.approx(dict.fromkeys(levelled.weights, plain.response), abs=1e-12)


def test_a_response_beyond_the_range_of_float64_is_told_by_its_logarithm() -> None:
    layers = seeded_linears([3, *[40] * 60, 4])
    with torch.no_grad():
        for layer in layers:
            layer.weight.mul_(1e6)
    seen = Passes(subject_of(*layers, blocks=tuple(range(1, 61)))).positive
    vector, expected = np.ones(3), math.log(16)
    for layer in layers:
        vector = np.abs(layer.weight.detach().numpy().astype(float)) @ vector
        expected += math.log(vector.sum())
        vector /= vector.sum()
    assert seen.response == pytest.approx(expected, rel=1e-12)
    assert expected > math.log(np.finfo(float).max)
    assert all(g.isfinite().all() for g in seen.gradients.values())
    assert flows(seen) == pytest.approx(dict.fromkeys(seen.weights, expected), rel=1e-12)


WINDOWS = """
input: {resolution: 32}
stem: {pattern: conv_embed, kernel: 4, stride: 4, dim: 8, position: none}
stages:
  - dim: 8
    blocks:
      - {pattern: transformer, depth: 2, norm: layer, layer_scale: 0.1,
         mixer: {pattern: window_attention, heads: 2, window: 4, shift: alternate}}
  - entry: {pattern: conv_downsample, act: gelu}
    dim: 16
    blocks:
      - {pattern: transformer, depth: 1, norm: batch, mixer: {pattern: cascaded_group_attention, heads: 2},
         mlp: {pattern: conv_mlp, act: relu6}}
      - {pattern: transformer, depth: 1, mixer: {pattern: cross_covariance_attention, head_dim: 8},
         mlp: {pattern: conv_ffn, act: hardswish}}
      - {pattern: transformer, depth: 1, mixer: {pattern: single_head_attention, share: 0.5}}
      - {pattern: inverted_residual, depth: 1, se: 0.25}
head: {pattern: classifier, norm: none, classes: 5}
"""
NAMED = {
    "units": hierarchical(8, (8, 16), (2, 2), resolution=32, mask_unit=2, heads=2),
    "windows": design_from_text(WINDOWS),
}


@pytest.mark.parametrize("design", NAMED.values(), ids=NAMED)
def test_stem_and_head_of_a_design_conserve_the_flow(design: Architecture) -> None:
    subject = fresh(design, resolution=32, batch=8, seed=1)
    with torch.no_grad():
        for name, parameter in subject.network.named_parameters():
            if name.endswith("position"):
                parameter.zero_()  # what is added in between would flow through the head and not the stem
    seen = Passes(subject).positive
    assert all((g >= 0).all() for g in seen.gradients.values())
    found = flows(seen)
    ends = [name for name in found if name.startswith(("stem", "head"))]
    assert len(ends) == 2
    assert [found[name] for name in ends] == pytest.approx([seen.response] * 2, abs=1e-9)


def test_masks_of_shifted_windows_stay_masks() -> None:
    subject = fresh(NAMED["windows"], resolution=32, batch=8, seed=1)
    masks = [buffer for name, buffer in subject.network.named_buffers() if name.endswith("mask")]
    assert masks
    seen = Passes(subject).positive
    assert all(g.isfinite().all() for g in seen.gradients.values())
    assert all(mask.isneginf().any() for mask in masks)


def test_fixed_places_are_made_positive() -> None:
    class Placed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 3, bias=False)
            self.register_buffer("places", torch.tensor([[-1e6], [2.0]]).repeat(8, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.linear(self.places)

    placed = Placed()
    seen = Passes(subject_of(placed)).positive
    weights = placed.linear.weight.detach().abs().sum().item()
    assert seen.response == pytest.approx(math.log(16 * 3 + 8 * (1e6 + 2.0) * weights))
    assert placed.places[0] == -1e6


@pytest.mark.parametrize(
    "module",
    [
        *(nn.ReLU(), nn.ReLU6(), nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.ELU(), nn.LeakyReLU()),
        *(nn.LayerNorm(4), nn.BatchNorm2d(3).eval(), nn.GroupNorm(1, 3)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_norms_and_rectifiers_pass_on_what_comes_in(module: nn.Module) -> None:
    x = 9.0 * torch.rand(1, 3, 4, 4, dtype=torch.float64)
    with _Proportional():
        assert module.double()(x) is x


@pytest.mark.parametrize("module", [nn.Sigmoid(), nn.Hardsigmoid()], ids=lambda module: type(module).__name__)
def test_gates_are_open(module: nn.Module) -> None:
    with _Proportional():
        assert torch.equal(module(0.1 * ONES), ONES)


def test_attention_weighs_alike_all_that_it_may_see() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 3, 4, dtype=torch.float64, generator=generator) for _ in range(3))
    hidden = torch.tensor([[0.0, 0.0, -math.inf], [0.0, 0.0, 0.0], [-math.inf, 0.0, -math.inf]], dtype=torch.float64)
    with _Proportional():
        seen = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        masked = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=hidden)
        written = (q @ k.transpose(2, 3) + hidden).softmax(dim=-1) @ v
    assert torch.allclose(seen, v.mean(2, keepdim=True).expand_as(v))
    expected = torch.stack([v[:, :, :2].mean(2), v.mean(2), v[:, :, 1]], dim=2)
    assert torch.allclose(masked, expected)
    assert torch.allclose(written, expected)


def test_the_network_is_left_as_it_is() -> None:
    subject = fresh(NAMED["units"], resolution=32, batch=8, seed=0)
    before = {name: tensor.clone() for name, tensor in subject.network.state_dict().items()}
    passes = Passes(subject)
    assert passes.positive is passes.positive
    assert all(torch.equal(tensor, before[name]) for name, tensor in subject.network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in subject.network.modules())


def test_queries_and_keys_have_no_part_in_the_response() -> None:
    subject = fresh(NAMED["units"], resolution=32, batch=8, seed=0)
    seen = Passes(subject).positive
    name = next(name for name in seen.gradients if name.endswith("qkv.weight"))
    queries, keys, values = seen.gradients[name].chunk(3)
    assert not queries.any()
    assert not keys.any()
    assert (values > 0).all()


@pytest.mark.parametrize(
    ("factor", "text"),
    [(0.0, "got a response of 0.0; expected a finite number above 0"), (math.inf, "got a response of (inf|nan)")],
)
def test_a_signal_that_dies_out_or_overflows_is_a_reason(factor: float, text: str) -> None:
    (layer,) = seeded_linears([3, 2])
    with torch.no_grad():
        layer.weight.mul_(factor)
    with pytest.raises(ValueError, match=text):
        _ = Passes(subject_of(layer)).positive


def test_a_signal_that_dies_out_says_before_which_block() -> None:
    layers = seeded_linears([3, 2, 2, 2])
    with torch.no_grad():
        layers[1].weight.zero_()
    with pytest.raises(ValueError, match=r"got a mean of 0\.0 before block 2; expected one above 0"):
        _ = Passes(subject_of(*layers, blocks=(1, 2))).positive


def test_absolute_weights_alone_leave_norms_and_attention_as_they_are() -> None:
    subject = fresh(NAMED["units"], resolution=32, batch=8, seed=3)
    seen = Passes(subject).absolute
    network = build(NAMED["units"], classes=CLASSES, seed=3).double().eval()
    network.load_state_dict({name: value.abs() for name, value in subject.network.double().state_dict().items()})
    network(torch.ones(1, 3, 32, 32, dtype=torch.float64)).sum().backward()
    found = {n: p.grad for n, p in network.named_parameters() if n.endswith("weight") and p.dim() > 1}
    assert set(found) == set(seen.gradients)
    for name, gradient in seen.gradients.items():
        assert torch.allclose(gradient, found[name], rtol=1e-9, atol=1e-12 * gradient.abs().max())
    assert (seen.scale, seen.response) == (0.0, None)
    assert seen.gradients[next(name for name in found if name.endswith("qkv.weight"))].chunk(3)[0].any()


def test_batch_norms_of_absolute_weights_normalise_the_image() -> None:
    layers = seeded_linears([3, 4, 2])
    batch, image = nn.BatchNorm1d(16, eps=0.25).eval(), nn.LayerNorm((16, 4), eps=0.25)
    batch.running_var.fill_(100.0)
    rows = [subject_of(Ramp(), layers[0], norm, nn.ReLU(), layers[1]) for norm in (batch, image)]
    one, other = (Passes(subject).absolute for subject in rows)
    assert one.gradients["5.weight"].any()
    assert all(torch.allclose(one.gradients[name], other.gradients[name]) for name in one.gradients)


def test_an_absolute_response_that_overflows_is_a_reason() -> None:
    (layer,) = seeded_linears([3, 2])
    layer.weight.data.fill_(math.inf)
    with pytest.raises(ValueError, match="got a response of inf; expected a finite number"):
        _ = Passes(subject_of(layer)).absolute
