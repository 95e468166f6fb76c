"""What a design runs, as pieces that many designs share: each can be timed once and be looked up ever after.

A piece is a branch of a block (its token mixer with the norm before it, its channel mixer likewise), a whole block
where it cannot be taken apart, an entry, the stem, the head, or a layout conversion. It is known by its modules with
all their arguments, a digest of their code and of the code that they use, its form (folded, as it is deployed) and the
shape of its input: two designs with equal pieces run the same code on the same shapes.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import CodeType
from typing import Any

from torch import nn

from gas.architecture import Architecture, Spec
from gas.model import network_part
from gas.patterns import Cost, Flow, Part, Pattern
from gas.patterns.base import nested
from gas.patterns.layouts import convert
from gas.plan import place, plan

NO_COST = Cost()


@dataclass(frozen=True)
class Piece:
    """A stretch of a network.

    Args:
        key: What it is known by: a digest, 24 hexadecimal digits.
        kind: The patterns that work in it (`global_attention`, `mlp`), or `conversion`.
        part: Its module.
        shape: Shape of one input, without the batch.
        cost: Its macs and params for one image, as it is trained.
    """

    key: str
    kind: str = field(compare=False)
    part: Part = field(compare=False, repr=False)
    shape: tuple[int, ...] = field(compare=False)
    cost: Cost = field(default=NO_COST, compare=False)

    @classmethod
    def of(cls, part: Part, shape: tuple[int, ...], kind: str = "", cost: Cost = NO_COST) -> Piece:
        """The piece that a module makes on inputs of a shape."""
        text = text_of({"part": _plain(part), "input": shape, "form": "folded"})
        return cls(digest(text), kind, part, shape, cost)


def design_pieces(architecture: Architecture) -> list[Piece]:
    """Every piece that a design runs, in order; equal pieces come as often as they run."""
    return [piece for placed in plan(architecture).placed for piece in pieces(placed.spec, placed.came)]


def whole(architecture: Architecture) -> Piece:
    """The design as a single piece."""
    shape = (architecture.channels, architecture.resolution, architecture.resolution)
    return Piece.of(network_part(architecture), shape, "whole", plan(architecture).cost)


@lru_cache(maxsize=200_000)
def pieces(spec: Spec, flow: Flow) -> tuple[Piece, ...]:
    """The pieces of a part where `flow` comes in, in the order in which they run; a layout conversion comes first."""
    pattern, options = nested(spec)
    _, read, _ = place(spec, flow)
    # How deep an unrolled order is nested depends on what stands around, what it costs to make or undo it does not.
    groups = max(1, pattern.groups(options, read))
    conversions = list(convert(flow, read.layout, groups=1, wanted=groups))
    first = [Piece.of(Part(nn.Sequential, {"": conversions}), flow.shape, "conversion")] if conversions else []
    return (*first, *(_branch(pattern, o, f) for o, f in pattern.branches(options, read)))


@lru_cache(maxsize=100_000)
def _branch(pattern: Pattern, options: Any, flow: Flow) -> Piece:
    held = [value.pattern for _, value in options if isinstance(value, Spec)]
    kind = "+".join(held) or pattern.name
    return Piece.of(pattern.part(options, flow), flow.shape, kind, pattern.cost(options, flow))


def digest(text: str) -> str:
    """24 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def text_of(data: Any) -> str:
    """Canonical JSON."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        args = {name: _plain(inner) for name, inner in value.args.items()}
        return {"module": value.cls.__qualname__, "code": _code(value.cls), "args": args}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


@cache
def _code(cls: type) -> str:
    """Digest of a class's source, and of what it uses of ours: a number measured on other code is not this part's."""
    used: dict[Any, str] = {}
    _gather(cls, used)
    return hashlib.sha256("\n".join(used.values()).encode()).hexdigest()[:8]


def _gather(thing: Any, used: dict[Any, str]) -> None:
    """Enters the source of a class or function, and of those of ours that it names, in the order of their use."""
    used[thing] = inspect.getsource(thing)
    functions = [f for f in vars(thing).values() if inspect.isfunction(f)] if inspect.isclass(thing) else [thing]
    named = [f.__globals__.get(name) for f in functions for name in _names(f.__code__)]
    for other in [*getattr(thing, "__bases__", ()), *named]:
        is_code = inspect.isclass(other) or inspect.isfunction(other)
        if is_code and other.__module__.startswith("gas.") and other not in used:
            _gather(other, used)


def _names(code: CodeType) -> Iterator[str]:
    """Global names and attributes that a function's code speaks of, its inner functions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
