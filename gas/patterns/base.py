"""What a design pattern is, and what flows from one to the next.

Shapes (used in all pattern files): B batch, N tokens, C channels, H and W the grid's sides in tokens or pixels,
W also the number of mask units (said where it is used), K heads, D channels per head.

Layouts carry features between patterns:
    map         (B, C, H, W)
    tokens      (B, N, C), row by row; a class token may stand before them
    unrolled    (B, N, C), ordered so that the members of every later 2 x 2 group lie N/4 apart (patterns/layouts.py)
    windows     (B, N, C), window by window, each with its carrier tokens first and then its own, row by row
    set         (B, N, C), what a pruning has left: the class token, and tokens that stand on no grid any more
    vector      (B, C), behind the head
A pattern says which it reads; the planner puts a conversion only where the layout must change. Nothing is turned into
`windows` or `set`: the part that makes them is a pattern; nor does anything lead out of `set`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import pydantic
from torch import nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.registry import Registry

KINDS = ("stem", "entry", "block", "token_mixer", "channel_mixer", "head")


@dataclass(frozen=True)
class Slot:
    """Marks an option that holds a pattern of the given kind."""

    kind: str


@dataclass(frozen=True)
class Width:
    """Marks an option that counts channels: it shrinks when a design is trained at reduced width."""

    multiple: int = 4


class Options(pydantic.BaseModel):
    """Options of one pattern: frozen, strict about types, no unknown keys."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)


@dataclass(frozen=True)
class Cost:
    """Exact cost of a part for one image.

    Args:
        macs: Multiply-adds of convolutions, linear layers and matrix products (norms, activations, pooling and
            softmax are 0, as in the papers' "FLOPs").
        params: Learned numbers.
    """

    macs: int = 0
    params: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.params + other.params)

    def __mul__(self, times: int) -> Cost:
        return Cost(self.macs * times, self.params * times)


