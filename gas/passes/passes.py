"""The passes that training-free scores read, each made when it is first asked for and then shared.

Shapes: B images, C channels, N tokens, A non-linearities' inputs per image, K chunks of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gas.passes.subject import CLASSES, Subject
from gas.training.deadline import check_deadline

CHUNKS = 4  # of the batch; gradients of each are kept apart
RECTIFIERS = (F.relu, F.relu6, F.gelu, F.silu, F.hardswish, F.leaky_relu, F.elu, torch.relu, Tensor.relu)


@dataclass(eq=False)
class Seen:
    """What one block did with the images.

    Args:
        before: What came in: (B, C, H, W) where `layouts[0]` is `map`, else (B, N, C).
        after: What went out.
        layouts: Layouts of the two.
        gain: E[g_in^T g_out], (C_in, C_out): a random sign for each feature that went out, taken back through the
            block; means over the places of the first chunk. None where places do not match.
    """

    before: Tensor
    after: Tensor
    layouts: tuple[str, str]
    gain: Tensor | None = None


@dataclass(eq=False)
class Shared:
    """One pass forward and back over the batch, in chunks.

    Args:
        blocks: What each block did, in order.
        codes: (B, A) bool: which inputs of non-linearities were above 0.
        gradients: Per chunk, of the chunk's mean cross-entropy with random labels, by the weight's name.
        losses: Per chunk.
    """

    blocks: list[Seen]
    codes: Tensor
    gradients: list[dict[str, Tensor]]
    losses: list[float]


class Passes:
    """A network with what was seen of it.

    Args:
        subject: The network.
        deadline: Value of `time.monotonic()` after which TimeoutError is raised.
    """

    def __init__(self, subject: Subject, *, deadline: float | None = None) -> None:
        self.subject = subject
        self.deadline = deadline

    def check(self, doing: str) -> None:
        """TimeoutError where the deadline has passed."""
        check_deadline(self.deadline, doing)

    def generator(self, salt: int) -> torch.Generator:
        """A generator of the subject's seed; scores that draw each take another salt."""
        return torch.Generator().manual_seed(self.subject.seed * 1_000_003 + salt)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Weights (no biases, no norms) of linear layers and convolutions, by name, in the order of the modules."""
        kinds = nn.Linear | nn.Conv1d | nn.Conv2d
        return {f"{name}.weight": m.weight for name, m in self.subject.network.named_modules() if isinstance(m, kinds)}

    @cached_property
    def shared(self) -> Shared:
        """One pass forward and back over all images."""
        subject, weights = self.subject, self.weights
        labels = torch.randint(CLASSES, (len(subject.images),), generator=self.generator(1))
        parts: list[list[Seen]] = []
        codes, gradients, losses = [], [], []
        for index, (images, wanted) in enumerate(zip(subject.images.chunk(CHUNKS), labels.chunk(CHUNKS), strict=True)):
            self.check(f"chunk {index + 1} of {CHUNKS}")
            images = images.clone().requires_grad_()
            with torch.enable_grad(), self._watched(len(images)) as (blocks, signs):
                loss = F.cross_entropy(subject.network(images), wanted)
            if index == 0:
                self._gains(blocks)
            found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            gradients.append({name: g for name, g in zip(weights, found, strict=True) if g is not None})
            losses.append(loss.item())
            codes.append(torch.cat(signs, dim=1) if signs else torch.zeros(len(images), 0, dtype=torch.bool))
            for block in blocks:
                block.before, block.after = block.before.detach(), block.after.detach()
            parts.append(blocks)
        joined = [
            Seen(torch.cat([b.before for b in same]), torch.cat([b.after for b in same]), same[0].layouts, same[0].gain)
            for same in zip(*parts, strict=True)
        ]
        return Shared(joined, torch.cat(codes), gradients, losses)

    @contextmanager
    def _watched(self, images: int) -> Iterator[tuple[list[Seen], list[Tensor]]]:
        blocks: list[Seen] = []
        rectified = _Rectified(images)
        hooks = []

        def note(layouts: tuple[str, str]) -> Callable[..., None]:
            return lambda _, inputs, output: blocks.append(Seen(inputs[0], output, layouts))

        try:
            for site in self.subject.blocks:
                hooks.append(site.module.register_forward_hook(note((site.before, site.after))))
            with rectified:
                yield blocks, rectified.signs
        finally:
            for hook in hooks:
                hook.remove()

    def _gains(self, blocks: list[Seen]) -> None:
        """Takes random signs back through every block: see `Seen`."""
        generator = self.generator(2)
        for block in blocks:
            if _places(block.before, block.layouts[0]) != _places(block.after, block.layouts[1]):
                continue
            signs = torch.randint(0, 2, block.after.shape, generator=generator) * 2.0 - 1.0
            (back,) = torch.autograd.grad(block.after, block.before, signs, retain_graph=True, allow_unused=True)
            if back is not None:
                going, coming = rows(back, block.layouts[0]), rows(signs, block.layouts[1])
                block.gain = going.T @ coming / len(coming)


class _Rectified(TorchFunctionMode):
    """Notes which inputs of non-linearities are above 0, a row per image.

    Args:
        images: How many there are. What is worked out from places alone (the tables of biases) sees no image.
    """

    def __init__(self, images: int) -> None:
        super().__init__()
        self.images = images
        self.signs: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in RECTIFIERS:
            x = args[0] if args else kwargs["input"]
            if x.dim() > 2 and x.shape[0] % self.images == 0:  # windows of an image follow one another
                self.signs.append((x.detach() > 0).reshape(self.images, -1))
        return func(*args, **kwargs)


def rows(features: Tensor, layout: str) -> Tensor:
    """(B, C, H, W) for a `map`, else (B, N, C) -> (B x places, C)."""
    return (features.movedim(1, -1) if layout == "map" else features).flatten(0, -2)


def _places(features: Tensor, layout: str) -> int:
    return features[0].numel() // features.shape[1 if layout == "map" else -1]
