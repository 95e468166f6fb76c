"""Designs that the export tests share: known networks and random ones, written with gas.architecture."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import DesignError
from gas.plan import plan

MASK_UNIT = "mask_unit_attention"
GLOBAL = "global_attention"


def hierarchical(
    name: str,
    stem: int,
    dims: tuple[int, ...],
    depths: tuple[int, ...],
    mixers: tuple[Spec, ...],
    *,
    resolution: int = 224,
    stride: int = 4,
    ratio: float = 4.0,
    lag: bool = True,
    position: str = "learned",
    classes: int = 1000,
) -> Architecture:
    """A Q-pooling pyramid."""
    mlp = {} if ratio == 4.0 else {"mlp": Spec.of("mlp", ratio=ratio)}
    entry = Spec.of("q_pool") if lag else Spec.of("q_pool", lag=False)
    stages = tuple(
        Stage(dim, (Group(Spec.of("transformer", mixer=mixer, **mlp), depth),), entry if i else None)
        for i, (dim, depth, mixer) in enumerate(zip(dims, depths, mixers, strict=True))
    )
    stem_spec = Spec.of("conv_embed", dim=stem, stride=stride, position=position)
    return Architecture(stem_spec, stages, Spec.of("classifier", classes=classes), resolution, 3, name)


def turbovit() -> Architecture:
    """The published TurboViT block table."""
    mixers = tuple(Spec.of(pattern, head_dim=64) for pattern in (MASK_UNIT, MASK_UNIT, GLOBAL, GLOBAL))
    return hierarchical("turbovit", 96, (64, 128, 256, 512), (1, 2, 8, 2), mixers)


def hiera_t() -> Architecture:
    """Hiera-T."""
    mixers = tuple(Spec.of(pattern, head_dim=96) for pattern in (MASK_UNIT, MASK_UNIT, GLOBAL, GLOBAL))
    return hierarchical("hiera-t", 96, (96, 192, 384, 768), (1, 2, 7, 2), mixers)


def tiny(**changes) -> Architecture:
    """A 32-pixel design of two stages, quick to build."""
    options = {"resolution": 32, "stride": 2, "classes": 10, **changes}
    mixers = (Spec.of(MASK_UNIT, heads=1, mask_unit=4), Spec.of(GLOBAL, heads=2))
    return hierarchical("tiny", 16, (16, 32), (1, 2), mixers, **options)


def folding(norm: str = "batch") -> Architecture:
    """A 32-pixel design of convolutions with batch norms, shortcuts and layer scales: all of it folds."""
    block = Spec.of(
        "transformer",
        mixer=Spec.of("global_attention", heads=2),
        mlp=Spec.of("conv_mlp", ratio=2.0, norm=True),
        local=Spec.of("depthwise_conv", kernel=3),
        norm=norm,
        layer_scale=0.5,
    )
    first = Spec.of("transformer", mixer=Spec.of("depthwise_conv", kernel=5), mlp=Spec.of("conv_mlp"), norm="none")
    return Architecture(
        Spec.of("conv_stem", dim=8, strides=(2, 2), act="relu"),
        (Stage(8, (Group(first, 2),)), Stage(16, (Group(block, 2),), Spec.of("conv_downsample"))),
        Spec.of("classifier", classes=10, norm="batch"),
        32,
        3,
        "folding",
    )


def trained(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model in evaluation mode, with weights and norm statistics as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(1.0 + 0.2 * noise.clamp(-2, 2) if name.endswith("running_var") else tensor + 0.1 * noise)
    return model.eval()


def random_designs(count: int, seed: int) -> list[Architecture]:
    """Random designs for 32 and 64 pixels: widths, depths, mixers, entries and stems all vary."""
    rng, found = random.Random(seed), []
    while len(found) < count:
        stages = rng.randint(1, 3)
        dims = tuple(rng.choice((16, 24, 32, 48)) for _ in range(stages))
        mixers = tuple(
            Spec.of(MASK_UNIT, heads=rng.choice((1, 2, 4)), mask_unit=rng.choice((2, 4, 8)))
            if rng.random() < 0.6
            else Spec.of(GLOBAL, head_dim=8)
            for _ in range(stages)
        )
        design = hierarchical(
            f"random {len(found)}",
            rng.choice((8, 16, 24)),
            dims,
            tuple(rng.randint(1, 3) for _ in range(stages)),
            mixers,
            resolution=rng.choice((32, 64)),
            stride=rng.choice((2, 4)),
            ratio=rng.choice((1.5, 2.0, 4.0)),
            lag=rng.random() < 0.5,
            position=rng.choice(("learned", "none")),
            classes=rng.choice((3, 10)),
        )
        try:
            plan(design)
        except DesignError:
            continue
        found.append(design)
    return found


def load_module(text: str, name: str, folder: Path) -> ModuleType:
    """The text as a module of this process."""
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
