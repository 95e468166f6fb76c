"""What blocks do to gradients: the mean over places of a block's Jacobian, from a few passes back through it.

Shapes: B images, C channels, S rows (images times places).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gas.model import token_rows
from gas.passes.subject import Subject
from gas.passes.watching import places


def gains(subject: Subject, generator: torch.Generator, check: Callable[[str], None]) -> list[Tensor | None]:
    """Per block E[g_in^T g_out], (C_in, C_out); None where it does not keep the places.

    g_out is random, of mean 0 and variance 1 in each feature that went out, and g_in is what comes back of it through
    the block. The expectation, over g_out, images and places, is the mean derivative of what goes out at a place by
    what comes in at the same place.

    Args:
        subject: The network.
        generator: Of g_out.
        check: Called before each block, with how far the work has come.

    Source: AZ-NAS, arXiv 2403.19232, section 3 (trainability). Differs: g_out, random signs there, is made orthogonal
    over all rows from channel to channel, and where images have fewer rows than there are channels, several passes go
    back. The public code has some 30 rows to a channel; where small images have fewer than one, independent signs
    would put the norm for 512 channels at 30 times what it is.
    """
    images = torch.randn(subject.batch, *subject.images.shape[1:], generator=generator)
    found: list[Tensor | None] = []
    hooks = []

    def begin(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        check(f"the gain of block {len(found) + 1} of {len(subject.blocks)}")
        return (inputs[0].detach().requires_grad_(), *inputs[1:])

    def end(layouts: tuple[str, str]) -> Callable[..., Tensor]:
        def measured(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            found.append(_gain(inputs[0], output, layouts, generator))
            return output.detach()  # so that no more than a block's graph is held

        return measured

    try:
        for site in subject.blocks:
            hooks.append(site.module.register_forward_pre_hook(begin))
            hooks.append(site.module.register_forward_hook(end((site.before, site.after))))
        with torch.enable_grad():
            subject.network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _gain(before: Tensor, after: Tensor, layouts: tuple[str, str], generator: torch.Generator) -> Tensor | None:
    if places(before, layouts[0]) != places(after, layouts[1]):
        return None
    after = token_rows(after, layouts[1])  # (S, C_out)
    count, channels = after.shape
    going = orthogonal(-(-channels // count) * count, channels, generator)
    back = [torch.autograd.grad(after, before, part, retain_graph=True)[0] for part in going.split(count)]
    return torch.cat([token_rows(one, layouts[0]) for one in back]).T @ going / len(going)


def orthogonal(count: int, channels: int, generator: torch.Generator) -> Tensor:
    """(count, C) of mean 0 and variance 1, random, whose columns are orthogonal; count is C at least."""
    # To flip the signs of a row flips them in the result: rows stay uncorrelated with one another.
    basis, triangle = torch.linalg.qr(torch.randn(count, channels, generator=generator))
    return basis * triangle.diagonal().sign() * count**0.5
