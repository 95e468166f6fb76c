"""A design as a picture: its parts from left to right, as high as they are wide in channels, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gas.architecture import Architecture
from gas.exports.facts import human
from gas.exports.rows import design_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE, HIGH, FOOT = 1000.0, 190.0, 142.0
"""Size of the picture: across, of the tallest part, and of what stands below the parts."""
GAP, BETWEEN = 3.0, 22.0
COLORS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#d55e00", "#8a7f5c")
PLAIN = "#8fa3b5"


@dataclass(frozen=True)
class Box:
    """A rectangle: left, top, width, height, colour, and words shown beside the pointer."""

    x: float
    y: float
    w: float
    h: float
    color: str
    words: str = ""


@dataclass(frozen=True)
class Label:
    """Words: where, what, and how they lie (`start`, `middle`, `end`); `strong` for headings."""

    x: float
    y: float
    text: str
    anchor: str = "middle"
    strong: bool = False


def layout(design: Architecture) -> tuple[list[Box], list[Label], float]:
    """Boxes, labels and the height of the whole picture.

    Each block is a box, as high as its share of the design's greatest width. Below stand width, grid and depth of each
    stage and its share of the macs, drawn as one bar.
    """
    rows = design_rows(design)
    parts = _parts(rows)
    blocks = sum(row["count"] for part in parts for row in part)
    step = (WIDE - BETWEEN * (len(parts) - 1)) / max(blocks, 1)
    size = min(step, 54.0)
    tallest = max(row["dim_out"] for row in rows[:-1])
    colors = _colors(design, rows)
    left = (WIDE - size * blocks - BETWEEN * (len(parts) - 1)) / 2
    boxes, labels, bar = [], [], 0.0
    for number, part in enumerate(parts):
        start = left
        for row in part:
            share = row["macs_share"] / row["count"]
            tall = HIGH * max(min(row["dim_out"] / tallest, 1.0), 0.08)
            said = f"{row['path']}: {row['pattern']}, {row['options']}, dim {row['dim_in']} -> {row['dim_out']}"
            for _ in range(row["count"]):
                name = _kind(design, row)
                top = (HIGH - tall) / 2 + 18
                boxes.append(Box(left, top, size - GAP, tall, colors[name], f"{said}, {share:.1%} of macs"))
                left += size
        middle = (start + left - GAP) / 2
        labels += _under(part, middle, number, len(parts))
        share = sum(row["macs_share"] for row in part)
        shade = colors[_kind(design, part[-1])]
        boxes.append(Box(bar, HIGH + 108, max(WIDE * share - 1, 0.0), 18, shade, f"{_name(part)}: {share:.1%} of macs"))
        if share > 0.035:
            labels.append(Label(bar + WIDE * share / 2, HIGH + 141, f"{_name(part)} {share:.0%}"))
        bar += WIDE * share
        left += BETWEEN
    labels.append(Label(0, HIGH + 101, f"share of {human(sum(row['macs'] for row in rows))} macs", "start"))
    return boxes, labels, HIGH + FOOT + 8 + _legend(boxes, labels, colors)


def svg(design: Architecture) -> dict[str, Any]:
    """What the template draws: `boxes`, `labels` and `height`, all plain; escaping is the template's."""
    boxes, labels, height = layout(design)
    return {"boxes": boxes, "labels": labels, "width": WIDE, "height": round(height, 1)}


def draw(axes: Axes, design: Architecture) -> None:
    """With matplotlib."""
    from matplotlib.patches import Rectangle

    boxes, labels, height = layout(design)
    for box in boxes:
        axes.add_patch(Rectangle((box.x, box.y), box.w, box.h, color=box.color, lw=0))
    sides = {"start": "left", "middle": "center", "end": "right"}
    for label in labels:
        weight = "bold" if label.strong else "normal"
        axes.text(label.x, label.y, label.text, ha=sides[label.anchor], va="baseline", fontsize=7, fontweight=weight)
    axes.set(xlim=(0, WIDE), ylim=(height, 0))
    axes.set_axis_off()


def _parts(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Stem, each stage with its entry, head."""
    parts: list[list[dict[str, Any]]] = []
    for at, row in enumerate(rows):
        if at and row["stage"] is not None and row["stage"] == rows[at - 1]["stage"]:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts


def _name(part: Sequence[dict[str, Any]]) -> str:
    stage = part[0]["stage"]
    return part[0]["path"] if stage is None else f"stage {stage}"


def _under(part: Sequence[dict[str, Any]], middle: float, number: int, of: int) -> list[Label]:
    """Name, and below it what stands in a part: its width, grid and number of blocks."""
    last = part[-1]
    head = number == of - 1 and last["stage"] is None
    lines = [f"{last['dim_out']} classes" if head else f"dim {last['dim_out']}"]
    if not head:
        lines.append("x".join(map(str, last["grid_out"])))
    depth = sum(row["count"] for row in part if row["block"])
    lines += [f"{depth} block{'s' * (depth > 1)}"] if depth else []
    texts = [Label(middle, HIGH + 34, _name(part), strong=True)]
    return texts + [Label(middle, HIGH + 48 + 13 * at, line) for at, line in enumerate(lines)]


def _kind(design: Architecture, row: dict[str, Any]) -> str:
    """What a part is coloured by: the first words of its options where it is a block, which name its mixer."""
    if not row["block"]:
        return ""
    first = row["options"].split(" (")[0].split(",")[0]
    return first if row["pattern"] == "transformer" and first else row["pattern"].replace("_", " ")


def _colors(design: Architecture, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    names = dict.fromkeys(name for row in rows if (name := _kind(design, row)))
    return {"": PLAIN} | {name: COLORS[at % len(COLORS)] for at, name in enumerate(names)}


def _legend(boxes: list[Box], labels: list[Label], colors: dict[str, str]) -> float:
    """Adds a line for each five kinds of block; returns the height."""
    top = HIGH + FOOT + 8
    for at, (name, color) in enumerate(colors.items()):
        x, y = 200.0 * (at % 5), top + 20.0 * (at // 5)
        boxes.append(Box(x, y, 12, 12, color))
        labels.append(Label(x + 18, y + 10, name or "stem, entry, head", "start"))
    return 20.0 * ((len(colors) - 1) // 5 + 1)
