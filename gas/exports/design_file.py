"""Writes an architecture as a design file: the language's own form, laid out as people write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from gas.architecture import Architecture
from gas.exports.facts import fact_lines, human
from gas.plan import plan


def design_text(architecture: Architecture, name: str, *, facts: Mapping[str, Any] | None = None) -> str:
    """The file's text: comments with costs and facts, the name, then one line for each part of the design.

    Source: YAML 1.1 as PyYAML reads it; `yaml.safe_load` gives `architecture.to_dict()` with the name.
    """
    cost = plan(architecture).cost
    data = architecture.to_dict()
    lines = [
        f"# {human(cost.params)} params, {human(cost.macs)} macs (multiply-adds for one image), id {architecture.id}",
        *(f"# {key}: {value}".replace("\n", " ") for key, value in fact_lines(facts or {})),
        f"name: {_flow(name)}",
        f"input: {_flow(data['input'])}",
        f"stem: {_flow(data['stem'])}",
        "stages:",
    ]
    for stage in data["stages"]:
        items = [f"{key}: {_flow(value)}" for key, value in stage.items() if key != "blocks"]
        items += ["blocks:", *(f"  - {_flow(block)}" for block in stage["blocks"])]
        lines += [f"{'  - ' if i == 0 else '    '}{item}" for i, item in enumerate(items)]
    lines.append(f"head: {_flow(data['head'])}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """One value on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=float("inf"), allow_unicode=True)
    return text.removesuffix("...\n").strip()
