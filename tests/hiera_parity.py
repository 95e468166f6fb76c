"""The Hiera family as designs of ours, and the name map by which timm's weights become ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gas.architecture import Architecture, Group, Spec, Stage
from gas.model import Network
from gas.patterns.classifier import Classifier
from gas.patterns.transformer import TransformerBlock

# Stem width, heads at the first stage and depths, as in the public code (arXiv 2306.00989, table 2).
HIERA = {
    "hiera_tiny_224": (96, 1, (1, 2, 7, 2)),
    "hiera_small_224": (96, 1, (1, 2, 11, 2)),
    "hiera_base_224": (96, 1, (2, 3, 16, 3)),
}


def hierarchical(
    stem: int,
    dims: Sequence[int],
    depths: Sequence[int],
    head_dim: int,
    *,
    resolution: int = 224,
    classes: int = 1000,
    mask_unit: int = 8,
    local: int = 2,
    name: str = "",
) -> Architecture:
    """A design of the family: `local` stages of mask unit attention, then global attention, joined by Q-pooling."""
    stages = []
    for i, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
        scope = Spec.of("mask_unit_attention", mask_unit=mask_unit) if i < local else Spec.of("global_attention")
        mixer = Spec.of(scope.pattern, head_dim=head_dim, **scope.options)
        entry = Spec.of("q_pool") if i else None
        stages.append(Stage(dim, (Group(Spec.of("transformer", mixer=mixer), depth),), entry))
    stem_spec, head = Spec.of("conv_embed", dim=stem), Spec.of("classifier", classes=classes)
    return Architecture(stem_spec, tuple(stages), head, resolution, name=name)


def hiera(variant: str) -> Architecture:
    """A public Hiera as a design of ours."""
    dim, heads, depths = HIERA[variant]
    return hierarchical(dim, [dim * 2**i for i in range(4)], depths, dim // heads, name=variant)


def turbovit() -> Architecture:
    """The published block table of TurboViT."""
    return hierarchical(96, (64, 128, 256, 512), (1, 2, 8, 2), 64, name="turbovit")


def tiny(*, resolution: int = 32, classes: int = 10) -> Architecture:
    """A design of the family that runs in milliseconds."""
    return hierarchical(
        16, (16, 32, 48), (1, 2, 1), 16, resolution=resolution, classes=classes, mask_unit=4, name="tiny"
    )


# timm's name within a block: ours.
IN_BLOCK = {
    "norm1": "norm1",
    "proj": "shortcut",
    "attn.qkv": "token_mixer.qkv",
    "attn.proj": "token_mixer.proj",
    "norm2": "norm2",
    "mlp.fc1": "channel_mixer.fc1",
    "mlp.fc2": "channel_mixer.fc2",
}
ELSEWHERE = {
    "patch_embed.proj": "stem.conv",
    "pos_embed": "stem.position",
    "head.norm": "{head}.norm",
    "head.fc": "{head}.linear",
}


def renamed(weights: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """timm's Hiera state under the names of ours; KeyError for a name that the map does not hold.

    timm numbers its blocks through, ours stand in stages, between layout conversions: the blocks are met in order.
    """
    blocks = [name for name, module in network.named_modules() if isinstance(module, TransformerBlock)]
    head = next(name for name, module in network.named_modules() if isinstance(module, Classifier))
    result = {}
    for name, value in weights.items():
        if name == "pos_embed":
            result[ELSEWHERE[name]] = value
            continue
        owner, _, leaf = name.rpartition(".")
        if owner.startswith("blocks."):
            _, number, inner = owner.split(".", 2)
            ours = f"{blocks[int(number)]}.{IN_BLOCK[inner]}"
        else:
            ours = ELSEWHERE[owner].format(head=head)
        result[f"{ours}.{leaf}"] = value
    return result


def randomise(module: nn.Module, seed: int) -> None:
    """Gives every parameter a random value, those too that begin at 0 or 1 (norms, biases, position embedding)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 0
            parameter.copy_(noise / fan_in**0.5 if fan_in else parameter + 0.2 * noise)
