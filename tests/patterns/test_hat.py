from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import PATTERNS, Flow

PATTERN = PATTERNS.get("hat")
Place = tuple[int, int]


def network(module: nn.Module, coordinates: list[float]) -> Tensor:
    """What a position network gives for one pair of coordinates."""
    x = torch.tensor(coordinates, dtype=torch.float64)
    return module.fc2.weight @ F.relu(module.fc1.weight @ x + module.fc1.bias)


def embedding(module: nn.Module, place: Place, grid: Place) -> Tensor:
    return network(module, [(p - s // 2) / max(s // 2, 1) for p, s in zip(place, grid, strict=True)])


def bias(module: nn.Module, one: Place, other: Place, grid: Place) -> Tensor:
    """(K,): the bias of one place that looks at another."""
    coordinates = []
    for a, b, side in zip(one, other, grid, strict=True):
        scaled = 8 * (a - b) / max(side - 1, 1)
        coordinates.append(math.copysign(math.log(abs(scaled) + 1, 8), scaled))
    return 16 * torch.sigmoid(network(module, coordinates))


def block(module: nn.Module, x: Tensor, places: list[Place | None], grid: Place) -> Tensor:
    """A block on one sequence (N, C), pair by pair; a token without a place has no bias."""
    attention, y = module.token_mixer, module.norm1(x)
    heads, each = attention.heads, attention.proj.in_features // attention.heads
    q, k, v = (t.view(-1, heads, each) for t in attention.qkv(y).chunk(3, dim=-1))
    rows = []
    for i, one in enumerate(places):
        scores = []
        for j, other in enumerate(places):
            score = (q[i] * k[j]).sum(-1) / each**0.5
            scores.append(score if one is None or other is None else score + bias(attention.bias, one, other, grid))
        weights = torch.stack(scores).softmax(0)  # (N, K)
        rows.append((weights[..., None] * v).sum(0).flatten())
    x = x + module.scale1(attention.proj(torch.stack(rows)))
    return x + module.scale2(module.channel_mixer(module.norm2(x)))


def by_definition(module: nn.Module, x: Tensor, flow: Flow, spread: bool) -> Tensor:
    """One image's windows (N, C), the carriers put on a grid of their own in between."""
    window, each = flow.window, math.isqrt(flow.extra)
    rows, columns = flow.grid[0] // window, flow.grid[1] // window
    grid = (rows * each, columns * each)
    places = [(r, c) for r in range(window) for c in range(window)]
    stretches = list(x.split(flow.extra + window**2))
    carriers = {}
    for number, stretch in enumerate(stretches):
        row, column = divmod(number, columns)
        for k in range(flow.extra):
            carriers[row * each + k // each, column * each + k % each] = stretch[k]
    order = sorted(carriers)
    between = torch.stack([carriers[p] + embedding(module.carrier_place, p, grid) for p in order])
    carriers = dict(zip(order, block(module.between, between, order, grid), strict=True))
    out = []
    for number, stretch in enumerate(stretches):
        row, column = divmod(number, columns)
        own = [carriers[row * each + k // each, column * each + k % each] for k in range(flow.extra)]
        tokens = [stretch[flow.extra + i] + embedding(module.place, p, (window, window)) for i, p in enumerate(places)]
        sequence = torch.stack([*own, *tokens])
        sequence = block(module.local, sequence, [None] * flow.extra + places, (window, window))
        if spread:
            for i, (r, c) in enumerate(places):
                carrier = sequence[r * each // window * each + c * each // window]
                sequence[flow.extra + i] += module.between.scale1(carrier)
        out.append(sequence)
    return torch.cat(out)


@pytest.mark.parametrize("options", [{}, {"spread": True, "layer_scale": 0.3, "inner": 8, "qkv_bias": False}])
def test_equals_its_definition_pair_by_pair(options: dict[str, Any]) -> None:
    flow = Flow(4, (6, 9), "windows", target=4, extra=4, window=3)
    options = PATTERN.Options(heads=2, hidden=16, **options)
    torch.manual_seed(0)
    module = PATTERN.part(options, flow).build().double().eval()
    for parameter in module.parameters():  # layer scales too must differ from channel to channel
        parameter.data += 0.3 * torch.randn_like(parameter)
    x = torch.randn(2, flow.tokens, 4, dtype=torch.float64)
    with torch.no_grad():
        wanted = torch.stack([by_definition(module, image, flow, options.spread) for image in x])
        torch.testing.assert_close(module(x), wanted)
        torch.testing.assert_close(fuse(module)(x), wanted)


def test_one_window_is_the_whole_map() -> None:
    whole, cut = Flow(4, (3, 3), "tokens", target=4), Flow(4, (3, 3), "windows", target=4, window=3)
    options = PATTERN.Options(heads=2, hidden=8)
    module = PATTERN.part(options, whole).build()
    same = PATTERN.part(options, cut).build()
    same.load_state_dict(module.state_dict())
    x = torch.randn(2, 9, 4)
    torch.testing.assert_close(same(x), module(x))
    assert PATTERN.cost(options, whole) == PATTERN.cost(options, cut)


def test_news_travel_between_windows_by_carriers_alone() -> None:
    options = PATTERN.Options(heads=2, hidden=8)
    for extra, reached in ((0, False), (1, True)):
        flow = Flow(4, (2, 4), "windows", target=4, extra=extra, window=2)
        module = PATTERN.part(options, flow).build().eval()
        x = torch.randn(1, flow.tokens, 4)
        other = x.clone()
        other[:, : extra + 4] = torch.randn(extra + 4, 4)  # the first window, with its carrier
        with torch.inference_mode():
            moved = (module(x) - module(other))[:, extra + 4 :].abs().max() > 0
        assert bool(moved) == reached


def test_folded_it_reads_no_positions() -> None:
    flow = Flow(4, (4, 4), "windows", target=4, extra=1, window=2)
    folded = fuse(PATTERN.part(PATTERN.Options(heads=2), flow).build())
    assert not any(m.in_features == 2 for m in folded.modules() if isinstance(m, nn.Linear))


@pytest.mark.parametrize(
    ("options", "flow", "problem"),
    [
        ({"heads": 3}, Flow(4, (2, 2), "tokens", target=4), "heads: got 3; expected a divisor of the width 4"),
        ({"heads": 1, "ratio": 0.1}, Flow(4, (2, 2), "tokens", target=4), "ratio: got 0.1"),
        ({"heads": 1}, Flow(4, (2, 2), "windows", target=4, extra=2, window=1), "got 2 carriers for each window"),
        ({"heads": 1}, Flow(4, (2, 2), "tokens", target=4, pool=2), "cannot carry out a Q-pooling"),
    ],
)
def test_what_cannot_stand_is_refused(options: dict[str, Any], flow: Flow, problem: str) -> None:
    with pytest.raises(DesignError, match=problem):
        PATTERN.after(PATTERN.Options(**options), flow)
