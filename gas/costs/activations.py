"""Activations of a design: what its convolutions, linear layers and matrix products give out, in elements.

Of all counts it follows latency on accelerators the best.
Source: Designing Network Design Spaces (RegNet), arXiv 2003.13678, section 4 ("the size of the output tensors of all
conv layers"). Differs: linear layers and matrix products count too, as in fvcore, for transformers have little else.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from gas.architecture import Architecture, Spec
from gas.costs.pieces import Piece, pieces
from gas.patterns import Flow
from gas.plan import plan
from gas.space.arrays import Arrays
from gas.space.designs import Designs

COUNTED = ("convolution", "addmm", "mm", "bmm", "baddbmm")


class ActivationCounter(TorchDispatchMode):
    """Adds up the elements that the counted operators give out while it is entered.

    Attributes:
        elements: The sum.
    """

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator and looks at what it gives out."""
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in COUNTED:
            self.elements += result.numel()
        return result


def activations(design: Architecture) -> int:
    """Activations of a design for one image; DesignError where it cannot stand."""
    return sum(part_activations(placed.spec, placed.came) for placed in plan(design).placed)


def activations_of(designs: Designs) -> NDArray[np.int64]:
    """(n,) activations of many designs: each distinct part of their space is traced once, on the first call.

    That takes some 10 ms for each: a minute or so where a space has thousands.
    """
    arrays = designs.arrays
    return arrays.total(designs.rows, _columns(arrays))


@lru_cache(maxsize=8)
def _columns(arrays: Arrays) -> tuple[NDArray[np.int64], ...]:
    # The sums are whole and far below 2**53, where floats are.
    return tuple(column.astype(np.int64) for column in arrays.price(part_activations))


def part_activations(spec: Spec, flow: Flow) -> int:
    """Activations of a part where `flow` comes in, for one image."""
    return sum(_piece_activations(piece) for piece in pieces(spec, flow))


@lru_cache(maxsize=100_000)
def _piece_activations(piece: Piece) -> int:
    """Counted as the piece is built; a piece is known by its key, so equal ones are traced once."""
    with torch.device("meta"):
        module = piece.part.build().eval()
    with ActivationCounter() as counter, torch.no_grad():
        module(torch.zeros((1, *piece.shape), device="meta"))
    return counter.elements
