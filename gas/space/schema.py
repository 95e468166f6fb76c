"""The JSON Schema of the language, made from the code: editors complete and explain space files with it."""

from __future__ import annotations

from typing import Any, get_args

import pydantic

from gas.patterns.base import KINDS, PATTERNS
from gas.space.document import CHECKED, METRICS, PUBLISHED_KEYS
from gas.space.tree import option_types_cached

QUANTITY = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^ *(\d+\.?\d*|\.\d+)([eE][-+]?\d+)? *(k|K|M|G|T|ms)?$"},
    ]
}
SIZE = {
    "anyOf": [
        {"type": "string", "pattern": r"^ *(\d+\.?\d*|\.\d+) *(KiB|MiB|GiB) *$"},
        {"type": "number", "minimum": 0},
    ],
    "description": "a size such as 48MiB or 1.5GiB: weights and the peak of one forward pass; with `of`, a multiple",
}
INNER_BLOCK = "inner_block"  # a block inside a pattern, which has no depth
PUBLISHED = {
    **dict.fromkeys(("params", "macs", "top1", "resolution"), QUANTITY),
    "distilled": {"type": "boolean"},
    "checked": {"enum": list(CHECKED), "description": "how tests hold the design against its source"},
}


def json_schema() -> dict[str, Any]:
    """The schema of space and design files, JSON Schema draft 2020-12."""
    positive = {"type": "integer", "exclusiveMinimum": 0}
    stage = {
        "type": "object",
        "additionalProperties": False,
        "required": ["dim", "blocks"],
        "properties": {
            "entry": {"description": "how the stage is entered", **_decided(_slot("entry", optional=True))},
            "dim": {"description": "width of the stage, channels", **_decided(positive)},
            "blocks": {"type": "array", "minItems": 1, "items": _decided(_slot("block"), forms=("choose",))},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gas search space or design",
        "type": "object",
        "additionalProperties": False,
        "required": ["input", "stem", "stages", "head"],
        "properties": {
            "name": {"type": "string"},
            "about": {"type": "string"},
            "input": {
                "type": "object",
                "additionalProperties": False,
                "required": ["resolution"],
                "properties": {"resolution": _decided(positive), "channels": _decided(positive)},
            },
            "stem": _decided(_slot("stem")),
            "stages": {"type": "array", "minItems": 1, "items": stage},
            "head": _decided(_slot("head")),
            "rules": {"type": "array", "items": {"type": "string"}, "description": "comparisons between values"},
            "objectives": {"type": "array", "minItems": 1, "items": {"anyOf": [_goal("maximise"), _goal("minimise")]}},
            "constraints": _object({metric: _bounds(SIZE if metric == "memory" else QUANTITY) for metric in METRICS}),
            "compare": {"type": "array", "items": {"type": "string"}, "description": "designs to show a choice beside"},
            "published": _object({key: PUBLISHED.get(key, {"type": "string"}) for key in PUBLISHED_KEYS}),
        },
        "$defs": {**{kind: _kind(kind) for kind in KINDS}, INNER_BLOCK: _kind("block", depth=False)},
    }


def _slot(kind: str, *, optional: bool = False) -> dict[str, Any]:
    reference = {"$ref": f"#/$defs/{kind}"}
    return {"anyOf": [reference, {"type": "null"}]} if optional else reference


def _kind(kind: str, *, depth: bool = True) -> dict[str, Any]:
    """Any pattern of a kind: by bare name where it needs no option, or as a mapping; a stage's blocks have a depth."""
    in_stage = kind == "block" and depth
    names = [name for name in PATTERNS if PATTERNS.get(name).kind == kind]
    bare = [name for name in names if not any(t.required for t in option_types_cached(name).values())]
    forms: list[dict[str, Any]] = [_pattern(name, depth=in_stage) for name in names]
    if bare and not in_stage:
        forms.append({"enum": bare})
    return {"anyOf": forms}


def _pattern(name: str, *, depth: bool) -> dict[str, Any]:
    pattern = PATTERNS.get(name)
    fields = pattern.Options.model_json_schema(mode="validation") if not _has_slots(name) else {"properties": {}}
    properties: dict[str, Any] = {"pattern": {"const": name, "description": _first_line(pattern)}}
    types = option_types_cached(name)
    for option, kind_of in types.items():
        info = pattern.Options.model_fields[option]
        if kind_of.slot:
            within = INNER_BLOCK if kind_of.slot == "block" else kind_of.slot
            inner = _decided(_slot(within, optional=type(None) in get_args(info.annotation)))
        else:
            plain = fields["properties"].get(option) or kind_of.adapter.json_schema()
            inner = _decided({k: v for k, v in plain.items() if k not in ("title", "default", "description")})
        described = {"description": description} if (description := _description(info)) else {}
        properties[option] = {**described, **inner}
    required = ["pattern", *(option for option, kind_of in types.items() if kind_of.required)]
    if depth:
        properties["depth"] = {"description": "blocks in a row", **_decided({"type": "integer", "minimum": 0})}
        required.append("depth")
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _description(info: pydantic.fields.FieldInfo) -> str | None:
    """An option's description, also where it stands inside a union (`Annotated[int, Field(...)] | None`)."""
    inner = (extra for part in get_args(info.annotation) for extra in getattr(part, "__metadata__", ()))
    return info.description or next((d for d in (getattr(extra, "description", None) for extra in inner) if d), None)


def _has_slots(name: str) -> bool:
    return any(kind.slot for kind in option_types_cached(name).values())


def _decided(plain: dict[str, Any], forms: tuple[str, ...] = ("choose", "range", "same", "derive")) -> dict[str, Any]:
    """A value, or a decision about one."""
    numbers = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3}
    each = {
        "choose": {"type": "array", "minItems": 1, "items": plain, "description": "one of these"},
        "range": {**numbers, "description": "[low, high, step], both ends included"},
        "same": {"type": "string", "description": "path of an earlier value"},
        "derive": {"type": "string", "description": "arithmetic over paths of earlier values"},
    }
    return {"anyOf": [plain, *(_object({form: each[form]}, required=[form]) for form in forms)]}


def _goal(direction: str) -> dict[str, Any]:
    return _object({direction: {"enum": list(METRICS)}}, required=[direction])


def _bounds(number: dict[str, Any]) -> dict[str, Any]:
    of = {"type": "string", "description": "the bounds are multiples of this design's value, measured alike"}
    return _object({"max": number, "min": number, "of": of})


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        **({"required": required} if required else {}),
    }


def _first_line(thing: object) -> str:
    return (type(thing).__doc__ or "").strip().splitlines()[0]
