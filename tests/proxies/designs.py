"""Designs for the tests of proxies: four stages at 224 pixels, and tiny ones."""

from __future__ import annotations

from gas.architecture import Architecture, Group, Spec, Stage


def hierarchical(
    stem: int,
    dims: tuple[int, ...],
    depths: tuple[int, ...],
    *,
    resolution: int = 224,
    mask_unit: int = 8,
    **heads: int,
) -> Architecture:
    """Mask unit attention in the first two stages, global attention behind; `heads=` or `head_dim=`."""
    stages = []
    for index, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
        local = Spec.of("mask_unit_attention", mask_unit=mask_unit, **heads)
        mixer = local if index < 2 else Spec.of("global_attention", **heads)
        group = Group(Spec.of("transformer", mixer=mixer), depth)
        stages.append(Stage(dim, (group,), Spec.of("q_pool") if index else None))
    return Architecture(Spec.of("conv_embed", dim=stem), tuple(stages), Spec.of("classifier"), resolution)


def tiny(dim: int = 16, resolution: int = 32) -> Architecture:
    """Two stages of one block each."""
    return hierarchical(dim, (dim, 2 * dim), (1, 1), resolution=resolution, mask_unit=2, heads=2)
