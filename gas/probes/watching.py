"""One pass forward and one back through a network, with an eye on every block.

Shapes: B images, K heads, L queries, S keys, D channels per head.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gas.architecture import Architecture
from gas.model import block_modules
from gas.patterns.units import DropPath
from gas.plan import Placed, plan
from gas.probes.base import Block
from gas.probes.subject import Subject, image_count

SOFTMAXES = (torch.softmax, F.softmax, Tensor.softmax, torch.special.softmax)
LEADING = 32  # entries of the first dimension (images, windows) whose attention is looked at, at most
QUERIES = 32  # of each
ROWS = 4096  # of a softmax that is written out


def watch(subject: Subject, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> list[Block]:
    """What every block does with the subject's images, in order.

    The objective whose gradients are taken is the sum over images of their class scores, each weighed by a random
    sign, less the mean over classes (to which a softmax is blind): no labels are needed, and no class is preferred.

    Args:
        subject: What is watched; its parameters are left as they are.
        architecture: The design at its own size, with the same blocks.
        seed: Of the signs.
        deadline: Value of `time.monotonic()` after which TimeoutError is raised.
    """
    whole = plan(architecture).blocks
    images = subject.images[: image_count(subject.images.shape[-1])].detach().clone().requires_grad_()
    with _watched(subject, whole) as blocks:
        scores = subject.network(images)  # (B, classes)
    _check(deadline, "the pass forward")
    signs = torch.randint(0, 2, scores.shape, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0
    objective = (scores * (signs - signs.mean(dim=1, keepdim=True))).sum()
    gradients = torch.autograd.grad(objective, [block.after for block in blocks], allow_unused=True)
    _check(deadline, "the pass back")
    for block, gradient in zip(blocks, gradients, strict=True):
        block.before, block.after, block.gradient = block.before.detach(), block.after.detach(), gradient
        block.branches = [branch.detach() for branch in block.branches]
    return blocks


@contextmanager
def _watched(subject: Subject, whole: Sequence[Placed]) -> Iterator[list[Block]]:
    """Within it, every block that runs is entered in the list."""
    blocks: list[Block] = []
    attention = _Attention()
    hooks = []
    pairs = zip(block_modules(subject.network, subject.architecture), whole, strict=True)
    try:
        for (module, built), placed in pairs:
            hooks += _hooks(module, built, placed, blocks, attention)
        with attention:
            yield blocks
    finally:
        for hook in hooks:
            hook.remove()


def _hooks(module: nn.Module, built: Placed, placed: Placed, blocks: list[Block], attention: _Attention) -> list[Any]:
    branches: list[Tensor] = []

    def begin(_: nn.Module, __: tuple) -> None:
        attention.scores = []

    def end(_: nn.Module, inputs: tuple, output: Tensor) -> None:
        blocks.append(Block(placed, built, inputs[0], output, None, branches, attention.scores))
        attention.scores = None

    hooks = [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
    if built.before.shape != built.after.shape:
        # Whatever is added to a shortcut passes through a DropPath, whoever adds it: that is how depth is dropped.
        keep: Callable[..., None] = lambda _, __, output: branches.append(output)  # noqa: E731
        hooks += [m.register_forward_hook(keep) for m in module.modules() if isinstance(m, DropPath)]
    return hooks


class _Attention(TorchFunctionMode):
    """Notes the scores of every attention, by whatever pattern, while `scores` is a list."""

    def __init__(self) -> None:
        super().__init__()
        self.scores: list[Tensor] | None = None

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if self.scores is not None:
            if func is F.scaled_dot_product_attention:
                self.scores.append(fused_scores(*args, **kwargs))
            elif func in SOFTMAXES:
                self.scores.append(_written_out(*args, **kwargs))
        return func(*args, **kwargs)


@torch.no_grad()
def fused_scores(
    query: Tensor,
    key: Tensor,
    value: Tensor | None = None,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The scores behind a fused attention, (queries, S), for queries spread over all; arguments as torch's own."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    shape = (*query.shape[:-1], key.shape[-2])  # (B, K, L, S)
    first, rows = _spread(shape[0], LEADING), _spread(shape[-2], QUERIES)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = query[first][..., rows, :] @ key[first].transpose(-2, -1) * scale
    if is_causal:
        attn_mask = torch.ones(shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None:
        mask = attn_mask.expand(shape)[first][..., rows, :]
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    return scores.flatten(0, -2)


@torch.no_grad()
def _written_out(scores: Tensor, dim: int = -1, **_: Any) -> Tensor:
    rows = scores.movedim(dim, -1).flatten(0, -2)
    return rows[_spread(len(rows), ROWS)].clone()


def _spread(count: int, most: int) -> Tensor:
    """At most so many of `count` indices, at even distances."""
    return torch.linspace(0, count - 1, min(count, most)).long()


def _check(deadline: float | None, doing: str) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise TimeoutError(f"out of time behind {doing} of the probes")