@dataclass(frozen=True)
class Flow:
    """What is known about the features between two patterns.

    Args:
        dim: Channels.
        grid: (H, W); of a `set`: (1, tokens that are left).
        layout: See the head of this file.
        target: Width that the next block must give out (the stage's `dim`).
        pool: Side of a pooling that an entry has left to the next block; 1 for none.
        scale: Stem tokens per token, along a side: the product of all poolings since the stem.
        lag: True where the next block keeps the attention scope of the block before it.
        scope: The last attention's scope: a token mixer without widths, or None.
        fresh: True until the stage has a block.
        extra: Tokens that stand for no place on the grid: class tokens before `tokens` and `set`, carriers before each
            window of `windows`.
        window: Side of a window of `windows`; 0 in all other layouts.
        unshifted: True where the stage's last window attention did not shift its windows.
    """

    dim: int
    grid: tuple[int, int]
    layout: str = "map"
    target: int = 0
    pool: int = 1
    scale: int = 1
    lag: bool = False
    scope: Spec | None = None
    fresh: bool = False
    extra: int = 0
    window: int = 0
    unshifted: bool = False

    @property
    def tokens(self) -> int:
        """H x W, and the tokens that stand for no place."""
        places = self.grid[0] * self.grid[1]
        return places + self.extra * (places // self.window**2 if self.window else 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the features, without the batch."""
        if self.layout == "map":
            return (self.dim, *self.grid)
        return (self.dim,) if self.layout == "vector" else (self.tokens, self.dim)

    @property
    def pooled_grid(self) -> tuple[int, int]:
        """The grid after the pending pooling."""
        return self.grid[0] // self.pool, self.grid[1] // self.pool

    def but(self, **changes: Any) -> Flow:
        """A copy with changes."""
        # dataclasses.replace takes five times as long, and a space's tables make some hundred thousand copies.
        other = object.__new__(Flow)
        other.__dict__.update(self.__dict__, **changes)
        if len(other.__dict__) != len(self.__dict__):
            raise TypeError(f"got {sorted(changes)}; expected fields of Flow")
        return other


@dataclass(frozen=True)
class Part:
    """A module not yet made: its class and arguments (which may hold Parts). Building and export both read it.

    Args:
        cls: The module's class.
        args: Keyword arguments; those under the empty name are positional.
    """

    cls: Callable[..., nn.Module]
    args: dict[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, module: Callable[..., nn.Module], **args: Any) -> Part:
        """A Part from keywords."""
        return cls(module, args)

    def build(self) -> nn.Module:
        """The module, the Parts among its arguments built first."""
        args = {k: _built(v) for k, v in self.args.items()}
        return self.cls(*args.pop("", ()), **args)


def _built(value: Any) -> Any:
    if isinstance(value, Part):
        return value.build()
    return [_built(v) for v in value] if isinstance(value, list) else value


class Pattern(ABC):
    """One design pattern: stateless; a single instance is registered under the file's name.

    Class attributes:
        kind: One of KINDS: which slot of a design it may fill.
        Options: Its options.
        fused: For entries: True where the entry is carried out by the block after it and has no module. Any other
            entry is placed like a block: its `after` gives out the width `flow.target`.
        class_tokens: For patterns that read tokens: True where a class token may stand before them.
    """

    name: ClassVar[str] = ""
    kind: ClassVar[str]
    Options: ClassVar[type[Options]]
    fused: ClassVar[bool] = False
    class_tokens: ClassVar[bool] = False

    def reads(self, options: Any, flow: Flow) -> tuple[str, ...]:
        """Layouts that the part can read, the preferred one first."""
        return ("map",)

    def settle(self, options: Any, flow: Flow) -> Any:
        """The options in force where the part stands (`flow` may bear on them: Hiera's lag), for people to read.

        The methods below take the options as written, and settle them themselves.
        """
        return options

    def groups(self, options: Any, flow: Flow) -> int:
        """How many nested 2 x 2 groups the part needs at the head of the unrolled order."""
        return 0

    def scope(self, options: Any) -> Spec | None:
        """For token mixers: how far a token sees, as a mixer without widths; None where that means nothing."""
        return None

    def with_scope(self, options: Any, scope: Spec) -> Spec:
        """For token mixers that have a scope: this mixer's widths with another's scope."""
        return scope

    def shared_params(self, options: Any, flow: Flow) -> int:
        """Of its params, those that equal blocks in a row can share (see shared_position).

        A mixer that has any keeps all shapes; its module says in `shared` under which name it holds them.
        """
        return 0

    def branches(self, options: Any, flow: Flow) -> list[tuple[Any, Flow]]:
        """The part as shorter ones of the same pattern that do the same one after another: (options, flow).

        So many parts are known by few pieces: their latencies and activations are sums over branches.
        """
        return [(options, flow)]

    @abstractmethod
    def after(self, options: Any, flow: Flow) -> Flow:
        """The flow behind the part; raises DesignError (path relative to the part) where it cannot stand there."""

    @abstractmethod
    def cost(self, options: Any, flow: Flow) -> Cost:
        """Exact cost where `flow` comes in, of the module that `part` builds (before folding)."""

    @abstractmethod
    def part(self, options: Any, flow: Flow) -> Part:
        """The module to build where `flow` comes in."""


PATTERNS: Registry[Pattern] = Registry("pattern", "gas.patterns")


def register(name: str) -> Callable[[type[Pattern]], type[Pattern]]:
    """Class decorator: enters one instance of the pattern under `name`, which is also its file's name."""

    def enter(cls: type[Pattern]) -> type[Pattern]:
        cls.name = name
        PATTERNS.register(name)(cls())
        return cls

    return enter


def pattern_of(spec: Spec) -> Pattern:
    """The pattern that a Spec names."""
    return PATTERNS.get(spec.pattern)


@lru_cache(maxsize=100_000)
def options_of(spec: Spec) -> Any:
    """A Spec's options as its pattern's typed options; DesignError naming the first option that is wrong."""
    pattern = pattern_of(spec)
    try:
        return pattern.Options(**spec.options)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        got = "" if first["type"] == "missing" else f" (got {first['input']!r})"
        raise DesignError(where, f"{first['msg']}{got}") from error


def nested(spec: Spec) -> tuple[Pattern, Any]:
    """The pattern of a nested Spec and its typed options."""
    return pattern_of(spec), options_of(spec)


def within(option: str, error: DesignError) -> DesignError:
    """The error of a nested part, its path seen from the part that holds it."""
    return DesignError(f"{option}.{error.where}" if error.where else option, error.problem)


def refuse_class_token(pattern: Pattern, flow: Flow) -> None:
    """DesignError where a pattern would take a class token for one on the grid."""
    if flow.extra and flow.layout == "tokens" and not pattern.class_tokens:
        raise DesignError("", "a class token stands before the tokens; expected a pattern that can do with one")


def mixed(flow: Flow) -> Flow:
    """The flow behind a token mixer that keeps width, grid and scope; DesignError where it should change one."""
    if flow.dim != flow.target:
        raise DesignError("", f"keeps the width; got {flow.dim} coming in and {flow.target} wanted")
    if flow.pool > 1:
        raise DesignError("", "cannot carry out a Q-pooling; expected an attention that can")
    return flow.but(lag=False, scope=None)


def refuse_even(side: int, option: str = "kernel") -> None:
    """DesignError where a convolution's side is even, so that it has no middle."""
    if side % 2 == 0:
        raise DesignError(option, f"got {side}; expected an odd number")


def hidden_width(dim: int, ratio: float, option: str = "ratio") -> int:
    """`ratio` times a width, rounded down; DesignError where nothing is left of it."""
    hidden = int(dim * ratio)
    if hidden < 1:
        raise DesignError(option, f"got {ratio}; expected one that leaves at least 1 hidden channel")
    return hidden


def linear_cost(times: int, dim_in: int, dim_out: int, *, bias: bool = True) -> Cost:
    """A linear layer applied to `times` vectors."""
    return Cost(times * dim_in * dim_out, dim_in * dim_out + dim_out * bias)


def norm_cost(dim: int) -> Cost:
    """A layer norm: no macs by convention, 2 params per channel."""
    return Cost(0, 2 * dim)
