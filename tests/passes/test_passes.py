"""The pass forward and back, the pass forward, and what is noted of non-linearities while they run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from passes.networks import Plus, subject_of
from torch import nn

from gas.model import token_rows
from gas.passes import Passes, fresh
from gas.passes.passes import CHUNKS, parts
from gas.passes.subject import CLASSES
from gas.passes.watching import Rectified, places, watched
from gas.patterns.inverted_residual_mlp import InvertedResidualMlp
from gas.patterns.mlp import Mlp
from gas.patterns.units import ConvNorm, SqueezeExcite
from gas.space import load


@pytest.mark.parametrize(("images", "sizes"), [(16, [4, 4, 4, 4]), (10, [3, 3, 2, 2]), (3, [1, 1, 1])])
def test_chunks_differ_by_one_image_at_most(images: int, sizes: list[int]) -> None:
    assert [len(part) for part in parts(torch.zeros(images, 2))] == sizes


def test_codes_are_the_signs_of_what_comes_in() -> None:
    block = Mlp(3, 7)
    subject = subject_of([Plus(block)], 3, layout="tokens", images=6)
    codes = Passes(subject).shared.codes
    x = subject.images.flatten(2).transpose(1, 2).numpy()
    weight, bias = (p.detach().numpy() for p in block.fc1.parameters())
    assert np.array_equal(codes.numpy(), (x @ weight.T + bias > 0).reshape(6, -1))


@pytest.mark.parametrize("act", [nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.ELU])
def test_every_non_linearity_is_seen_once(act: type[nn.Module]) -> None:
    subject = subject_of([nn.Conv2d(3, 5, 1), act()], 5, images=4)
    assert Passes(subject).shared.codes.shape == (4, 5 * 16)


class Table(nn.Module):
    """x plus what a small network makes of places alone."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 3)
        self.register_buffer("where", torch.randn(1, 16, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + F.relu(self.fc(self.where))


def test_what_sees_no_image_has_no_code() -> None:
    assert Passes(subject_of([Table()], 3, layout="tokens", images=10)).shared.codes.shape == (10, 0)


def test_gradients_and_losses_are_those_of_each_chunk() -> None:
    subject = subject_of([nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 1)], 4, images=10)
    passes = Passes(subject)
    labels = torch.randint(CLASSES, (10,), generator=passes.generator(1))
    assert len(passes.shared.gradients) == CHUNKS
    for index, (start, stop) in enumerate([(0, 3), (3, 6), (6, 8), (8, 10)]):
        loss = F.cross_entropy(subject.network(subject.images[start:stop]), labels[start:stop])
        loss.backward()
        assert passes.shared.losses[index] == pytest.approx(loss.item(), rel=1e-5)
        for name, module in subject.network.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                assert torch.allclose(passes.shared.gradients[index][f"{name}.weight"], module.weight.grad, atol=1e-6)
        subject.network.zero_grad()


def test_blocks_are_seen_on_all_images_in_order() -> None:
    subject = subject_of([nn.Conv2d(3, 5, 1), Plus(nn.Conv2d(5, 5, 1))], 5, images=10)
    first, second = Passes(subject).shared.blocks
    assert torch.equal(first.before, subject.images)
    assert torch.allclose(first.after, subject.blocks[0].module(subject.images), atol=1e-6)
    assert torch.equal(second.before, first.after)
    assert not second.after.requires_grad
    assert first.layouts == ("map", "map")


def hidden_of(block: nn.Module, *, layout: str, dim: int = 3) -> list[torch.Tensor]:
    subject = subject_of([block], dim, layout=layout)
    with watched(subject.blocks, 6) as (blocks, _):
        subject.network(subject.images)
    return blocks[0].hidden


def test_the_inside_of_an_mlp_is_a_hidden_state() -> None:
    block = Mlp(3, 7)
    subject = subject_of([Plus(block)], 3, layout="tokens")
    with watched(subject.blocks, 6) as (blocks, _):
        subject.network(subject.images)
    (found,) = blocks[0].hidden
    assert torch.allclose(found, block.fc1(token_rows(subject.images, "map")), atol=1e-6)


def test_norms_and_depthwise_convolutions_may_stand_between() -> None:
    between = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.GELU())
    assert [tuple(found.shape) for found in hidden_of(between, layout="map", dim=8)] == [(96, 8)]
    # Two non-linearities behind one layer are one hidden state.
    inverted = InvertedResidualMlp(3, 8, kernel=3, act="gelu", norm_last=False, shortcut=False, bias=False)
    assert [tuple(found.shape) for found in hidden_of(inverted, layout="map")] == [(96, 8)]


