from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from gas.architecture import Spec
from gas.errors import DesignError
from gas.model import build, fuse
from gas.patterns import Flow
from gas.patterns.base import nested
from gas.patterns.window_attention import WindowAttention
from gas.plan import plan
from gas.space import design_from_text


def made(flow: Flow, **options) -> WindowAttention:
    pattern, typed = nested(Spec.of("window_attention", **options))
    pattern.after(typed, flow)
    return pattern.part(typed, flow).build()


def by_definition(module: WindowAttention, x: Tensor, grid: tuple, window: tuple, shift: tuple) -> Tensor:
    """Every token with every other, one by one: those in the same window, the same side of the edge, see each other."""
    heads, wide = module.heads, 2 * window[1] - 1
    q, k, v = module.qkv(x[0]).unflatten(-1, (3, heads, -1)).unbind(1)  # each (N, K, D)
    places = list(itertools.product(range(grid[0]), range(grid[1])))

    def window_of(place: tuple[int, int]) -> tuple:
        # Windows begin at `shift`; what lies before it has gone round to the last window, and is apart from it there.
        moved = [(p - s) % side for p, s, side in zip(place, shift, grid, strict=True)]
        return tuple((m // w, p < s) for m, w, p, s in zip(moved, window, place, shift, strict=True))

    out = torch.zeros(len(places), heads, q.shape[-1], dtype=x.dtype)
    for i, a in enumerate(places):
        seen = [j for j, b in enumerate(places) if window_of(b) == window_of(a)]
        for head in range(heads):
            scores = []
            for j in seen:
                dy, dx = a[0] - places[j][0], a[1] - places[j][1]
                score = q[i, head] @ k[j, head] / math.sqrt(q.shape[-1])
                if module.position is not None:
                    score = score + module.position.table[(dy + window[0] - 1) * wide + dx + window[1] - 1, head]
                scores.append(score)
            out[i, head] = torch.stack(scores).softmax(0) @ v[seen, head]
    return module.proj(out.flatten(1))[None]


@pytest.mark.parametrize("position", ["relative", "none"])
@pytest.mark.parametrize(
    ("grid", "window", "shift", "expected"),
    [
        ((4, 6), 2, "none", ((2, 2), (0, 0))),
        ((6, 9), 3, "half", ((3, 3), (1, 1))),
        ((8, 4), 4, "half", ((4, 4), (2, 0))),  # one window wide: nothing to shift along that side
        ((2, 6), 3, "half", ((2, 3), (0, 1))),  # cut to the grid
        ((3, 3), 7, "half", ((3, 3), (0, 0))),
    ],
)
def test_equals_attention_token_by_token(grid: tuple, window: int, shift: str, expected: tuple, position: str) -> None:
    torch.manual_seed(0)
    flow = Flow(12, grid, "tokens", 12)
    module = made(flow, window=window, shift=shift, heads=3, position=position).double()
    x = torch.randn(2, grid[0] * grid[1], 12, dtype=torch.float64)
    with torch.inference_mode():
        if module.position is not None:
            module.position.table.normal_()
        got, folded = module(x), fuse(module)(x)
        for i in range(2):
            wanted = by_definition(module, x[i : i + 1], grid, *expected)
            assert torch.allclose(got[i : i + 1], wanted, atol=1e-12)
            assert torch.allclose(folded[i : i + 1], wanted, atol=1e-12)


def test_every_other_block_shifts_beginning_anew_in_each_stage() -> None:
    block = (
        "{pattern: transformer, depth: 3, mixer: {pattern: window_attention, window: 2, heads: 2, shift: alternate}}"
    )
    conv = "{pattern: transformer, depth: 1, norm: none, mixer: depthwise_conv}"
    design = design_from_text(
        f"""
        input: {{resolution: 32}}
        stem: {{pattern: conv_embed, kernel: 4, stride: 4, dim: 8}}
        stages:
          - {{dim: 8, blocks: [{block}, {conv}, {block}]}}
          - {{entry: patch_merging, dim: 16, blocks: [{block}]}}
        head: {{pattern: classifier, classes: 10}}
        """
    )
    found = [m.mask is not None for m in build(design).modules() if isinstance(m, WindowAttention)]
    assert found == [False, True, False, True, False, True, False, True, False]
    assert not any(end.unshifted for end in plan(design).ends)


def test_a_block_on_its_own_does_as_its_option_says() -> None:
    pattern, options = nested(Spec.of("window_attention", heads=2, shift="alternate"))
    flow = Flow(8, (14, 14), "tokens", 8)
    assert pattern.settle(options, flow).shift == "none"
    assert pattern.settle(options, flow.but(unshifted=True)).shift == "half"
    assert pattern.after(options, flow).unshifted
    assert not pattern.after(options, flow.but(unshifted=True)).unshifted


def test_folded_it_looks_nothing_up() -> None:
    module = fuse(made(Flow(8, (8, 8), "tokens", 8), window=4, shift="half", heads=2))
    assert module.mask is None
    assert module.position().shape == (4, 2, 16, 16)
    assert {name for name, _ in module.named_parameters()} == {"qkv.weight", "qkv.bias", "proj.weight", "proj.bias"}


@pytest.mark.parametrize(
    ("options", "flow", "where", "problem"),
    [
        ({"heads": 5}, Flow(8, (7, 7), "tokens", 8), "heads", "got 5; expected a divisor of the width 8"),
        ({"heads": 2}, Flow(8, (8, 8), "tokens", 8), "window", "got 7; expected a divisor of the grid's side 8"),
        (
            {"heads": 2, "window": 4},
            Flow(8, (4, 6), "tokens", 8),
            "window",
            "got 4; expected a divisor of the grid's side 6",
        ),
        ({"heads": 2}, Flow(8, (7, 7), "tokens", 16), "", "keeps the width; got 8 coming in and 16 wanted"),
        ({"heads": 2}, Flow(8, (7, 7), "tokens", 8, pool=2), "", "cannot carry out a Q-pooling"),
    ],
)
def test_where_it_cannot_stand(options: dict, flow: Flow, where: str, problem: str) -> None:
    with pytest.raises(DesignError) as caught:
        made(flow, **options)
    assert caught.value.where == where
    assert caught.value.problem.startswith(problem)
