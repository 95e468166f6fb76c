"""How a space is cut into segments, and which values each must remember for those behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from gas.space.expressions import Expression
from gas.space.tree import GroupNode, Tree


@dataclass(frozen=True)
class Segment:
    """One piece of the chain.

    Args:
        kind: `stem`, `enter`, `group` or `head`.
        path: Where it stands in the design.
        stage: Index of the stage, for enter and group.
        nodes: The nodes that it unfolds, in order.
        last: For a group: True where it is its stage's last.
        refers: True where a tie or derived value in it refers to something.
    """

    kind: str
    path: str
    nodes: tuple[Any, ...]
    stage: int = -1
    last: bool = False
    refers: bool = False


def segments(tree: Tree) -> list[Segment]:
    """The chain of segments, in walk order."""
    return [replace(s, refers=any(_references(s.nodes))) for s in _baresegments(tree)]


def _baresegments(tree: Tree) -> Iterator[Segment]:
    yield Segment("stem", "stem", (tree.resolution, tree.channels, tree.stem))
    for i, stage in enumerate(tree.stages):
        yield Segment("enter", f"stages[{i}]", (stage.entry, stage.dim), i)
        for j, group in enumerate(stage.blocks):
            yield Segment("group", f"stages[{i}].blocks[{j}]", (group,), i, j + 1 == len(stage.blocks))
    yield Segment("head", "head", (tree.head,))


def decisions_in(node: Any) -> tuple[int, ...]:
    """Numbers of the decisions inside nodes, in walk order."""
    found: dict[int, None] = {}

    def look(node: Any) -> None:
        if isinstance(node, tuple | list):
            for inner in node:
                look(inner)
        elif isinstance(node, GroupNode):
            look(node.depth)
            look(node.block)
        elif hasattr(node, "entries"):
            look([inner for _, inner in node.entries])
        elif hasattr(node, "index"):
            found[node.index] = None
            look(node.options)

    look(node)
    return tuple(sorted(found))


def _first_segment_of(path: str, segments: list[Segment]) -> int:
    """The segment in which a path is decided."""
    if path.startswith("input"):
        return 0
    for number, segment in enumerate(segments):
        inside = path == segment.path or path.startswith((f"{segment.path}.", f"{segment.path}["))
        if inside and not (segment.kind == "enter" and ".blocks" in path):
            return number
    return len(segments) - 1


def rules_by_segment(tree: Tree, chain: list[Segment]) -> list[list[Expression]]:
    """Each rule at the segment in which the last of its values is decided."""
    placed: list[list[Expression]] = [[] for _ in chain]
    for rule in tree.rules:
        placed[max(_first_segment_of(p, chain) for p in rule.paths)].append(rule)
    return placed


def live_paths(tree: Tree, chain: list[Segment]) -> list[list[str]]:
    """Per segment: the remembered paths that something behind it still refers to."""
    last_use: dict[str, int] = {}

    def use(path: str, number: int) -> None:
        while path:  # it may be read off any pattern above it
            if path in tree.needed:
                last_use[path] = max(last_use.get(path, 0), number)
            path = path.rpartition(".")[0]

    for rule in tree.rules:
        last = max(_first_segment_of(p, chain) for p in rule.paths)
        for path in rule.paths:
            use(path, last)
    for number, segment in enumerate(chain):
        for path in _references(segment.nodes):
            use(path, number)
    return [sorted(p for p, last in last_use.items() if last > number) for number in range(len(chain))]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, tuple | list):
        for inner in node:
            yield from _references(inner)
    elif isinstance(node, GroupNode):
        yield from _references((node.depth, node.block))
    elif hasattr(node, "entries"):
        yield from _references([inner for _, inner in node.entries])
    elif hasattr(node, "options"):
        yield from _references(node.options)
    elif hasattr(node, "source"):
        yield node.source
    elif hasattr(node, "expression"):
        yield from node.expression.paths
