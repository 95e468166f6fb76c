"""What stands before or behind a linear layer or a convolution, taken into its weights.

No pattern is registered here. A module says which of its layers may take something in, by name, in two class
attributes: `first`, the one layer that all it reads goes into before anything else is done to it (no padding either),
and `last`, the one layer whose output it gives out as it is. Modules that have no such layer leave the attribute out.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from gas.patterns.layouts import FromWindows, Reroll, ToMap, ToTokens, Unroll
from gas.patterns.units import LayerScale


def end_layer(module: nn.Module, end: Literal["first", "last"]) -> nn.Conv2d | nn.Linear | None:
    """The layer at an end of a module, layout conversions passed over; None where it has none."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return module
    if isinstance(module, nn.Sequential):
        for child in list(module)[:: 1 if end == "first" else -1]:
            if not isinstance(child, ToTokens | ToMap | Unroll | Reroll | FromWindows):
                return end_layer(child, end)
        return None
    name = getattr(module, end, None)
    return end_layer(getattr(module, name), end) if isinstance(name, str) else None


def norm_affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(C,), (C,): what a batch norm in evaluation mode multiplies each channel by, and what it adds then."""
    scale = norm.weight.detach() * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias.detach() - norm.running_mean * scale


def norm_into(norm: nn.Module, module: nn.Module) -> nn.Module:
    """A batch norm that stands before a module goes into the module's first layer; what is left of the norm."""
    layer = end_layer(module, "first") if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) else None
    if layer is None or (isinstance(layer, nn.Conv2d) and (layer.groups > 1 or layer.padding != (0, 0))):
        return norm
    scale, shift = norm_affine(norm)
    weight = layer.weight.detach()  # (out, C) or (out, C, k, k)
    each = (-1, *[1] * (weight.ndim - 2))
    added = (weight * shift.view(each)).flatten(1).sum(1)  # (out,)
    layer.bias = nn.Parameter(added if layer.bias is None else layer.bias.detach() + added)
    layer.weight = nn.Parameter(weight * scale.view(each))
    return nn.Identity()


def scale_into(scale: nn.Module, module: nn.Module) -> nn.Module:
    """A layer scale that stands behind a module goes into the module's last layer; what is left of the scale."""
    layer = end_layer(module, "last") if isinstance(scale, LayerScale) else None
    if layer is None:
        return scale
    weight, gamma = layer.weight.detach(), scale.gamma.detach()
    layer.weight = nn.Parameter(weight * gamma.view(-1, *[1] * (weight.ndim - 1)))
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.detach() * gamma)
    return nn.Identity()


def conv_from(weight: Tensor, bias: Tensor, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution with these weights, padded by half its odd side."""
    dim_out, members, side, _ = weight.shape
    dim = members * groups
    conv = nn.Conv2d(dim, dim_out, side, stride, side // 2, groups=groups, device="meta")  # which draws no weights
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return conv


def centred(values: Tensor, members: int, side: int) -> Tensor:
    """(C,) -> (C, members, side, side): the grouped convolution that multiplies each channel by its value."""
    index = torch.arange(len(values), device=values.device)
    weight = values.new_zeros(len(values), members, side, side)
    weight[index, index % members, side // 2, side // 2] = values
    return weight
