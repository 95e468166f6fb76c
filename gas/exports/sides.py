"""Sides of the image at which a design stands, and the tree of its modules as expressions of the side.

The plan is asked, side by side: whatever it refuses (a mask unit that does not divide the grid, windows that do not
tile it) the file refuses too, and a number that depends on the side becomes the simplest expression that gives what
the plan gives at every one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from gas.architecture import Architecture
from gas.errors import DesignError, ExportError
from gas.exports.expression import Verbatim
from gas.model import network_part
from gas.patterns.base import Part

STEP = 8  # pixels: sides are looked for among its multiples
LEAST_REACH = 384  # pixels: sides up to here are looked at, or to twice the design's own
SIDE = "img_size"
KEPT = "kept"  # 0 where a pruning leaves all tokens, which is another part than one that does not
WHOLE = "feature_info"  # reductions are nominal: the design's own at every side

_HALVINGS = (2, 4, 8, 16, 32, 64, 128)
_STRIDES = (_HALVINGS, (56, 112, 28, 224), tuple(range(2, 129)))  # those that networks have come first

Values = tuple[int, ...]  # one for each side


@lru_cache(maxsize=8)
def standing(architecture: Architecture) -> dict[int, Part]:
    """The tree of modules at every side at which the design stands with the same parts; its own side first.

    Raises:
        DesignError: It does not stand at its own side.
    """
    own = network_part(architecture)
    found, shape = {architecture.resolution: own}, list(_shape(own))
    for side in range(STEP, max(2 * architecture.resolution, LEAST_REACH) + 1, STEP):
        if side == architecture.resolution:
            continue
        try:
            tree = network_part(replace(architecture, resolution=side))
        except DesignError:
            continue
        if list(_shape(tree)) == shape:
            found[side] = tree
    return found


def sides_text(sides: Sequence[int]) -> str:
    """The sides as a Python expression: a range where they are evenly spaced."""
    ordered = sorted(sides)
    steps = {b - a for a, b in pairwise(ordered)}
    if len(ordered) > 2 and len(steps) == 1:
        return f"range({ordered[0]}, {ordered[-1] + 1}, {steps.pop()})"
    return f"({', '.join(map(str, ordered))}{',' if len(ordered) == 1 else ''})"


def with_side(tree: Any, others: Sequence[Any], sides: Values) -> Any:
    """The tree with every number that depends on the side as an expression of `img_size`.

    Args:
        tree: The tree to write; what stands in it as an expression already is kept.
        others: The trees at all sides, the design's own first.
        sides: Their sides.
    """
    if isinstance(tree, Verbatim):
        return tree
    first = others[0]
    match tree:
        case Part():
            args = {
                k: v if k == WHOLE else with_side(v, [other.args[k] for other in others], sides)
                for k, v in tree.args.items()
            }
            return Part(tree.cls, args)
        case list() | tuple():
            columns = zip(*others, strict=True)
            return type(tree)(with_side(v, column, sides) for v, column in zip(tree, columns, strict=True))
        case _ if all(other == first for other in others):
            return tree
        case _ if all(type(other) is int for other in others):
            return Verbatim(expression(tuple(others), sides))
    raise ExportError(f"export: got {tree!r} at {sides[0]} pixels and others elsewhere; expected numbers that differ")


def expression(values: Values, sides: Values) -> str:
    """The simplest expression of `img_size` that has these values at these sides; a table where none is known."""
    for text, found in _candidates(values, sides):
        if found == values:
            return text
    table = ", ".join(f"{side}: {value}" for side, value in sorted(zip(sides, values, strict=True)))
    return f"{{{table}}}[{SIDE}]"


def _candidates(values: Values, sides: Values) -> Iterator[tuple[str, Values]]:
    grids = list(_grids(sides))
    yield from grids
    for text, grid in grids:
        yield f"({text}) ** 2", tuple(g * g for g in grid)
    most = max(values)
    for text, grid in grids:
        yield f"min({most}, {text})", tuple(min(most, g) for g in grid)
    for text, grid in grids:
        yield f"min({most}, ({text}) ** 2)", tuple(min(most, g * g) for g in grid)
    for low, high in [(min(values), most)] if len(set(values)) == 2 else []:
        small = [side for side, value in zip(sides, values, strict=True) if value == low]
        text = f"{high} if {SIDE} > {max(small)} else {low}"
        yield text, tuple(high if side > max(small) else low for side in sides)
    yield from _shares(values, grids)


def _grids(sides: Values) -> Iterator[tuple[str, Values]]:
    """Sides of grids behind convolutions with steps, simplest first."""
    yield SIDE, sides
    for strides in _STRIDES:
        for k in strides:
            yield f"{SIDE} // {k}", tuple(s // k for s in sides)
        for k in strides:
            yield f"-(-{SIDE} // {k})", tuple(-(-s // k) for s in sides)
    for k in _HALVINGS[:5]:  # without padding, and halved behind it
        for kernel in range(k + 1, 2 * k + 1):
            text, inner = f"({SIDE} - {kernel}) // {k} + 1", tuple((s - kernel) // k + 1 for s in sides)
            yield text, inner
            for step in (2, 4):
                yield f"-(-({text}) // {step})", tuple(-(-g // step) for g in inner)


def _shares(values: Values, grids: list[tuple[str, Values]]) -> Iterator[tuple[str, Values]]:
    """Shares of all tokens, rounded up once and again, as prunings leave them."""
    held = [(f"({text}) ** 2", tuple(g * g for g in grid)) for text, grid in grids]
    held = [(text, n) for text, n in held if all(0 < value <= t for value, t in zip(values, n, strict=True))]
    for times in range(1, 6):
        for percent in range(95, 0, -5):
            for text, tokens in held:
                for _ in range(times):
                    text = f"-(-{percent} * {text if text.endswith('** 2') else f'({text})'} // 100)"
                    tokens = tuple(-(-percent * n // 100) for n in tokens)
                yield text, tokens


def _shape(tree: Any) -> Iterator[Any]:
    """What must be the same at all sides: classes, names of arguments, lengths, which of them are None or texts."""
    match tree:
        case Part():
            yield tree.cls
            for name, value in tree.args.items():
                yield name
                if name == KEPT:
                    yield bool(value)
                yield from _shape(value) if name != WHOLE else ()
        case list() | tuple():
            yield type(tree), len(tree)
            for value in tree:
                yield from _shape(value)
        case int() if not isinstance(tree, bool):
            yield int
        case _:
            yield tree if not isinstance(tree, float) else (float, tree)
