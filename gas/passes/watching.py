"""What is seen of a network while a pass runs: what its blocks did, and what came into its non-linearities.

Shapes: B images, C channels, N tokens, A non-linearities' inputs per image, S rows (images times places).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gas.passes.subject import Site

# nn.ReLU6 is a hardtanh.
RECTIFIERS = (
    *(F.relu, F.relu6, F.hardtanh, F.gelu, F.silu, F.hardswish, F.leaky_relu, F.elu, torch.relu, Tensor.relu),
)
CONVOLUTIONS = (F.conv1d, F.conv2d)


@dataclass(eq=False)
class Seen:
    """What one block did with the images.

    Args:
        before: What came in: (B, C, H, W) where `layouts[0]` is `map`, else (B, N, C).
        after: What went out.
        layouts: Layouts of the two.
        hidden: Its hidden states, (S, C): see `Rectified`.
    """

    before: Tensor
    after: Tensor
    layouts: tuple[str, str]
    hidden: list[Tensor] = field(default_factory=list)


class Rectified(TorchFunctionMode):
    """Notes which inputs of non-linearities are above 0, and which of them are hidden states.

    A hidden state is what comes into a non-linearity from a linear layer or an ungrouped convolution, perhaps by way
    of a norm: the inside of an MLP, whatever it is made of. Squeeze-and-excite, which sees an image as one place, has
    none.

    Args:
        images: How many there are. What is worked out from places alone (the tables of biases) sees no image.

    Attributes:
        signs: (B, A') per non-linearity.
        hidden: The hidden states so far, (S, C).
    """

    def __init__(self, images: int) -> None:
        super().__init__()
        self.images = images
        self.hidden: list[Tensor] = []
        self.signs: list[Tensor] = []
        self._mixed: tuple[torch.Size, int] | None = None  # shape and channels' axis of what a full layer gave out

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in RECTIFIERS:
            self._note(args[0] if args else kwargs["input"])
        result = func(*args, **kwargs)
        if func is F.linear:
            self._mixed = result.shape, -1
        elif func in CONVOLUTIONS and args[1].shape[1] == args[0].shape[1]:  # a depthwise one leaves `_mixed` as it is
            self._mixed = result.shape, 1
        return result

    def _note(self, x: Tensor) -> None:
        if x.dim() <= 2 or x.shape[0] % self.images:  # windows of an image follow one another
            return
        x = x.detach()
        self.signs.append((x > 0).reshape(self.images, -1))
        if self._mixed is not None and self._mixed[0] == x.shape:
            found = x.movedim(self._mixed[1], -1).flatten(0, -2)
            if len(found) > self.images:
                self.hidden.append(found)
        self._mixed = None

    def codes(self) -> Tensor:
        """(B, A) bool: all signs side by side."""
        return torch.cat(self.signs, dim=1) if self.signs else torch.zeros(self.images, 0, dtype=torch.bool)


@contextmanager
def watched(sites: Sequence[Site], images: int) -> Iterator[tuple[list[Seen], Rectified]]:
    """Within it, a pass of so many images enters its blocks in the list, and its codes in what stands beside it."""
    blocks: list[Seen] = []
    rectified = Rectified(images)
    hooks = []

    def begin(_: nn.Module, __: tuple[Tensor, ...]) -> None:
        rectified.hidden = []

    def end(layouts: tuple[str, str]) -> Callable[..., None]:
        return lambda _, inputs, output: blocks.append(Seen(inputs[0], output, layouts, rectified.hidden))

    try:
        for site in sites:
            hooks.append(site.module.register_forward_pre_hook(begin))
            hooks.append(site.module.register_forward_hook(end((site.before, site.after))))
        with rectified:
            yield blocks, rectified
    finally:
        for hook in hooks:
            hook.remove()


def places(features: Tensor, layout: str) -> int:
    """How many rows an image has."""
    return features[0].numel() // features.shape[1 if layout == "map" else -1]
