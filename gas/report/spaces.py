"""What a search space is, in words and numbers: what `gas check` prints."""

from __future__ import annotations

import math
import sys
from typing import Any, TextIO

from gas.architecture import Architecture
from gas.exports.facts import human
from gas.plan import plan
from gas.report.tables import MACS_NOTE, show, to_json
from gas.space import SearchSpace
from gas.space.document import said

DRAWS = 20_000
WIDEST = 90  # characters of choices
UNITS_SAID = {"latency_ms": " ms", "memory_mib": " MiB"}


def show_space(
    space: SearchSpace,
    *,
    examples: int = 3,
    seed: int = 0,
    how: str = "text",
    exact: bool = False,
    stream: TextIO | None = None,
) -> None:
    """Prints a space: decisions, exact number of designs, cost range, number of feasible designs, example designs.

    Args:
        space: The space; a single design is a space with one member.
        examples: Feasible designs to draw (uniform at each decision).
        seed: Of the examples.
        how: `text` or `json`.
        exact: Count the feasible designs as closely as can be, even where that takes a minute.
        stream: Where to; standard output by default.
    """
    stream = stream or sys.stdout
    facts = space_facts(space, examples=examples, seed=seed, exact=exact)
    if how == "json":
        print(to_json([facts]), file=stream)
        return
    lines = [f"{space.name}: {space.about}".rstrip(": "), f"file         {space.document.file}"]
    lines += [f"designs      {space.size():,}" + (f" (about {space.size():.1e})" if space.size() > 10**6 else "")]
    lines += [f"decisions    {len(space.decisions)}"]
    for name in ("params", "macs"):
        low, high = space.cost_range[name]
        lines.append(f"{name:<12} {human(low)} to {human(high)}")
    for heading, texts in (("objectives", facts["objectives"]), ("bounds", _bounds(space)), ("rules", facts["rules"])):
        lines += [f"{heading if i == 0 else '':<12} {text}" for i, text in enumerate(texts)]
    if space.budgets:
        lines += _feasible(facts["feasible"], exact)
    print("\n".join(lines), file=stream)
    if space.decisions:
        print(file=stream)
        rows = [{**row, "choices": _shortened(row["choices"])} for row in facts["decisions"]]
        show(rows, stream=stream, title="Decisions")
    if facts["examples"]:
        print(file=stream)
        show(facts["examples"], ("id", "dims", "depths", "params", "macs"), stream=stream, title="Examples")
    else:
        print(MACS_NOTE, file=stream)


def space_facts(space: SearchSpace, *, examples: int, seed: int, exact: bool = False) -> dict[str, Any]:
    """The same as plain data; `feasible_share` is an estimate from uniform draws, `feasible` a count or hard bounds."""
    facts: dict[str, Any] = {
        "name": space.name,
        "about": space.about,
        "file": space.document.file,
        "designs": space.size(),
        "params": list(space.cost_range["params"]),
        "macs": list(space.cost_range["macs"]),
        "objectives": [str(o) for o in space.objectives],
        "constraints": [str(c) for c in space.constraints],
        "rules": [rule.text for rule in space.document.tree.rules],
        "decisions": [
            {
                "path": decision.path,
                "choices": ", ".join(map(str, decision.choices)),
                "only where": " and ".join(f"{path} is {value}" for path, value in decision.when),
            }
            for decision in space.decisions
        ],
        "published": space.published,
    }
    if space.budgets:
        share, low, high = space.feasible_share(DRAWS)
        facts["feasible_share"] = {"estimate": share, "low": low, "high": high, "draws": DRAWS}
        count = space.count(feasible=True, quick=not exact)
        facts["feasible"] = {"low": count.low, "high": count.high, "exact": count.exact, "share": list(count.share)}
    feasible = bool(space.budgets)
    drawn = space.sample(examples, seed, feasible=feasible) if space.decisions else space.sample(min(examples, 1), seed)
    facts["examples"] = [_example(design) for design in drawn]
    return facts


def _feasible(count: dict[str, Any], exact: bool) -> list[str]:
    """The number of designs within the bounds, in words."""
    low, high = count["share"]
    what = "meet the bounds on params and macs"
    if count["exact"]:
        return [f"feasible     {count['low']:,} designs ({low:.3%} of all) {what}"]
    more = "" if exact else "; --exact looks closer"
    return [
        f"feasible     {count['low']:.4e} to {count['high']:.4e} designs {what}",
        f"             ({low:.2%} to {high:.2%} of all: proven bounds{more})",
    ]


def _shortened(choices: str) -> str:
    """A list of choices that a table can hold; --json has them all."""
    names, kept = choices.split(", "), []
    while len(kept) < len(names) and len(", ".join([*kept, names[len(kept)]])) <= WIDEST:
        kept.append(names[len(kept)])
    return choices if len(kept) == len(names) else f"{', '.join(kept)}, ... ({len(names)} in all)"


def _bounds(space: SearchSpace) -> list[str]:
    texts = []
    for c in space.constraints:
        unit = " times " + c.of if c.of else UNITS_SAID.get(c.metric, "")
        words = (("at least", c.low), ("at most", c.high))
        sizes = {end: f"{end:g}" if c.metric == "memory_mib" else human(end) for _, end in words}
        ends = [f"{word} {sizes[end]}{unit}" for word, end in words if math.isfinite(end)]
        texts.append(f"{said(c.metric)} {' and '.join(ends)}")
    return texts


def _example(design: Architecture) -> dict[str, Any]:
    exact = plan(design).cost
    dims, depths = (", ".join(map(str, numbers)) for numbers in (design.dims, design.depths))
    return {"id": design.id, "dims": dims, "depths": depths, "params": exact.params, "macs": exact.macs}
