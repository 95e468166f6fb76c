"""A bank: every parameter once, at its largest size, by key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from gas.architecture import Architecture
from gas.banks.places import Slot, slots
from gas.errors import DesignError
from gas.model import Network


class Bank:
    """Tensors by key, of which the parameters of designs are leading slices.

    Args:
        tensors: By key.
        decaying: Keys of the matrices, which weight decay bears on.
        segments: Whether what stands side by side is sliced each by itself; see `slots`.

    Source: AutoFormer, arXiv 2107.00651, section 3.2, for weights that designs of all sizes share. Differs: there a
    network is written for it; here any network's parameters are slices, put in by `torch.func.functional_call`.
    """

    def __init__(
        self, tensors: dict[str, Tensor] | None = None, decaying: Iterable[str] = (), *, segments: bool = True
    ) -> None:
        self.tensors = dict(tensors or {})
        self.decaying = set(decaying)
        self.segments = segments

    @property
    def params(self) -> int:
        """Numbers held."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def slots(self, network: Network, architecture: Architecture) -> list[Slot]:
        """Where the parameters of a network lie in this bank."""
        return slots(network, architecture, segments=self.segments)

    def lacks(self, wanted: Sequence[Slot]) -> list[str]:
        """Keys that are not there, or not as large as a design needs them."""
        return [key for slot in wanted for key, shape in slot.pieces if not self._holds(key, shape)]

    def weights(self, wanted: Sequence[Slot]) -> dict[str, Tensor]:
        """The parameters of a network by name, as slices: gradients flow back into the bank's tensors.

        Raises:
            DesignError: The bank does not hold one of them, or not as large; says where.
        """
        self.check(wanted)
        return {slot.name: self._value(slot) for slot in wanted}

    def fill(self, network: nn.Module, wanted: Sequence[Slot]) -> None:
        """Copies the bank's slices into a network's parameters. DesignError as `weights`."""
        self.check(wanted)
        parameters = dict(network.named_parameters())
        with torch.no_grad():
            for slot in wanted:
                parameters[slot.name].copy_(self._value(slot))

    def check(self, wanted: Sequence[Slot]) -> None:
        """DesignError naming the first place of which the bank holds nothing, or not enough."""
        for slot in wanted:
            for key, shape in slot.pieces:
                if not self._holds(key, shape):
                    place, _, what = key.partition(" ")
                    got = "none" if key not in self.tensors else f"one of {list(self.tensors[key].shape)}"
                    expected = f"{list(shape)}: the bank was made for another space or fidelity"
                    raise DesignError(place, f"bank: {what}: got {got}; expected {expected}")

    @torch.no_grad()
    def grow(self, network: Network, wanted: Sequence[Slot], generator: torch.Generator) -> list[str]:
        """Takes in what a freshly initialised network needs beyond what is there; returns the keys that changed.

        What was there stays. Around it stand the network's own initial weights; where a tensor grows along two
        dimensions by two designs, the corner that is in neither is drawn from those weights.

        Args:
            network: As `gas.build` initialised it.
            wanted: Its slots.
            generator: What the corners are drawn by.
        """
        parameters, changed = dict(network.named_parameters()), []
        for slot in wanted:
            fresh = parameters[slot.name].detach().split([s[slot.dim] for _, s in slot.pieces], dim=slot.dim)
            for (key, shape), part in zip(slot.pieces, fresh, strict=True):
                if self._holds(key, shape):
                    continue
                self.tensors[key] = _joined(self.tensors.get(key), part, generator)
                changed.append(key)
                if slot.decays:
                    self.decaying.add(key)
        return changed

    def _holds(self, key: str, shape: tuple[int, ...]) -> bool:
        held = self.tensors.get(key)
        return held is not None and all(have >= want for have, want in zip(held.shape, shape, strict=True))

    def _value(self, slot: Slot) -> Tensor:
        parts = [_leading(self.tensors[key], shape) for key, shape in slot.pieces]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=slot.dim)


def padded(held: Tensor, shape: Sequence[int]) -> Tensor:
    """`held` in the leading corner of zeros of a larger shape."""
    larger = held.new_zeros(tuple(shape))
    _leading(larger, held.shape).copy_(held)
    return larger


def _leading(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """The leading slice of a shape; a view."""
    for dim, size in enumerate(shape):
        if tensor.shape[dim] != size:
            tensor = tensor.narrow(dim, 0, size)
    return tensor


def _joined(held: Tensor | None, fresh: Tensor, generator: torch.Generator) -> Tensor:
    """The least tensor that holds both in its leading corner; where both have a number, that of `held`."""
    if held is None:
        return fresh.clone()
    shape = [max(pair) for pair in zip(held.shape, fresh.shape, strict=True)]
    drawn = torch.randint(fresh.numel(), shape, generator=generator)
    joined = fresh.flatten()[drawn]
    _leading(joined, fresh.shape).copy_(fresh)
    _leading(joined, held.shape).copy_(held)
    return joined
