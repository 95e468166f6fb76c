"""Architecture -> nn.Module. It knows no pattern by name: the plan says which parts stand where."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from torch import Tensor, nn

from gas.architecture import Architecture
from gas.patterns.base import Part
from gas.patterns.units import DropPath
from gas.plan import Placed, plan


class Network(nn.Module):
    """A hierarchical backbone: stem, stages, head.

    Args:
        stem: (B, 3, R, R) -> features.
        stages: One sequence of blocks (and layout conversions) per stage.
        maps: Per stage, what turns its features into a (B, C, H, W) map.
        head: What reads the last stage's features; starts with a layout conversion where it needs one.
        feature_info: Per stage: `num_chs`, `reduction` (image pixels per map pixel, along a side) and `module`.
        resolution: Side of the image, pixels.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: list[nn.Module],
        maps: list[nn.Module],
        head: nn.Module,
        feature_info: list[dict],
        resolution: int,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.maps = nn.ModuleList(maps)
        self.head = head
        self.feature_info = feature_info
        self.resolution = resolution

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """(B, 3, R, R) -> one map (B, C, H, W) per stage, finest first."""
        x = self._stem(x)
        features = []
        for stage, to_map in zip(self.stages, self.maps, strict=True):
            x = stage(x)
            features.append(to_map(x))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, R, R) -> (B, classes)."""
        x = self._stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x)

    def _stem(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.resolution or x.shape[-2] != self.resolution:
            raise ValueError(f"got an image of {tuple(x.shape[-2:])}; expected {self.resolution} x {self.resolution}")
        return self.stem(x)


def network_part(architecture: Architecture) -> Part:
    """The whole design as a Part: what `build` makes and what export writes out."""
    design = plan(architecture)
    stem, *blocks, head = design.placed
    stages: list[list[Part]] = [[] for _ in architecture.stages]
    for block in blocks:
        stages[block.stage] += [*block.conversions, block.part()]
    # Behind the stem a grid may have been rounded up; after a pruning there is no grid.
    step = architecture.resolution // stem.after.grid[0]
    info = [
        {
            "num_chs": end.dim,
            "reduction": None if end.layout == "set" else step * end.scale,
            "module": f"stages.{i}",
        }
        for i, end in enumerate(design.ends)
    ]
    return Part.of(
        Network,
        stem=stem.part(),
        stages=[_sequence(parts) for parts in stages],
        maps=[_sequence(parts) for parts in design.maps],
        head=_sequence([*head.conversions, head.part()]),
        feature_info=info,
        resolution=architecture.resolution,
    )


def build(architecture: Architecture, *, classes: int | None = None, seed: int | None = None) -> Network:
    """The design as a module, freshly initialised.

    Args:
        architecture: The design.
        classes: Number of classes, where not the design's own.
        seed: Seed of the initial weights; None for torch's current state. torch's global state is left as it was.

    Raises:
        DesignError: The design cannot be built; says where.
    """
    if classes is not None:
        architecture = with_classes(architecture, classes)
    part = network_part(architecture)
    if seed is None:
        return initialise(part.build())
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return initialise(part.build())


def with_classes(architecture: Architecture, classes: int) -> Architecture:
    """The same design for another number of classes."""
    from dataclasses import replace

    head = architecture.head
    options = {**head.options, "classes": classes}
    return replace(architecture, head=type(head).of(head.pattern, **options))


def initialise(model: Network) -> Network:
    """Weights as in ViT and Hiera: linear layers from a truncated normal (0.02), biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def fuse(model: nn.Module) -> nn.Module:
    """A copy for inference, in which what can be one operation is one: batch norms go into the convolutions before
    them, reparameterised branches and their shortcuts become single convolutions.

    The outputs are those of the model in evaluation mode, but for rounding. The copy is in evaluation mode and is not
    meant to be trained. Modules say themselves how they fold, by a method `folded()`; all others are copied.

    Args:
        model: Any module; left as it is.
    """
    return _folded(copy.deepcopy(model).eval()).eval()  # again, for the modules that came in their place


def _folded(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, _folded(child))
    return module.folded() if hasattr(module, "folded") else module


def block_modules(network: Network, architecture: Architecture) -> Iterator[tuple[nn.Module, Placed]]:
    """The module of every block (and of every entry that has one) with its place in the design, in order.

    The builder's own layout conversions are passed over.

    Args:
        network: As `build` made it.
        architecture: Of which design.
    """
    placed = plan(architecture).blocks
    for index, stage in enumerate(network.stages):
        members = [p for p in placed if p.stage == index]
        parts = sum(len(p.conversions) + 1 for p in members)
        modules = list(stage.children()) if parts > 1 else [stage]
        position = -1
        for block in members:
            position += len(block.conversions) + 1
            yield modules[position], block


def token_rows(features: Tensor, layout: str) -> Tensor:
    """Features in a layout, (B, C, H, W) or (B, N, C), as (B x places, C): a row for every place of every image."""
    return (features.movedim(1, -1) if layout == "map" else features).flatten(0, -2)


def set_drop_path(model: nn.Module, rate: float) -> None:
    """Stochastic depth that rises linearly from 0 at the first block to `rate` at the last."""
    places = [m for m in model.modules() if isinstance(m, DropPath)]
    for i, module in enumerate(places):
        module.rate = rate * i / max(len(places) - 1, 1)


def _sequence(parts: list[Part] | tuple[Part, ...]) -> Part:
    if len(parts) == 1:
        return parts[0]
    return Part(nn.Sequential, {"": list(parts)})
