"""Which tensors of a bank a design's parameters are slices of: keys made of places, and the shapes that vary.

A key says where a parameter stands (the stage, its entry or a block group, the number of the block in its group), the
names and classes of the modules on the way down to it, and every dimension that is no width. So two designs share what
stands at one place and is of one kind, and two patterns at one place never do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gas.architecture import Architecture
from gas.model import Network, block_modules

Sizes = Callable[[Any], Sequence[int]]
Dims = Callable[[Any], Sequence[int]]


def _equal(parts: Callable[[Any], int], width: Callable[[Any], int]) -> Sizes:
    return lambda owner: [width(owner) // parts(owner)] * parts(owner)


def _thirds(owner: Any) -> Sequence[int]:
    return [owner.qkv.out_features // 3] * 3


_SQUARE = _equal(lambda owner: owner.stride**2, lambda owner: owner.reduction.in_features)
_VALUES = _equal(lambda owner: owner.ratio, lambda owner: owner.value.out_channels)

OUTPUTS: Mapping[tuple[str, str], Sizes] = {
    ("UnitAttention", "qkv"): _thirds,
    ("WindowAttention", "qkv"): _thirds,
    ("BiasedAttention", "qkv"): _thirds,
    ("RankingAttention", "qkv"): _thirds,
    ("CrossCovarianceAttention", "qkv"): _thirds,
    ("ReducedAttention", "kv"): _equal(lambda owner: 2, lambda owner: owner.kv.out_features),
    ("SeparableAttention", "qkv"): lambda owner: owner.widths,
    ("CascadedGroupAttention", "qkv"): lambda owner: owner.split,
    ("SingleHeadAttention", "qkv"): lambda owner: owner.split,
    ("EfficientModulation", "value"): _VALUES,
    ("PatchMerging", "norm"): _SQUARE,
}
"""Modules that give out several things side by side: (class that holds it, its name) -> how many channels each has.

Each is sliced by itself: a leading slice of the whole would give a narrow design keys where it had queries.
"""

INPUTS: Mapping[tuple[str, str], Sizes] = {
    ("EfficientModulation", "proj"): _VALUES,
    ("PatchMerging", "reduction"): _SQUARE,
    ("SingleHeadAttention", "proj"): lambda owner: owner.parts,
}
"""The same for modules that read several things side by side."""

WIDTHS: Mapping[tuple[str, str], Dims] = {
    ("LayerScale", "gamma"): lambda owner: (0,),
    ("ConvEmbed", "token"): lambda owner: (2,),
    ("ConvEmbed", "position"): lambda owner: (2,),
    ("RelativeBias", "table"): lambda owner: (1,) if owner.signed else (0,),
    ("ReducedAttention", "bias"): lambda owner: (1,),
    ("CrossCovarianceAttention", "temperature"): lambda owner: (0,),
    ("AdditiveAttention", "weight"): lambda owner: (0,),
    ("QnaWeights", "query"): lambda owner: (1, 2),
    ("QnaWeights", "key"): lambda owner: (0, 1, 2),
    ("QnaWeights", "value"): lambda owner: (0, 1),
    ("QnaWeights", "bias"): lambda owner: (0,),
    ("QnaWeights", "scale"): lambda owner: (0,),
}
"""Parameters of the patterns' own classes: (class, name) -> the dimensions that count channels or heads.

The sizes of all others belong to the key: what is not known to be a width is shared by designs of equal shape alone.
"""


@dataclass(frozen=True)
class Slot:
    """One parameter of a network and where it lies in a bank.

    Args:
        name: Qualified name in the network.
        shape: Its shape.
        pieces: (key, shape) of the tensors that it is made of, side by side along `dim`; mostly one.
        dim: The dimension along which there are several.
        decays: True for matrices and convolutions, which weight decay bears on.
    """

    name: str
    shape: tuple[int, ...]
    pieces: tuple[tuple[str, tuple[int, ...]], ...]
    dim: int
    decays: bool


def slots(network: Network, architecture: Architecture, *, segments: bool = True) -> list[Slot]:
    """The slot of every parameter, in the order of `network.named_parameters()`.

    Args:
        network: As `gas.build` made it.
        architecture: Of which design.
        segments: Slice what stands side by side (queries, keys and values) each by itself; False only to measure what
            that is worth.
    """
    names = {id(module): name for name, module in network.named_modules(remove_duplicate=False)}
    places = {names[id(network.stem)]: "stem", names[id(network.head)]: "head"}
    counted: dict[str, int] = {}
    for module, placed in block_modules(network, architecture):
        number = counted.setdefault(placed.path, 0)
        counted[placed.path] += 1
        entry = placed.path.endswith("entry")
        places[names[id(module)]] = placed.path if entry else f"{placed.path}[{number}]"
    modules = dict(network.named_modules())
    return [
        _slot(name, tuple(parameter.shape), places, modules, segments) for name, parameter in network.named_parameters()
    ]


def _slot(
    name: str, shape: tuple[int, ...], places: Mapping[str, str], modules: Mapping[str, nn.Module], segments: bool
) -> Slot:
    *path, own = name.split(".")
    start = next(n for n in range(1, len(path) + 1) if ".".join(path[:n]) in places)
    chain = [".".join(path[:n]) for n in range(start, len(path) + 1)]
    owner = modules[chain[-1]]
    widths = _widths(owner, own, len(shape))
    fixed = ",".join(str(size) for dim, size in enumerate(shape) if dim not in widths)
    words = [
        type(modules[chain[0]]).__name__,
        *(f"{n.rpartition('.')[2]}:{type(modules[n]).__name__}" for n in chain[1:]),
    ]
    key = f"{places[chain[0]]} {'.'.join(words)}{_kind(owner)}.{own}" + (f"({fixed})" if fixed else "")
    decays = own == "weight" and len(shape) > 1
    for dim, sizes in _cuts(chain, modules, len(shape)) if segments else ():
        if sum(sizes) == shape[dim]:
            cut = [(*shape[:dim], size, *shape[dim + 1 :]) for size in sizes]
            return Slot(name, shape, tuple((f"{key}/{n}", c) for n, c in enumerate(cut)), dim, decays)
    return Slot(name, shape, ((key, shape),), 0, decays)


def _cuts(chain: Sequence[str], modules: Mapping[str, nn.Module], ndim: int) -> Iterator[tuple[int, Sequence[int]]]:
    """Dimensions of the parameter at the end of a chain that hold several things side by side, and their sizes."""
    for above, below in pairwise(chain):
        pair = (type(modules[above]).__name__, below.rpartition(".")[2])
        if pair in OUTPUTS:
            yield 0, OUTPUTS[pair](modules[above])
        if pair in INPUTS and ndim > 1:
            yield 1, INPUTS[pair](modules[above])


def _widths(owner: nn.Module, name: str, ndim: int) -> Sequence[int]:
    """The dimensions of a parameter that count channels: all others are part of its key."""
    if isinstance(owner, nn.Linear | nn.modules.conv._ConvNd):
        return range(min(ndim, 2))
    if isinstance(owner, nn.LayerNorm | nn.GroupNorm | _BatchNorm):
        return range(ndim)
    found = WIDTHS.get((type(owner).__name__, name))
    return () if found is None else found(owner)


def _kind(owner: nn.Module) -> str:
    """Convolutions of other kinds do not share: the second dimension of their weights means other things."""
    if not isinstance(owner, nn.modules.conv._ConvNd) or owner.groups == 1:
        return ""
    return "[depthwise]" if owner.groups == owner.in_channels else "[grouped]"