def test_gates_attention_and_depthwise_layers_alone_are_none() -> None:
    assert hidden_of(SqueezeExcite(3, 8), layout="map") == []
    assert hidden_of(ConvNorm(3, 3, 3, groups=3, act="relu"), layout="map") == []
    assert hidden_of(nn.Linear(3, 3), layout="tokens") == []


def test_hidden_states_belong_to_the_block_in_which_they_are() -> None:
    subject = subject_of([Mlp(3, 7), nn.Linear(3, 3), Mlp(3, 9)], 3, layout="tokens")
    with watched(subject.blocks, 6) as (blocks, _):
        subject.network(subject.images)
    assert [[found.shape[1] for found in block.hidden] for block in blocks] == [[7], [], [9]]


@pytest.mark.parametrize("name", ["zoo/hiera_tiny", "zoo/mobilevit_xxs"])
def test_on_whole_designs_each_mlp_has_one(name: str) -> None:
    subject = fresh(load(name), batch=8)
    widths: list[int] = []
    for module in subject.network.modules():
        if isinstance(module, Mlp):
            module.fc1.register_forward_hook(lambda _, __, output: widths.append(output.shape[-1]))
    with torch.no_grad(), watched(subject.blocks, 8) as (blocks, _):
        subject.network(subject.images)
    found = [state.shape[1] for block in blocks for state in block.hidden]
    assert found == widths or name == "zoo/mobilevit_xxs"  # which has inverted bottlenecks too
    for width in set(widths):
        assert found.count(width) >= widths.count(width)


def test_the_pass_forward_gathers_what_blocks_give_out() -> None:
    subject = subject_of([Mlp(3, 7), Plus(nn.Linear(3, 3))], 3, layout="tokens", batch=5)
    passes = Passes(subject)
    generator = passes.generator(2)
    images = torch.cat([torch.randn(5, 3, 4, 4, generator=generator) for _ in range(2)])
    with torch.no_grad():
        x = token_rows(images, "map")
        hidden = subject.blocks[0].module.fc1(x)
        first = subject.blocks[0].module(x)
        second = subject.blocks[1].module(first)
    seen = passes.forward
    assert seen.codes.shape == (10, 16 * 7)
    assert torch.equal(seen.codes, (hidden > 0).view(10, -1))
    for scatter, features in (
        (seen.blocks[0].hidden[0], hidden),
        (seen.blocks[0].after, first),
        (seen.blocks[1].after, second),
    ):
        expected = np.linalg.eigvalsh(np.cov(features.double().numpy(), rowvar=False, bias=True))[::-1]
        assert np.allclose(scatter.variances().numpy(), expected, rtol=1e-4, atol=1e-6)
    assert seen.blocks[1].hidden == []


def test_nothing_is_left_behind() -> None:
    subject = subject_of([Mlp(3, 7)], 3, layout="tokens")
    passes = Passes(subject)
    _ = passes.shared, passes.forward
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in subject.network.modules())
    assert all(parameter.grad is None for parameter in subject.network.parameters())


def test_hooks_go_where_a_pass_fails() -> None:
    subject = subject_of([Mlp(3, 7)], 4, layout="tokens")  # the classifier reads 4 channels, not 3
    with pytest.raises(RuntimeError):
        _ = Passes(subject).shared
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in subject.network.modules())


def test_rows_and_places() -> None:
    x = torch.randn(2, 3, 4, 5)
    assert places(x, "map") == 20
    assert torch.equal(token_rows(x, "map")[7], x[0, :, 1, 2])
    assert places(x.flatten(2).transpose(1, 2), "tokens") == 20
    assert Rectified(3).codes().shape == (3, 0)
