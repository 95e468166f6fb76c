"""What a network is, in numbers: counted in the same way on a design and on any module that takes images.

Shapes: one image, (1, channels, R, R); nothing is computed, all stands on the meta device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gas.architecture import Architecture
from gas.model import network_part, with_classes

CLASSES = 1000  # of ImageNet-1k, so that heads weigh alike
STRIDES = (4, 8, 16, 32)
KINDS = ("dense", "grouped", "pointwise", "attention")
CONVOLUTION, LINEAR, PRODUCT = "convolution", ("addmm", "mm"), ("bmm", "baddbmm")


def structure(module: nn.Module, resolution: int, *, channels: int = 3) -> dict[str, float]:
    """Counts of a module that stands on the meta device, for one image of `resolution` pixels a side.

    Returns:
        `params`; `macs`; `activations` (what convolutions, linear layers and matrix products give out, elements);
        `channels` (sum of the output channels of layers that see more than one place); `depth` (such layers on the
        longest way from the image to the scores: branches side by side count once); `width` (channels that the last
        layer reads); `resolution`; shares of macs by kind (`dense`: convolutions over several pixels, `grouped`: those
        in groups, `pointwise`: linear layers and 1 x 1 convolutions, `attention`: products of two activations); and
        `macs_4` ... `macs_32`, `params_4` ... `params_32`: shares of the layers' macs and weights by the stride nearest
        to that of what they give out.
    """
    with _Counter(resolution) as counter, torch.no_grad():
        module.eval()(torch.zeros(1, channels, resolution, resolution, device="meta"))
    params = sum(p.numel() for p in module.parameters())
    return counter.found(params)


def structure_of(design: Architecture, *, classes: int = CLASSES) -> dict[str, float]:
    """The same of a design at its own size, with a head for so many classes; DesignError where it cannot stand."""
    with torch.device("meta"):
        module = network_part(with_classes(design, classes)).build()
    return structure(module, design.resolution, channels=design.channels)


class _Counter(TorchDispatchMode):
    """Adds up what layers cost while it is entered.

    Args:
        resolution: Side of the image, pixels.
    """

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.kinds = dict.fromkeys(KINDS, 0)
        self.macs = dict.fromkeys(STRIDES, 0)
        self.weights = dict.fromkeys(STRIDES, 0)
        self.activations = self.channels = self.width = self.depth = 0
        self._depths: dict[int, int] = {}
        self._alive: list[Tensor] = []  # so that an id means one tensor as long as this counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator and looks at its sizes."""
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        layer = False
        if name == CONVOLUTION:
            weight, groups = args[1], args[8]
            pixels = math.prod(weight.shape[2:])
            kind = "grouped" if groups > 1 else "dense" if pixels > 1 else "pointwise"
            layer = self._layer(result, weight.numel(), result.shape[1], weight.shape[1] * groups, kind)
        elif name in LINEAR:
            left, right = args[-2:]
            layer = self._layer(result, right.numel(), right.shape[1], left.shape[1], "pointwise")
        elif name in PRODUCT:
            self.kinds["attention"] += result.numel() * args[-2].shape[2]
            self.activations += result.numel()
        self._follow(args, kwargs, result, layer)
        return result

    def found(self, params: int) -> dict[str, float]:
        """See `structure`."""
        macs, layers, weights = sum(self.kinds.values()), sum(self.macs.values()), sum(self.weights.values())
        return {
            "params": float(params),
            "macs": float(macs),
            "activations": float(self.activations),
            "channels": float(self.channels),
            "depth": float(self.depth),
            "width": float(self.width),
            "resolution": float(self.resolution),
            **{kind: count / max(macs, 1) for kind, count in self.kinds.items()},
            **{f"macs_{stride}": count / max(layers, 1) for stride, count in self.macs.items()},
            **{f"params_{stride}": count / max(weights, 1) for stride, count in self.weights.items()},
        }

    def _layer(self, out: Tensor, weights: int, channels: int, wide: int, kind: str) -> bool:
        """Counts a layer; True where it sees more than one place, as a squeezed branch or the classifier does not."""
        places = out.numel() // channels
        macs = places * weights
        self.kinds[kind] += macs
        self.activations += out.numel()
        self.width = wide
        if places == 1:
            return False
        stride = self.resolution / math.sqrt(places)
        near = min(STRIDES, key=lambda known: abs(math.log2(stride / known)))
        self.macs[near] += macs
        self.weights[near] += weights
        self.channels += channels
        return True

    def _follow(self, args: Any, kwargs: Mapping[str, Any] | None, result: Any, layer: bool) -> None:
        came = max((self._depths.get(id(t), 0) for t in _tensors([args, kwargs or {}])), default=0) + layer
        for tensor in _tensors(result):
            self._depths[id(tensor)] = max(came, self._depths.get(id(tensor), 0))
            self._alive.append(tensor)
        self.depth = max(self.depth, came)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [t for part in value for t in _tensors(part)] if isinstance(value, list | tuple) else []
