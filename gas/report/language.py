"""The reference of the language in Markdown, made from its JSON Schema, so that it says what the code does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

HEAD = """# The language, key by key

Made from the schema by `gas schema --markdown`; a test holds this file equal to it. `gas schema --out gas.schema.json`
gives the same to editors. A file is a *search space*; with nothing left to decide it is a *design*.

## Values

Where a table below names a kind of value, a decision about one may stand as well:

| form | means |
|---|---|
| `{choose: [a, b, c]}` | one of these; a whole pattern may be one, with options of its own |
| `{range: [low, high, step]}` | a number from low to high, both included; the step is 1 where it is left out |
| `{same: "stages[0].dim"}` | the value that stands earlier in the file |
| `{derive: "2 * stages[0].dim"}` | arithmetic over values that stand earlier |

Numbers may have a unit: `12.7M`, `2.2G`, `10ms`, `48MiB`. A pattern that needs no option may be written by its
bare name.
"""
KINDS = {
    "stem": "Stems",
    "entry": "Entries of a stage",
    "block": "Blocks",
    "token_mixer": "Token mixers",
    "channel_mixer": "Channel mixers",
    "head": "Heads",
    "inner_block": "Blocks inside a block",
}
NOTES = {
    "block": "In a stage each has a `depth` besides: how many stand in a row (an integer from 0).",
    "inner_block": "The same as [blocks](#blocks), without `depth`.",
}


def reference(schema: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        schema: As `gas.space.schema.json_schema` gives it.
    """
    lines = [HEAD, "## A file", "", *_rows(schema), ""]
    for name in ("input", "constraints", "published"):
        lines += [f"### {name}", "", *_rows(schema["properties"][name]), ""]
    lines += ["### stages", "", "A list; each has", "", *_rows(schema["properties"]["stages"]["items"]), ""]
    for kind, title in KINDS.items():
        lines += [f"## {title}", ""]
        if kind in NOTES:
            lines += [NOTES[kind], ""]
        if kind != "inner_block":
            lines += _patterns(schema["$defs"][kind])
    return "\n".join(lines).rstrip()


def _patterns(kind: Mapping[str, Any]) -> Iterator[str]:
    for form in kind["anyOf"]:
        options = dict(form.get("properties", {}))
        if not options:
            continue  # bare names
        pattern = options.pop("pattern")
        options.pop("depth", None)
        yield from (f"### {pattern['const']}", "", pattern["description"], "")
        if options:
            yield from (*_rows({**form, "properties": options}), "")


def _rows(thing: Mapping[str, Any]) -> Iterator[str]:
    """A table of an object's keys."""
    required = thing.get("required", ())
    yield "| key | | value | default |"
    yield "|---|---|---|---|"
    for name, value in thing["properties"].items():
        default = "required" if name in required else _default(value)
        cells = (f"`{name}`", value.get("description", ""), " or ".join(dict.fromkeys(_kinds(value))), default)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(value: Mapping[str, Any]) -> str:
    return f"`{json.dumps(value['default'])}`" if "default" in value else ""


def _kinds(value: Mapping[str, Any]) -> Iterator[str]:
    """What a value may be, in words, decisions about it left out."""
    match value:
        case {"anyOf": forms}:
            for form in forms:
                yield from _kinds(form)
        case {"$ref": place}:
            title = KINDS[place.rpartition("/")[2]]
            yield f"[{title.lower()}](#{title.lower().replace(' ', '-')})"
        case {"const": one}:
            yield f"`{json.dumps(one)}`"
        case {"enum": several}:
            yield ", ".join(f"`{one}`" for one in several)
        case {"type": "array", "items": items}:
            yield f"list of {' or '.join(_kinds(items)) or 'mappings'}"
        case {"type": "object", "properties": inside}:
            if not {"choose", "range", "same", "derive"} & inside.keys():
                yield ", ".join(f"`{name}`" for name in inside)
        case {"type": "string", "pattern": pattern}:
            yield "a size with a unit" if "MiB" in pattern else "a number with a unit"
        case {"type": kind}:
            yield _plain(kind, value)


def _plain(kind: str, value: Mapping[str, Any]) -> str:
    words = {"integer": "integer", "number": "number", "boolean": "`true`, `false`", "string": "text", "null": "`null`"}
    bounds = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "to"}
    told = [f"{word} {value[key]:g}" for key, word in bounds.items() if key in value]
    return " ".join([words.get(kind, kind), *told])
