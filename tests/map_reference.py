"""A design run the slow and obvious way: every block on a (B, C, H, W) map, every attention unit cut out by slicing.

It shares weights with the built network and nothing else: no unrolled order, no fused attention, no conversions.

Shapes: B batch, C channels, H, W sides of the map, K heads, D channels per head, N and M tokens of a unit.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.architecture import Architecture
from gas.patterns.attention import UnitAttention
from gas.patterns.transformer import TransformerBlock
from gas.plan import Placed, plan


def forward_on_maps(design: Architecture, network: nn.Module, image: Tensor) -> tuple[list[Tensor], Tensor]:
    """Maps at the end of each stage, and the class scores."""
    blocks = iter([module for module in network.modules() if isinstance(module, TransformerBlock)])
    stem, *placed, _ = plan(design).placed
    x = network.stem.conv(image)  # (B, C, H, W)
    if network.stem.position is not None:
        x = x + network.stem.position.mT.unflatten(2, stem.after.grid)
    maps: list[Tensor] = []
    for part, following in zip(placed, [*placed[1:], None], strict=True):
        x = block_on_map(next(blocks), x, window(part), part.before.pool)
        if following is None or following.stage != part.stage:
            maps.append(x)
    head = network.head[-1] if isinstance(network.head, nn.Sequential) else network.head
    return maps, head.linear(head.norm(x.mean(dim=(2, 3))))


def window(part: Placed) -> int:
    """Side of an attention unit in tokens before the block pools; the whole grid for global attention."""
    mixer = part.settled.mixer
    if mixer.pattern == "global_attention":
        return part.before.grid[0]
    return mixer.options.get("mask_unit", 8) // part.before.scale


def block_on_map(block: TransformerBlock, x: Tensor, side: int, pool: int) -> Tensor:
    """(B, C, H, W) -> (B, C', H / pool, W / pool): one transformer block."""
    y = on_channels(block.norm1, x)
    if block.shortcut is not None:
        x = on_channels(block.shortcut, y)
    x = F.max_pool2d(x, pool) if pool > 1 else x
    x = x + attention_on_map(block.token_mixer, y, side, pool)
    return x + on_channels(block.channel_mixer, on_channels(block.norm2, x))


def attention_on_map(attention: UnitAttention, y: Tensor, side: int, pool: int) -> Tensor:
    """(B, C, H, W) -> (B, C', H / pool, W / pool): attention unit by unit, written out."""
    height, width = y.shape[2:]
    rows = []
    for top in range(0, height, side):
        units = [
            _unit(attention, y[:, :, top : top + side, left : left + side], pool) for left in range(0, width, side)
        ]
        rows.append(torch.cat(units, dim=3))
    return on_channels(attention.proj, torch.cat(rows, dim=2))


def _unit(attention: UnitAttention, y: Tensor, pool: int) -> Tensor:
    q, k, v = on_channels(attention.qkv, y).chunk(3, dim=1)  # (B, K*D, s, s)
    q = F.max_pool2d(q, pool) if pool > 1 else q
    grid = q.shape[2:]
    q, k, v = (t.flatten(2).unflatten(1, (attention.heads, -1)).mT for t in (q, k, v))  # (B, K, N, D)
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)  # (B, K, N, M)
    return (weights @ v).mT.flatten(1, 2).unflatten(2, grid)  # (B, K*D, s/pool, s/pool)


def on_channels(module: nn.Module, x: Tensor) -> Tensor:
    """Applies a module for (..., C) to a (B, C, H, W) map."""
    return module(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
