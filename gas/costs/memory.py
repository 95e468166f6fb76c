"""Memory of a forward pass, exact: weights, and the most bytes of features that are ever alive at once.

The design is run folded for inference (`gas.fuse`) on tensors without contents that take themselves for CPU ones. So
every operation, view and copy is the one that PyTorch's eager mode makes, and its fused attention makes no N x N matrix
where the CPU's makes none. Each storage counts from the operation that makes it until nothing refers to it any more:
views and operations in place add nothing, and what Python still holds (the image, the input of a stage while the stage
runs, the input of a block while the block runs) counts, because eager PyTorch cannot free it either.

A network is a chain: what is alive while a part runs is what the part itself makes, what it reads, what its stage began
with, and the image. So each part is traced once for an input of a shape and strides and is looked up ever after; that
the parts give what the whole network gives, byte for byte, is tested.

Not in it: what kernels take for themselves while they run, and the allocator's rounding. On a CPU that is nothing for
linear layers, norms and attention (a little for the fused kind in batches); a convolution may copy its input, output or
weights into blocks, which depends on the CPU and the threads: a tenth of the peak on most networks made of them, in the
stem of a small one a third, and more where weights outweigh features (one image). The operations are those of the CPU:
a GPU's fused attention keeps other by-products, and cuDNN takes workspaces.

A peak grows in proportion to the batch from two images on; one image alone may save a copy.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from gas.architecture import Architecture, Spec
from gas.errors import SettingError, describe
from gas.model import fuse
from gas.patterns import Flow, Part
from gas.patterns.base import nested
from gas.plan import Placed, plan

MIB = 2**20


@dataclass(frozen=True)
class Memory:
    """What a design takes up while it runs one batch.

    Args:
        batch: Images in the batch.
        params_bytes: Learned numbers, as they are left by folding.
        buffers_bytes: Constants that modules hold: orders of tokens, biases that folding looked up.
        peak_bytes: The most that is alive at once beside these in one forward pass, the images included.
        at: Path of the first part in which the peak is reached.
    """

    batch: int
    params_bytes: int
    buffers_bytes: int
    peak_bytes: int
    at: str

    @property
    def weights_bytes(self) -> int:
        """Params and buffers: what is there before an image comes."""
        return self.params_bytes + self.buffers_bytes

    @property
    def weights_mib(self) -> float:
        """`weights_bytes` in MiB (2^20 bytes)."""
        return self.weights_bytes / MIB

    @property
    def peak_mib(self) -> float:
        """`peak_bytes` in MiB."""
        return self.peak_bytes / MIB

    @property
    def mib(self) -> float:
        """Weights and peak together, MiB: the metric `memory_mib`."""
        return (self.weights_bytes + self.peak_bytes) / MIB


@dataclass(frozen=True)
class Features:
    """A tensor without its numbers: what decides how it is worked on.

    Args:
        shape: Batch first.
        strides: In numbers.
        offset: Of its first number in its storage.
        storage_bytes: Its storage's, which may be larger than the tensor.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    storage_bytes: int

    @classmethod
    def of(cls, tensor: Tensor) -> Features:
        """Those of a tensor."""
        return cls(tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), tensor.untyped_storage().nbytes())

    def empty(self) -> Tensor:
        """A tensor of this kind."""
        base = torch.empty(self.storage_bytes // torch.float32.itemsize, dtype=torch.float32, device="cpu")
        return base.as_strided(self.shape, self.strides, self.offset)


@dataclass(frozen=True)
class Step:
    """What one part of a network takes up.

    Args:
        params_bytes: Its learned numbers.
        buffers_bytes: Its constants.
        peak_bytes: The most that is alive at once beside its weights and its input.
        after: What it gives out.
        fresh: False where that is a view of its input.
    """

    params_bytes: int
    buffers_bytes: int
    peak_bytes: int
    after: Features
    fresh: bool


class Alive(TorchDispatchMode):
    """Follows the bytes that are alive: those of every storage that an operation makes, until nothing refers to it.

    Args:
        known: Tensors whose storages do not count, such as weights.

    Attributes:
        bytes: Alive now.
        peak_bytes: The most that was alive at once.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.bytes = 0
        self.peak_bytes = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._followed: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Runs an operation and enters what it gives out."""
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, list | tuple) else (out,):
            if isinstance(value, Tensor):
                self._follow(value)
        return out

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known or key in self._followed:
            return
        size = storage.nbytes()

        def end(_: weakref.ref) -> None:
            # Storages are told apart by address, which may be another's from now on.
            del self._followed[key]
            self.bytes -= size

        self._followed[key] = weakref.ref(storage, end)
        self.bytes += size
        self.peak_bytes = max(self.peak_bytes, self.bytes)


