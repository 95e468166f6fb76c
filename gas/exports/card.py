"""Writes the model card that goes with an exported design: what it is, what it costs, what was and was not done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from gas.architecture import Architecture
from gas.exports.facts import fact_lines, folded_words, human
from gas.exports.formats import OPSET, SUFFIXES, versions
from gas.exports.int8 import Speed
from gas.exports.rows import design_rows
from gas.exports.verify import FOLDED_TOLERANCE, Differences
from gas.patterns import Cost
from gas.plan import plan

CARD = """# {name}

A hierarchical vision backbone. `{name}.py`, written by gas (generative architecture search), holds the whole model and
needs torch alone.

{summary}

Macs are multiply-adds for one image, which the papers call FLOPs.

## Weights

{weights}

## Blocks

{blocks}

## Use

```python
{opening}
maps = model.forward_features(torch.randn(1, {channels}, {side}, {side}))
{maps}
```

`{name}(num_classes=0)` gives pooled features; `model.feature_info` lists the channels and the reduction of each map, in
the form that timm uses. For other classes the head starts anew:

```python
model = {name}(num_classes=10, drop_path=0.1)
load_weights(model, "{name}.safetensors", strict=False)  # returns the names it left out: the head's
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
model.train()
for images, labels in loader:  # images (B, {channels}, {side}, {side}), normalised; labels (B,)
    loss = loss_of(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

{formats}## Intended use

A backbone to be trained on images, for classification, or for tasks that read its maps. As exported it is {trained}.
Images are read as batches (B, {channels}, side, side), normalised as in training.

## What was not done

{not_done}

## How the files were checked

`{name}.py` was loaded in a fresh Python process in which gas cannot be imported (torch {torch}), with these
weights. Its scores and feature maps for a seeded random input {agreement} those of the design as gas builds it.
{folding}{elsewhere}{checks}
## License

The code in these files is released under the Apache License 2.0, as gas is; weights trained from it are yours.
"""
OPENING = """import torch
from {name} import load_weights, {name}

model = {name}()
load_weights(model, "{name}.safetensors")
scores = model.eval()(torch.randn(1, {channels}, {side}, {side}))  # (1, {classes})"""
FOLDING = "Those of the folded form differ from them by at most {:.2g} of the greatest value.\n"
ELSEWHERE = "Images of {0} x {0} pixels, positions resized, and the maps of `features_only=True` were held alike.\n"
FOLDED_OPENING = """import torch
from {name} import load, load_weights, {name}

model = load("{name}.safetensors")  # folded, in evaluation mode: the form to deploy
scores = model(torch.randn(1, {channels}, {side}, {side}))  # (1, {classes})"""
FOLDED = """

The weights belong to the form to train, which `{name}()` builds. `load` folds it for inference: norms and branches go
into the layers beside them, which leaves fewer operations and the same outputs but for rounding.
`load(..., folded=False)` gives the form to train with its weights."""
NOT_DONE = """- gas did not train the design on ImageNet, and claims no accuracy on it.
- A proxy score ranks designs within one search; it is not an accuracy.
- A latency holds for the target, batch size and thread count beside it, and for nothing else."""


FILES = {
    "timm": "timm.create_model builds it once `import {name}_timm` has run",
    "onnx": "ONNX, opset {opset}, float32, batches of any size; exported by {exporter}",
    "int8": "the same with linear layers in 8 bits: weights by channel beforehand, what they read while it runs",
    "pt2": "torch.export, batches of any size: `torch.export.load(...).module()`",
}


@dataclass(frozen=True)
class Made:
    """What was written, and what the checks found.

    Args:
        found: Differences found between the files and the design.
        sizes: Size of each format's (first) file, bytes.
        exporter: By which of torch's exporters the ONNX model was made.
        speed: How long int8 takes beside float32.
        trained: Whether weights were given.
    """

    found: Differences
    sizes: Mapping[str, int] = field(default_factory=dict)
    exporter: str = ""
    speed: Speed | None = None
    trained: bool = False


def card_text(
    architecture: Architecture,
    name: str,
    *,
    facts: Mapping[str, Any] | None = None,
    weights: str,
    made: Made,
    folded: Cost | None = None,
) -> str:
    """The model card, Markdown.

    Args:
        architecture: The design.
        name: Name of the module and of its function.
        facts: What is known of the design: see `gas.exports.facts`.
        weights: What the weights are.
        made: What was written, and what the checks found.
        folded: What the design costs once folded; None where the file has no such form.
    """
    design, found = plan(architecture), made.found
    side, channels = architecture.resolution, architecture.channels
    use = {"name": name, "channels": channels, "side": side, "classes": design.placed[-1].after.dim}
    summary = [
        ("Params", f"{design.cost.params:,}"),
        ("Macs", f"{design.cost.macs:,}"),
        *([("Folded", folded_words(folded))] if folded else []),
        ("Input", f"{channels} x {side} x {side}"),
        ("Widths", " ".join(map(str, architecture.dims))),
        ("Depths", " ".join(map(str, architecture.depths))),
        ("Design", f"`{architecture.id}`"),
        *fact_lines(facts or {}),
    ]
    return CARD.format(
        **use,
        summary=markdown(["", ""], summary),
        weights=f"{weights[0].upper()}{weights[1:]}." + (FOLDED.format(**use) if folded else ""),
        opening=(FOLDED_OPENING if folded else OPENING).format(**use),
        blocks=_blocks(architecture),
        maps="\n".join(f"# maps[{i}]: (1, {e.dim}, {e.grid[0]}, {e.grid[1]})" for i, e in enumerate(design.ends)),
        not_done=NOT_DONE,
        torch=torch.__version__,
        formats=_formats(name, made),
        trained="not trained" if weights.startswith("untrained") else "trained as the one who gave the weights says",
        elsewhere=ELSEWHERE.format(found.other) if found.other else "",
        checks=_checks(name, made),
        agreement="are identical to" if found.trained == 0 else f"differ by at most {found.trained:.3g} from",
        folding="" if found.folded is None else FOLDING.format(found.folded),
    )


def _formats(name: str, made: Made) -> str:
    """The section on the other files; empty where there are none."""
    rows = [
        (
            f"`{name}{SUFFIXES[part][0]}`",
            FILES[part].format(name=name, opset=OPSET, exporter=made.exporter),
            f"{made.sizes[part] / 1e6:.2f} MB",
        )
        for part in FILES
        if part in made.sizes
    ]
    return f"## Other forms\n\n{markdown(['File', 'What it is', 'Size'], rows)}\n\n" if rows else ""


def _checks(name: str, made: Made) -> str:
    """The section's lines on the other files; empty where there are none."""
    lines = check_lines(name, made)
    if not lines:
        return ""
    used = ", ".join(f"{package} {version}" for package, version in versions(list(made.sizes)).items())
    head = f"The other files were loaded there too ({used}); differences above {FOLDED_TOLERANCE:g} are refused:"
    return "\n".join(["", head, "", *(f"- {line}." for line in lines), ""])


def other_words(result: Any) -> list[str]:
    """What the checks found of an export's files beside the source (an ExportResult), a line each."""
    return check_lines(result.name, Made(result.checks, {}, result.exporter, result.speed, result.trained))


def check_lines(name: str, made: Made) -> list[str]:
    """What was found of the files beside the source, a line each."""
    found, lines = made.found, []
    for part, why in found.skipped.items():
        lines.append(f"{name}{SUFFIXES[part][0]} was not checked: {why}")
    for part, gap in found.formats.items():
        if part != "int8":
            sizes = "" if part == "timm" else " for batches of 1, 2 and 5"
            lines.append(f"{name}{SUFFIXES[part][0]} differs by at most {gap:.2g} of the greatest score{sizes}")
    if "int8" in found.formats:
        file, error = f"{name}{SUFFIXES['int8'][0]}", found.formats["int8"]
        same = f"on real images (digits) {found.agreement:.1%} have the same greatest score"
        little = "" if made.trained else "; untrained scores lie close together: look again after training"
        lines.append(f"{file}: its scores are off by {error:.2g} of their norm; {same}{little}")
    if made.speed:
        speed = made.speed
        spread = f"quartiles {speed.low:.3f} to {speed.high:.3f}, {speed.rounds} rounds in turns"
        times = f"{speed.int8_ms:.3g} and {speed.float32_ms:.3g} ms per image"
        where = "target cpu_onnxruntime, batch 1, threads 1"
        lines.append(f"int8 takes {speed.ratio:.3f} times as long as float32 ({spread}): {times}; {where}")
    return lines


def markdown(headings: list[str], rows: list[tuple]) -> str:
    """A Markdown table; a cell's bars are escaped."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in (headings, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(headings), *lines[1:]])


def _blocks(architecture: Architecture) -> str:
    rows = [
        (
            row["block"] or row["path"],
            row["pattern"],
            row["options"],
            _change(row["dim_in"], row["dim_out"]),
            _change(_grid(row["grid_in"]), _grid(row["grid_out"])),
            human(row["params"]),
            human(row["macs"]),
            f"{row['macs_share']:.1%}",
        )
        for row in design_rows(architecture)
    ]
    return markdown(["Block", "Pattern", "Options", "Dim", "Grid", "Params", "Macs", "Share of macs"], rows)


def _change(before: Any, after: Any) -> str:
    return str(after) if before == after else f"{before} → {after}"


def _grid(grid: tuple[int, int]) -> str:
    return f"{grid[0]} x {grid[1]}"
