"""Passes of the network with the absolute values of its weights, before an image of ones.

In `positive` signals only add up; in `absolute` the network stays what it is, but for the signs.

Shapes: B images (here 1), C channels, R side of the image, N tokens.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gas.passes.subject import Subject

# Named here and not shared with the forward pass: there a non-linearity's input is read, here it is passed on.
PASSED_ON = (
    *(F.relu, F.relu6, F.hardtanh, F.gelu, F.silu, F.hardswish, F.leaky_relu, F.elu, torch.relu, Tensor.relu),
    *(F.batch_norm, F.layer_norm, F.group_norm, F.instance_norm, F.normalize),
)
OPEN = (F.hardsigmoid, F.sigmoid, torch.sigmoid, Tensor.sigmoid)
SHARED_OUT = (F.softmax, torch.softmax, Tensor.softmax)


@dataclass(frozen=True, eq=False)
class Positive:
    """What came of a pass.

    R is the sum of the class scores. It may lie far beyond the range of floating point, so all that is of its size is
    given divided by exp(`scale`).

    Args:
        weights: Absolute weights (no biases, no norms) of linear layers and convolutions, float64, by name.
        gradients: dR/dw / exp(scale) of those that R depends on, by name; of `positive`, none is below 0 where nothing
            in the network is subtracted.
        scale: Natural logarithm of the common factor.
        response: Natural logarithm of R; None of `absolute`, in which R may be below 0.
    """

    weights: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    scale: float = 0.0
    response: float | None = None


def positive(subject: Subject, names: Iterable[str]) -> Positive:
    """The pass that SynFlow reads, in float64.

    All parameters, and fixed numbers such as the places of tokens, are replaced by their absolute values. What would
    not let the signal through in proportion is taken out, because with it nothing would be conserved from layer to
    layer: norms pass on what comes in; so do rectifiers (ReLU, GELU, SiLU and their like), which positive signals
    pass, or nearly pass, unchanged; gates (sigmoids) are open; attention weighs alike all tokens that it may see, so
    the weights of queries and keys have no part in R where they do nothing else. What comes into each block is divided
    by its mean, which is put down in `scale`: for a network without products of features this changes nothing but the
    range; where two features are multiplied it keeps R from growing with the square, and the square of the square,
    from block to block.

    Args:
        subject: The network; left as it is.
        names: Of the weights to read.

    Raises:
        ValueError: The signal dies out, or overflows within a block.

    Source: Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, arXiv
    2006.05467, section 5 (algorithm 1). Differs: the paper's networks have no attention and no layer norms.
    """
    network, weights, image = _of_absolutes(subject, names)
    places = {module: name for name, module in subject.network.named_modules()}
    copies = dict(network.named_modules())
    scales: list[float] = []
    hooks = [copies[places[site.module]].register_forward_pre_hook(_levelled(scales)) for site in subject.blocks]
    try:
        with torch.enable_grad(), _Proportional():
            total = network(image).sum()
    finally:
        for hook in hooks:
            hook.remove()
    if not (math.isfinite(total.item()) and total.item() > 0):
        raise ValueError(f"the positive pass: got a response of {total.item()}; expected a finite number above 0")
    scale = math.fsum(scales)
    return Positive(_detached(weights), _gradients(total, weights), scale, math.log(total.item()) + scale)


def absolute(subject: Subject, names: Iterable[str]) -> Positive:
    """The pass that DSS reads, in float64.

    All but the signs stays: norms, rectifiers, gates and the weights of attention. So little of R is conserved, and R
    may be below 0. Batch norms alone cannot stay: their statistics are those of the network with signs, and one image
    of ones has none to speak of; they normalise each image over all its channels and places. Nothing is levelled.

    Args:
        subject: The network; left as it is.
        names: Of the weights to read.

    Raises:
        ValueError: R overflows.

    Source: Zhou et al., Training-free Transformer Architecture Search, arXiv 2203.12217, section 3, and its public
    code, whose networks have no batch norms.
    """
    network, weights, image = _of_absolutes(subject, names)
    with torch.enable_grad(), _NormedByImage():
        total = network(image).sum()
    if not math.isfinite(total.item()):
        raise ValueError(f"the pass of absolute weights: got a response of {total.item()}; expected a finite number")
    return Positive(_detached(weights), _gradients(total, weights))


def _of_absolutes(subject: Subject, names: Iterable[str]) -> tuple[nn.Module, dict[str, Tensor], Tensor]:
    """A copy in float64 whose numbers are all at least 0, its weights by name, and an image of ones."""
    network = copy.deepcopy(subject.network).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
        for buffer in network.buffers():  # places, from which tables of positions are worked out; masks stay
            if buffer.is_floating_point():
                buffer.copy_(torch.where(buffer.isneginf(), buffer, buffer.abs()))
    held = dict(network.named_parameters())
    image = torch.ones(1, *subject.images.shape[1:], dtype=torch.float64)
    return network, {name: held[name] for name in names}, image


def _gradients(total: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    return {name: g for name, g in zip(weights, found, strict=True) if g is not None}


def _detached(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in weights.items()}


def _levelled(scales: list[float]) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """A hook that divides what comes into a block by its mean, and notes the mean's logarithm."""

    def level(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        mean = inputs[0].mean().item()
        if not (math.isfinite(mean) and mean > 0):
            place = f"block {len(scales) + 1}"
            raise ValueError(f"the positive pass: got a mean of {mean} before {place}; expected one above 0")
        scales.append(math.log(mean))
        return (inputs[0] / mean, *inputs[1:])

    return level


class _Proportional(TorchFunctionMode):
    """Takes out what does not let a positive signal through in proportion: see `positive`."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in PASSED_ON:
            return args[0] if args else kwargs["input"]
        if func in OPEN:
            return torch.ones_like(args[0] if args else kwargs["input"])
        if func in SHARED_OUT:
            scores = args[0] if args else kwargs["input"]
            dim = args[1] if len(args) > 1 else kwargs["dim"]
            return torch.zeros_like(scores).masked_fill(scores.isneginf(), -math.inf).softmax(dim)
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        return func(*args, **kwargs)

    @staticmethod
    def _attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Masks stay: what they hide is hidden. Biases of places, small as they begin, stay with them."""
        return F.scaled_dot_product_attention(torch.zeros_like(q), k.detach(), v, attn_mask, **kwargs)


class _NormedByImage(TorchFunctionMode):
    """Batch norms normalise each image over all its channels and places, with the eps that they have."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            x = args[0] if args else kwargs["input"]
            return F.layer_norm(x, x.shape[1:], eps=args[7] if len(args) > 7 else kwargs.get("eps", 1e-5))
        return func(*args, **kwargs)
