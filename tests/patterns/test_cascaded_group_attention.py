"""cascaded_group_attention against its definition, written out token by token; the rest is in the contract test."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gas.architecture import Spec
from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import Cost, Flow
from gas.patterns.base import nested
from gas.patterns.cascaded_group_attention import CascadedGroupAttention


def made(grid: tuple[int, int], dim: int = 12, **options: object) -> CascadedGroupAttention:
    """The module with random weights and statistics, in double precision."""
    pattern, typed = nested(Spec.of("cascaded_group_attention", **options))
    flow = Flow(dim, grid, target=dim)
    pattern.after(typed, flow)
    torch.manual_seed(0)
    module = pattern.part(typed, flow).build().double().eval()
    for tensor in [*module.parameters(), *(b for n, b in module.named_buffers() if "running" in n)]:
        tensor.data.copy_(0.5 + torch.rand_like(tensor) if tensor.ndim == 1 else torch.randn_like(tensor))
    return module


def by_definition(module: CascadedGroupAttention, x: Tensor, side: int) -> Tensor:
    """Window by window, head by head, token by token; C, H and W are those of one image."""
    channels, height, width = x.shape
    heads, down, across = len(module.qkv), -(-height // side), -(-width // side)
    padded = x.new_zeros(channels, down * side, across * side)
    padded[:, :height, :width] = x
    result = torch.zeros_like(padded)
    for top in range(0, down * side, side):
        for left in range(0, across * side, side):
            window = padded[:, top : top + side, left : left + side]
            outs: list[Tensor] = []
            for head, piece in enumerate(window.split(channels // heads)):
                given = piece + outs[-1] if module.cascade and head else piece
                outs.append(one_head(module, head, given))
            mixed = module.proj(module.act(torch.cat(outs))[None])[0]
            result[:, top : top + side, left : left + side] = mixed
    return result[:, :height, :width]


def one_head(module: CascadedGroupAttention, head: int, x: Tensor) -> Tensor:
    """Softmax attention of one window, (C, side, side) -> (values, side, side)."""
    keys, side = module.split[0], x.shape[-1]
    qkv = module.qkv[head](x[None])
    q, k, v = module.local[head](qkv[:, :keys])[0], qkv[0, keys : 2 * keys], qkv[0, 2 * keys :]
    out = torch.zeros_like(v)
    places = [(row, column) for row in range(side) for column in range(side)]
    for row, column in places:
        scores = []
        for other, beside in places:
            score = q[:, row, column] @ k[:, other, beside] / keys**0.5
            if module.position is not None:
                table = module.position.table
                score = score + table[head, abs(row - other) * side + abs(column - beside)]
            scores.append(score)
        for weight, (other, beside) in zip(torch.stack(scores).softmax(0), places, strict=True):
            out[:, row, column] += weight * v[:, other, beside]
    return out


@pytest.mark.parametrize(
    ("grid", "side", "options"),
    [
        ((6, 6), 3, {"heads": 3, "window": 3, "key_dim": 5}),  # windows that fit
        ((5, 7), 4, {"heads": 2, "window": 4, "kernels": (3,)}),  # padded below and on the right
        ((4, 4), 4, {"heads": 3, "window": 7}),  # a window wider than the map
        ((3, 5), 3, {"heads": 2, "window": 9}),  # and wider than one of its sides
        ((3, 5), 5, {"heads": 2, "window": None}),  # one window
        ((4, 4), 2, {"heads": 3, "window": 2, "cascade": False, "ratio": 0.5, "key_dim": 6}),
        ((4, 4), 4, {"heads": 3, "position_bias": False, "act": "gelu"}),
        ((4, 4), 4, {"heads": 1}),
    ],
)
def test_equals_its_definition(grid: tuple[int, int], side: int, options: dict) -> None:
    module = made(grid, **options)
    assert module.window == side
    x = torch.randn(2, 12, *grid, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = torch.stack([by_definition(module, image, side) for image in x])
        assert torch.allclose(module(x), wanted, rtol=1e-9, atol=1e-9)
        assert torch.allclose(fuse(module)(x), wanted, rtol=1e-9, atol=1e-9)


def test_a_cascade_hands_on_from_head_to_head() -> None:
    x = torch.randn(1, 12, 4, 4, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    changed = x.clone()
    changed[:, :4] += 1.0  # what the first of three heads sees
    for cascade, reached in ((True, [True, True, True]), (False, [True, False, False])):
        module = made((4, 4), heads=3, cascade=cascade)
        seen: list[list[Tensor]] = [[], []]
        for held, image in zip(seen, (x, changed), strict=True):
            hooks = [qkv.register_forward_hook(lambda m, i, out, to=held: to.append(out)) for qkv in module.qkv]
            with torch.inference_mode():
                module(image)
            for hook in hooks:
                hook.remove()
        assert [not torch.allclose(a, b) for a, b in zip(*seen, strict=True)] == reached


def test_the_last_kernel_serves_all_heads_beyond() -> None:
    def kernels(heads: int, given: tuple[int, ...]) -> list[int]:
        return [local.conv.kernel_size[0] for local in made((4, 4), heads=heads, kernels=given).local]

    assert kernels(2, (7, 5, 3, 3)) == [7, 5]
    assert kernels(4, (5, 3)) == [5, 3, 3, 3]


def test_cost_by_hand_where_windows_are_padded() -> None:
    """16 x 16 tokens are padded to 21 x 21: 9 windows of 49; two heads of 8 channels, keys of 4, values of 8."""
    pattern, options = nested(Spec.of("cascaded_group_attention", heads=2, key_dim=4, kernels=(5, 3)))
    places = 9 * 49
    heads = 2 * places * 8 * 16 + places * 4 * (25 + 9) + 2 * 9 * 49 * 49 * (4 + 8)
    params = 2 * (8 * 16 + 2 * 16 + 49) + 4 * (25 + 9) + 2 * 2 * 4 + 16 * 16 + 2 * 16
    assert pattern.cost(options, Flow(16, (16, 16), target=16)) == Cost(heads + places * 16 * 16, params)


@pytest.mark.parametrize(
    ("options", "flow", "where", "problem"),
    [
        ({"heads": 5}, Flow(12, (4, 4), target=12), "heads", "got 5; expected a divisor of the width 12"),
        ({"heads": 2, "kernels": (3, 4)}, Flow(12, (4, 4), target=12), "kernels", "got [3, 4]; expected odd numbers"),
        ({"heads": 2, "kernels": (-1,)}, Flow(12, (4, 4), target=12), "kernels", "got [-1]; expected odd numbers"),
        ({"heads": 2, "ratio": 2.0}, Flow(12, (4, 4), target=12), "ratio", "got 2.0, 32 channels; expected the 6"),
        ({"heads": 2, "ratio": 0.01}, Flow(12, (4, 4), target=12), "ratio", "got 0.01; expected one that leaves"),
        ({"heads": 2}, Flow(12, (4, 4), target=24), "", "keeps the width"),
        ({"heads": 2}, Flow(12, (4, 4), target=12, pool=2), "", "cannot carry out a Q-pooling"),
    ],
)
def test_what_cannot_stand(options: dict, flow: Flow, where: str, problem: str) -> None:
    pattern, typed = nested(Spec.of("cascaded_group_attention", **options))
    with pytest.raises(DesignError) as caught:
        pattern.after(typed, flow)
    assert caught.value.where == where
    assert problem in caught.value.problem
