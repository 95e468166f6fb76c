"""The passes that training-free scores read, each made when it is first asked for and then shared.

Shapes: B images, C channels, N tokens, A non-linearities' inputs per image, K chunks of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.passes.forward import Forward, forward
from gas.passes.gains import gains
from gas.passes.positive import Positive, absolute, positive
from gas.passes.subject import CLASSES, Subject
from gas.passes.watching import Seen, watched
from gas.training.deadline import check_deadline

CHUNKS = 4  # of the batch; gradients of each are kept apart


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
        seen: list[list[Seen]] = []
        codes, gradients, losses = [], [], []
        for index, (images, wanted) in enumerate(zip(parts(subject.images), parts(labels), strict=True)):
            self.check(f"chunk {index + 1} of {CHUNKS}")
            with torch.enable_grad(), watched(subject.blocks, len(images)) as (blocks, rectified):
                loss = F.cross_entropy(subject.network(images), wanted)
            found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            gradients.append({name: g for name, g in zip(weights, found, strict=True) if g is not None})
            losses.append(loss.item())
            codes.append(rectified.codes())
            for block in blocks:
                block.before, block.after, block.hidden = block.before.detach(), block.after.detach(), []
            seen.append(blocks)
        joined = [
            Seen(torch.cat([b.before for b in same]), torch.cat([b.after for b in same]), same[0].layouts)
            for same in zip(*seen, strict=True)
        ]
        return Shared(joined, torch.cat(codes), gradients, losses)

    @cached_property
    def gradient(self) -> dict[str, Tensor]:
        """Of the mean cross-entropy of all images with random labels, by the weight's name."""
        total: dict[str, Tensor] = {}
        count = len(self.subject.images)
        for images, found in zip(parts(self.subject.images), self.shared.gradients, strict=True):
            share = len(images) / count  # chunks may differ by one image
            for name, gradient in found.items():
                total[name] = total[name] + share * gradient if name in total else share * gradient
        return total

    @cached_property
    def forward(self) -> Forward:
        """One pass forward over twice as many images, without gradients."""
        return forward(self.subject, self.generator(2), self.check)

    @cached_property
    def gains(self) -> list[Tensor | None]:
        """What each block does to gradients that come back: see `gas.passes.gains`."""
        self.check("the gains")
        return gains(self.subject, self.generator(3), self.check)

    @cached_property
    def positive(self) -> Positive:
        """One pass forward and back of absolute weights before an image of ones, all else made proportional."""
        self.check("the positive pass")
        return positive(self.subject, self.weights)

    @cached_property
    def absolute(self) -> Positive:
        """One pass forward and back of absolute weights before an image of ones, all else left as it is."""
        self.check("the pass of absolute weights")
        return absolute(self.subject, self.weights)


def parts(batch: Tensor) -> tuple[Tensor, ...]:
    """(B, ...) in CHUNKS chunks that differ by one image at most; fewer where there are fewer images."""
    return batch.tensor_split(min(CHUNKS, len(batch)))
