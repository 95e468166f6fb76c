"""The JSON Schema of the language, made from the code: editors complete and explain space files with it."""

from __future__ import annotations

from typing import Any, get_args

import pydantic

from gas.architecture import Spec
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
POSITIVE = {"type": "integer", "exclusiveMinimum": 0}
INNER_BLOCK = "inner_block"  # a block inside a pattern, which has no depth
BOUNDED = {
    "macs": "multiply-adds for one image",
    "params": "parameters, as it is trained",
    "memory": "weights and the peak of one forward pass, for the batch of the search",
    "latency": "milliseconds on the target of the search",
    "proxy": "the score that stands in for accuracy",
    "estimate.imagenet_top1": "estimated ImageNet-1k top-1, percent",
}
PUBLISHED = {
    "params": {"description": "parameters in print", **QUANTITY},
    "macs": {"description": "multiply-adds in print (papers' FLOPs)", **QUANTITY},
    "top1": {"description": "ImageNet-1k top-1 in print, percent", **QUANTITY},
    "resolution": {"description": "side of the images of that figure, pixels", **QUANTITY},
    "distilled": {"type": "boolean", "description": "whether that training had a teacher"},
    "source": {"type": "string", "description": "where the figures stand"},
    "differs": {"type": "string", "description": "why our counts are others, where they are"},
    "verified": {"type": "string", "description": "which of the figures were read there"},
    "code": {"type": "string", "description": "the public code"},
    "checked": {"enum": list(CHECKED), "description": "how tests hold the design against its source"},
}


def json_schema() -> dict[str, Any]:
    """The schema of space and design files, JSON Schema draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gas search space or design",
        "type": "object",
        "additionalProperties": False,
        "required": ["input", "stem", "stages", "head"],
        "properties": {
            "name": {"type": "string", "description": "what it is called; the file's name where it says nothing"},
            "about": {"type": "string", "description": "what it is, in a sentence"},
            "input": {
                "type": "object",
                "description": "the images",
                "additionalProperties": False,
                "required": ["resolution"],
                "properties": {
                    "resolution": {"description": "side of an image, pixels", **_decided(POSITIVE)},
                    "channels": {"description": "channels of an image", "default": 3, **_decided(POSITIVE)},
                },
            },
            "stem": {"description": "what makes the first map or tokens of an image", **_decided(_slot("stem"))},
            "stages": {
                "type": "array",
                "minItems": 1,
                "description": "parts of one resolution, in order",
                "items": _stage(),
            },
            "head": {"description": "what makes class scores", **_decided(_slot("head"))},
            "rules": {"type": "array", "items": {"type": "string"}, "description": "comparisons between values"},
            "objectives": {
                "type": "array",
                "minItems": 1,
                "description": "what a search wants much or little of; the first one leads",
                "items": {"anyOf": [_goal("maximise"), _goal("minimise")]},
            },
            "constraints": {
                "description": "bounds on costs, scores and latency",
                **_object({metric: _bounds(metric) for metric in METRICS}),
            },
            "compare": {"type": "array", "items": {"type": "string"}, "description": "designs to show a choice beside"},
            "published": {
                "description": "what is in print of a network of the zoo",
                **_object({key: PUBLISHED[key] for key in PUBLISHED_KEYS}),
            },
        },
        "$defs": {**{kind: _kind(kind) for kind in KINDS}, INNER_BLOCK: _kind("block", depth=False)},
    }


def _stage() -> dict[str, Any]:
    blocks = {
        "type": "array",
        "minItems": 1,
        "description": "groups of equal blocks, in order",
        "items": _decided(_slot("block"), forms=("choose",)),
    }
    properties = {
        "entry": {"description": "how the stage is entered", **_decided(_slot("entry", optional=True))},
        "dim": {"description": "width of the stage, channels", **_decided(POSITIVE)},
        "blocks": blocks,
    }
    return _object(properties, required=["dim", "blocks"])


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
        if not kind_of.required:
            described["default"] = _written(info.default)
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


def _written(default: Any) -> Any:
    """A default as a file would say it."""
    if isinstance(default, Spec):
        return {"pattern": default.pattern, **dict(default.items)} if default.items else default.pattern
    return list(default) if isinstance(default, tuple) else default


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


def _bounds(metric: str) -> dict[str, Any]:
    number = SIZE if metric == "memory" else QUANTITY
    of = {"type": "string", "description": "the bounds are multiples of this design's value, measured alike"}
    return {"description": BOUNDED[metric], **_object({"max": number, "min": number, "of": of})}


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        **({"required": required} if required else {}),
    }


def _first_line(thing: object) -> str:
    return (type(thing).__doc__ or "").strip().splitlines()[0]