def memory(architecture: Architecture, batch: int = 1) -> Memory:
    """Exact memory of a design that runs one batch, folded for inference; nothing is computed.

    Args:
        architecture: The design.
        batch: Images in the batch.

    Raises:
        SettingError: The batch is no whole number of at least 1.
        DesignError: The design cannot stand.
    """
    image = _image(architecture, batch)
    # Storages in the order in which they come, the image's first.
    sizes, now, features = [image.storage_bytes], 0, image
    params, peak, at = 0, 0, ""
    # What turns the end of a stage into a map is no part of the forward pass, but its orders of tokens are there.
    buffers = sum(_constants(_Known.of(part)) for parts in plan(architecture).maps for part in parts)
    for _, stretch in groupby(plan(architecture).placed, key=lambda placed: placed.stage):
        entered = now
        for placed in stretch:
            for step in _steps(placed, features):
                held = sum(sizes[number] for number in {0, entered, now})
                if held + step.peak_bytes > peak:
                    peak, at = held + step.peak_bytes, placed.path
                params, buffers = params + step.params_bytes, buffers + step.buffers_bytes
                features = step.after
                if step.fresh:
                    sizes.append(features.storage_bytes)
                    now = len(sizes) - 1
    return Memory(batch, params, buffers, peak, at)


def trace(part: Part, came: Features) -> Step:
    """Runs a part's module, folded, on an input without contents, and follows what it makes.

    Args:
        part: The part, or a whole network's.
        came: The input.
    """
    module = _folded_on_meta(part)
    params, buffers = _weights(module)
    # Without gradients rather than in inference mode: there, composite operations would hide what they are made of.
    with FakeTensorMode(), torch.no_grad():
        _empty(module)
        given = came.empty()
        with Alive([*module.parameters(), *module.buffers(), given]) as alive:
            out = module(given)
        fresh = out.untyped_storage()._cdata != given.untyped_storage()._cdata
        return Step(params, buffers, alive.peak_bytes, Features.of(out), fresh)


def _image(architecture: Architecture, batch: int) -> Features:
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise SettingError(f"batch: {describe(batch, 'a whole number of at least 1')}")
    side, channels = architecture.resolution, architecture.channels
    count = batch * channels * side**2
    strides = (channels * side**2, side**2, side, 1)
    return Features((batch, channels, side, side), strides, 0, count * torch.float32.itemsize)


def _steps(placed: Placed, came: Features) -> Iterable[Step]:
    """The conversions before a part, and the part, one after another."""
    for part in (*map(_Known.of, placed.conversions), _placed(placed.spec, placed.before)):
        step = _step(part, came)
        yield step
        came = step.after


@dataclass(frozen=True)
class _Known:
    """A part that look-ups tell from others by its modules with all their arguments, wherever it stands."""

    key: tuple
    part: Part = field(compare=False)

    @classmethod
    def of(cls, part: Part) -> _Known:
        return cls(_frozen(part), part)


def _frozen(value: Any) -> Any:
    if isinstance(value, Part):
        return value.cls, *((name, _frozen(inner)) for name, inner in value.args.items())
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


@lru_cache(maxsize=100_000)
def _placed(spec: Spec, flow: Flow) -> _Known:
    pattern, options = nested(spec)
    return _Known.of(pattern.part(options, flow))


@lru_cache(maxsize=100_000)
def _step(part: _Known, came: Features) -> Step:
    return trace(part.part, came)


@lru_cache(maxsize=10_000)
def _constants(part: _Known) -> int:
    return _weights(_folded_on_meta(part.part))[1]


def _folded_on_meta(part: Part) -> nn.Module:
    with torch.device("meta"):
        module = part.build()
    return fuse(module)


def _weights(module: nn.Module) -> tuple[int, int]:
    """Bytes of params and of buffers."""
    held = module.parameters(), module.buffers()
    params, buffers = (sum(tensor.numel() * tensor.itemsize for tensor in tensors) for tensors in held)
    return params, buffers


def _empty(module: nn.Module) -> None:
    """Puts tensors of the mode that is on in the place of a module's weights, a shared one staying one."""
    made: dict[Tensor, Tensor] = {}
    for inner in module.modules():
        for held in (inner._parameters, inner._buffers):
            for name, old in held.items():
                if old is not None and old not in made:
                    made[old] = torch.empty(old.shape, dtype=old.dtype, device="cpu")
                held[name] = None if old is None else made[old]
