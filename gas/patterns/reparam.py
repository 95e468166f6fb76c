"""The reparameterised convolution of MobileOne and FastViT: several branches in training, one convolution afterwards.

No pattern is registered here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from gas.patterns.base import Cost, Part
from gas.patterns.folding import centred, conv_from, norm_affine
from gas.patterns.units import ConvNorm, SqueezeExcite, activation, conv_norm_cost, squeeze_excite_cost


class RepConv(nn.Module):
    """Sum of convolutions with a batch norm each, and perhaps of the normed input; activation behind.

    Args:
        dim: Channels read.
        dim_out: Channels written.
        kernels: Side of each convolution, odd; the widest is the side once folded. Two of the same side are the
            k branches of MobileOne, one of side 1 is its scale branch.
        stride: Step of all of them.
        groups: Their groups.
        identity: Whether the input, through a batch norm, is a branch too; its shape must stay.
        squeeze: Hidden channels of a squeeze-excite behind the sum; 0 for none.
        act: Activation behind it all.

    Source: MobileOne, arXiv 2206.04040, section 3.2; RepVGG, arXiv 2101.03697, section 3.3.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int,
        kernels: Sequence[int],
        stride: int = 1,
        groups: int = 1,
        identity: bool = False,
        squeeze: int = 0,
        act: str = "none",
    ) -> None:
        super().__init__()
        self.stride = stride
        self.groups = groups
        convs = [ConvNorm(dim, dim_out, kernel, stride, groups) for kernel in kernels]
        self.branches = nn.ModuleList([nn.BatchNorm2d(dim)] * identity + convs)
        self.squeeze = SqueezeExcite(dim_out, squeeze) if squeeze else nn.Identity()
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim_out, H/stride, W/stride)."""
        first, *others = self.branches
        y = first(x)
        for branch in others:
            y = y + branch(x)
        return self.act(self.squeeze(y))

    def folded(self) -> nn.Module:
        """One biased convolution, and what stands behind it."""
        convs = [branch for branch in self.branches if isinstance(branch, nn.Conv2d)]
        members, side = convs[0].weight.shape[1], max(conv.kernel_size[0] for conv in convs)
        weights, biases = [], []
        for branch in self.branches:
            if isinstance(branch, nn.Conv2d):
                weights.append(F.pad(branch.weight.detach(), [(side - branch.kernel_size[0]) // 2] * 4))
                biases.append(branch.bias.detach())
            else:
                scale, shift = norm_affine(branch)
                weights.append(centred(scale, members, side))
                biases.append(shift)
        conv = conv_from(sum(weights), sum(biases), stride=self.stride, groups=self.groups)
        behind = [module for module in (self.squeeze, self.act) if not isinstance(module, nn.Identity)]
        return nn.Sequential(conv, *behind) if behind else conv


def mobile_one(
    dim: int, dim_out: int, kernel: int, *, stride: int = 1, groups: int = 1, scale: bool = True, **more: int | str
) -> Part:
    """A RepConv with the branches of MobileOne: the convolution, one of side 1, and the input where its shape stays."""
    kernels = [1, kernel] if scale and kernel > 1 else [kernel]
    identity = dim == dim_out and stride == 1
    args = {"kernels": kernels, "stride": stride, "groups": groups, "identity": identity, **more}
    return Part.of(RepConv, dim=dim, dim_out=dim_out, **args)


def rep_conv_cost(part: Part, grid: tuple[int, int]) -> Cost:
    """A RepConv that gives out a map of `grid`, all branches counted."""
    args, total = part.args, Cost()
    dim, dim_out = args["dim"], args["dim_out"]
    for kernel in args["kernels"]:
        total += conv_norm_cost(grid, dim, dim_out, kernel, groups=args.get("groups", 1))
    if args.get("identity"):
        total += Cost(0, 2 * dim)
    if args.get("squeeze"):
        total += squeeze_excite_cost(dim_out, args["squeeze"])
    return total
