"""The second opinion on macs and params: what is counted on the built module, by torch and by fvcore.

Both count a multiply-add of a convolution, linear layer or matrix product once (torch's counter says 2, we halve it).
They differ from one another in two ways, named here rather than hidden:
    norms              fvcore adds 5 per element of a layer norm, 1 or 2 of others, and 4 per element of a bilinear
                       resampling; torch and the formulas add nothing
    fused attention    fvcore adds nothing; torch counts it on `meta`, where it falls apart into two matrix products
                       (`bmm`), but not on CPU tensors. Nor does fvcore count a matrix product with a sum (`baddbmm`),
                       as attention with a bias may use
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gas.architecture import Architecture
from gas.model import fuse, network_part
from gas.patterns import Cost

NORMS = ("layer_norm", "batch_norm", "group_norm", "instance_norm", "upsample_bilinear2d")
FUSED_ATTENTION = "aten::scaled_dot_product_attention"
SUMMED_PRODUCT = "aten::baddbmm"


@dataclass(frozen=True)
class TracedCount:
    """What torch counts on a module.

    Args:
        cost: Macs and params.
        by_operator: Macs per operator (`convolution`, `addmm`, `bmm`).
    """

    cost: Cost
    by_operator: Mapping[str, int]


@dataclass(frozen=True)
class FvcoreCount:
    """What fvcore counts on a module.

    Args:
        total: fvcore's own sum: norms in it, fused attention not.
        by_operator: The sum's parts.
        uncounted: Operators that fvcore met and counts as nothing, with how often it met them.
        fused_attention: Macs of the fused attention and summed products among them: they alone multiply matrices.
    """

    total: int
    by_operator: Mapping[str, int]
    uncounted: Mapping[str, int]
    fused_attention: int

    @property
    def norms(self) -> int:
        """The part of the sum that stands for norms (and bilinear resampling)."""
        return sum(self.by_operator.get(name, 0) for name in NORMS)

    @property
    def macs(self) -> int:
        """Macs as gas and the papers count them: without norms, with fused attention."""
        return self.total - self.norms + self.fused_attention


def count_module(module: nn.Module, shape: tuple[int, ...]) -> TracedCount:
    """Macs and params of a module that stands on the meta device, for an input of `shape` (batch first)."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module.eval()(torch.zeros(shape, device="meta"))
    flops = counter.get_flop_counts().get("Global", {})
    by_operator = {str(operator).rpartition(".")[2]: count // 2 for operator, count in flops.items()}
    params = sum(p.numel() for p in module.parameters())
    return TracedCount(Cost(counter.get_total_flops() // 2, params), by_operator)


def traced_count(architecture: Architecture) -> TracedCount:
    """Macs (one image) and params of a design, counted on the built module on the meta device: nothing is computed."""
    return count_module(_on_meta(architecture), _image(architecture))


def folded_count(architecture: Architecture) -> TracedCount | None:
    """The same of the design folded for inference (`gas.fuse`); None where nothing in it folds.

    Params are then what is left of them: a learned number that has become a constant (a bias looked up once and for
    all) is not among them.
    """
    module = _on_meta(architecture)
    folded = fuse(module)
    if _shapes(folded) == _shapes(module):
        return None
    return count_module(folded, _image(architecture))


def fvcore_count(architecture: Architecture) -> FvcoreCount:
    """fvcore's count of a design for one image, on a built module on the CPU (fvcore fails on meta)."""
    with torch.random.fork_rng(devices=[]):
        module = network_part(architecture).build().eval()
    image = torch.zeros(1, architecture.channels, architecture.resolution, architecture.resolution)
    lacking: dict[str, list[int]] = {FUSED_ATTENTION: [], SUMMED_PRODUCT: []}

    def noting(operator: str, macs: Callable[..., int]) -> Callable[[list[Any], list[Any]], int]:
        def note(inputs: list[Any], outputs: list[Any]) -> int:
            lacking[operator].append(macs(*(value.type().sizes() for value in inputs[:3])))
            return 0

        return note

    with warnings.catch_warnings():
        # Importing fvcore decorates functions with torch.jit.script, and its tracing turns sizes into constants.
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        count = FlopCountAnalysis(module, image).set_op_handle(
            FUSED_ATTENTION, noting(FUSED_ATTENTION, _attention_macs)
        )
        count.set_op_handle(SUMMED_PRODUCT, noting(SUMMED_PRODUCT, _product_macs))
        count.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = {name: int(macs) for name, macs in count.by_operator().items() if macs}
        uncounted = dict(count.unsupported_ops())
    uncounted |= {operator: len(found) for operator, found in lacking.items() if found}
    return FvcoreCount(sum(by_operator.values()), by_operator, uncounted, sum(map(sum, lacking.values())))


def _on_meta(architecture: Architecture) -> nn.Module:
    with torch.device("meta"):
        return network_part(architecture).build()


def _image(architecture: Architecture) -> tuple[int, ...]:
    return 1, architecture.channels, architecture.resolution, architecture.resolution


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def _attention_macs(query: list[int], key: list[int], value: list[int]) -> int:
    """q k^T and weights v, for shapes (..., N, D), (..., M, D), (..., M, E)."""
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _product_macs(_: list[int], left: list[int], right: list[int]) -> int:
    """A sum and left @ right, for shapes (..., N, D), (..., D, M)."""
    return math.prod(left) * right[-1]
