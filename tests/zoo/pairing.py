"""Holds our designs against public implementations: the same weights in both, and then the same outputs.

Weights are paired by the order in which modules run, so no map of names is needed: the n-th layer with weights to run
in theirs is the n-th to run in ours. Weights are random, so a wrong pairing of layers with equal shapes shows in the
output. Where a public code keeps two of our layers as one, or runs them in another order, a family gives a `copy` of
its own.

Each file `FAMILY_reference.py` in this folder has a dict REFERENCES from a zoo name to a Reference; the tests run over
all of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Reference:
    """A public implementation of a design of the zoo.

    Args:
        make: Builds it, for 1000 classes, without weights to download.
        copy: Puts its weights into ours; `pair_weights` where None. Called as copy(theirs, ours, images).
        fold: Its own folding for inference, where it has one: its outputs must then be ours folded too.
        macs: False where its traced macs cannot be compared; `why` then says the reason.
        why: See macs.
    """

    make: Callable[[], nn.Module]
    copy: Callable[[nn.Module, nn.Module, Tensor], None] | None = None
    fold: Callable[[nn.Module], nn.Module] | None = None
    macs: bool = True
    why: str = ""


def references() -> Mapping[str, Reference]:
    """Every reference of this folder, by zoo name."""
    found: dict[str, Reference] = {}
    for path in sorted(Path(__file__).parent.glob("*_reference.py")):
        found |= importlib.import_module(f"zoo.{path.stem}").REFERENCES
    return found


def own_parameters(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and norm statistics that a module holds itself, by name, in the order of their registration."""
    held = {**module._parameters, **{n: b for n, b in module._buffers.items() if n.startswith("running_")}}
    return {name: tensor for name, tensor in held.items() if tensor is not None}


def run_order(model: nn.Module, images: Tensor) -> list[tuple[str, nn.Module]]:
    """Modules that hold parameters themselves, with their names, in the order in which they first run."""
    order: dict[nn.Module, str] = {}
    names = {module: name for name, module in model.named_modules()}

    def note(module: nn.Module, _: tuple) -> None:
        order.setdefault(module, names[module])

    hooks = [m.register_forward_pre_hook(note) for m in model.modules() if own_parameters(m)]
    with torch.inference_mode():
        model.eval()(images)
    for hook in hooks:
        hook.remove()
    left = [name for module, name in names.items() if own_parameters(module) and module not in order]
    assert not left, f"hold parameters and never run: {left}"
    return [(name, module) for module, name in order.items()]


def pair_weights(theirs: nn.Module, ours: nn.Module, images: Tensor) -> None:
    """Copies all weights and norm statistics; layers are paired in the order in which they run.

    A 1 x 1 convolution and a linear layer may stand for one another.
    """
    pairs = run_order(theirs, images), run_order(ours, images)
    for (their_name, their_module), (our_name, our_module) in zip(*pairs, strict=False):
        sources, targets = own_parameters(their_module), own_parameters(our_module)
        where = f"{their_name} -> {our_name}"
        shapes = [[t.numel() for t in held.values()] for held in (sources, targets)]
        assert shapes[0] == shapes[1], f"{where}: {list(sources)} {shapes[0]}, {list(targets)} {shapes[1]}"
        with torch.no_grad():
            for source, target in zip(sources.values(), targets.values(), strict=True):
                target.copy_(source.reshape(target.shape))
    assert len(pairs[0]) == len(pairs[1]), [len(p) for p in pairs]


def randomise(model: nn.Module, seed: int) -> None:
    """Gives every parameter and norm statistic a random value, also those that begin at 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for name, tensor in own_parameters(module).items():
                noise = torch.randn(tensor.shape, generator=generator)
                if name == "running_var":
                    tensor.copy_(1.0 + 0.2 * noise.clamp(-2, 2))
                elif tensor.ndim > 1 and not isinstance(module, nn.modules.batchnorm._BatchNorm):
                    tensor.copy_(noise / max(tensor[0].numel(), 1) ** 0.5)
                else:
                    tensor.copy_(tensor + 0.2 * noise)


def gap(got: Tensor, wanted: Tensor) -> float:
    """Greatest difference, as a share of the greatest value wanted."""
    return float((got - wanted).abs().max() / wanted.abs().max())


# Each has a smaller sister in the zoo, made of the same parts, which quick tests look at.
LARGER = {
    "cmt_s",
    "efficientformerv2_s1",
    "efficientformerv2_s2",
    "efficientmod_s",
    "efficientmod_xs",
    "efficientvit_m1",
    "efficientvit_m2",
    "efficientvit_m3",
    "efficientvit_m4",
    "efficientvit_m5",
    "fastervit_1",
    "fastvit_sa24",
    "hiera_base",
    "hiera_small",
    "mobilevit_s",
    "mobilevit_xs",
    "mobilevitv2_100",
    "mobilevitv2_200",
    "parformer_b2",
    "pit_s",
    "pit_xs",
    "shvit_s2",
    "shvit_s3",
    "supervit_deit_small_k10",
    "swiftformer_l1",
    "swiftformer_s",
}


def quick_and_slow(names: Iterable[str]) -> list:
    """Names as parameters of a test, larger sisters marked slow."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGER)) for name in names]
