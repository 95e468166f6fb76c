from __future__ import annotations

import contextlib
import copy
import typing
from collections.abc import Callable
from typing import Any

import jsonschema
import pydantic
import pytest

from gas.patterns import PATTERNS, Slot
from gas.space import bundled, load_space
from gas.space.document import KEYS
from gas.space.schema import json_schema
from gas.space.text import parse
from gas.space.tree import option_types_cached

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
MIXER = {"pattern": "global_attention", "heads": 2}
REQUIRED = {"token_mixer": MIXER, "block": {"pattern": "transformer", "mixer": MIXER}}
"""What fits a slot that must be filled."""


def plain(name: str) -> dict[str, Any]:
    """What an editor reads, which takes 1e-5 for a number as gas does; PyYAML alone would take it for text."""
    return parse(bundled()[name].read_text(encoding="utf-8"), name)[0].plain()


def fields(pattern: str) -> dict[str, Any]:
    return PATTERNS.get(pattern).Options.model_fields


def description(info: Any) -> str:
    """Of an option; it may stand inside a union."""
    metadata = [m for part in typing.get_args(info.annotation) for m in getattr(part, "__metadata__", ())]
    (found,) = {d for d in [info.description, *(getattr(m, "description", None) for m in metadata)] if d}
    return found


def form_of(pattern: str) -> dict[str, Any]:
    """What the schema says of a pattern written as a mapping."""
    forms = json_schema()["$defs"][PATTERNS.get(pattern).kind]["anyOf"]
    (form,) = (f for f in forms if f.get("properties", {}).get("pattern", {}).get("const") == pattern)
    return form


def test_it_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_its_keys_are_those_of_the_language() -> None:
    assert set(json_schema()["properties"]) == set(KEYS)


@pytest.mark.parametrize("name", sorted(bundled()))
def test_bundled_files_are_accepted(name: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(plain(name))] == []


@pytest.mark.parametrize("name", sorted(bundled()))
def test_designs_written_out_are_accepted(name: str) -> None:
    for design in load_space(name).sample(2, seed=4):
        assert VALIDATOR.is_valid(design.to_dict())


@pytest.mark.parametrize("name", PATTERNS.names())
def test_every_pattern_and_option_is_explained(name: str) -> None:
    form = form_of(name)
    assert form["properties"]["pattern"]["description"] == type(PATTERNS.get(name)).__doc__.strip().splitlines()[0]
    for option, info in fields(name).items():
        assert form["properties"][option]["description"] == description(info)
    assert set(form["required"]) - {"depth"} == {"pattern", *(o for o, i in fields(name).items() if i.is_required())}


@pytest.mark.parametrize("name", PATTERNS.names())
def test_every_pattern_may_be_written_with_its_required_options(name: str) -> None:
    kind, options = PATTERNS.get(name).kind, {}
    for option, info in fields(name).items():
        if info.is_required():
            slot = next((m.kind for m in info.metadata if isinstance(m, Slot)), None)
            options[option] = REQUIRED.get(slot) or fitting(name, option)
    depth = {"depth": 1} if kind == "block" else {}
    schema = {**json_schema(), "$ref": f"#/$defs/{kind}"}
    for key in ("type", "required", "properties", "additionalProperties"):
        del schema[key]
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"pattern": name, **depth, **options})
    assert not validator.is_valid({"pattern": name, **depth, **options, "colour": 3})
    for option in options:
        assert not validator.is_valid({"pattern": name, **depth, **{k: v for k, v in options.items() if k != option}})


def test_a_block_inside_a_pattern_has_no_depth() -> None:
    held = schema_at("shared_position", "block")
    assert held.is_valid(REQUIRED["block"])
    assert not held.is_valid({**REQUIRED["block"], "depth": 1})
    assert "depth" in form_of("shared_position")["required"]


def fitting(pattern: str, option: str) -> Any:
    """Some value that the option takes."""
    adapter = option_types_cached(pattern)[option].adapter
    for value in (8, 0.5, (2, 2)):
        with contextlib.suppress(pydantic.ValidationError):
            return plain_data(adapter.validate_python(value))
    raise AssertionError(f"{pattern}.{option}: none of the values tried fits")


def plain_data(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def schema_at(pattern: str, option: str) -> jsonschema.Draft202012Validator:
    """What the schema asks of one option."""
    return jsonschema.Draft202012Validator({**form_of(pattern)["properties"][option], "$defs": json_schema()["$defs"]})


@pytest.mark.parametrize(
    ("pattern", "option", "taken", "refused"),
    [
        (
            "conv_stem",
            "strides",
            [[2], [2, 2, 2], {"choose": [[2, 2], [4]]}],
            ["2 2", 2, [2, "two"], [2, 2.5], [], None],
        ),
        ("conv_stem", "hidden", [24, None, {"choose": [24, None]}], ["wide", [24], 0]),
        ("transformer", "mixer", ["rep_mixer", None, {"choose": ["rep_mixer", None]}], ["mlp", 3, []]),
        ("transformer", "mlp", ["mlp", None, {"pattern": "conv_mlp"}], ["rep_mixer", {"pattern": None}]),
        ("transformer", "local", ["depthwise_conv", None], ["mlp"]),
        ("transformer", "mlp_norm", ["batch", "none", None], ["btach", True]),
        ("transformer", "norm", ["batch", "none"], [None]),
        ("transformer", "eps", [1e-5, None], ["small", 0]),
    ],
)
def test_lists_and_what_may_be_left_empty(pattern: str, option: str, taken: list, refused: list) -> None:
    validator = schema_at(pattern, option)
    for value in taken:
        assert [error.message for error in validator.iter_errors(value)] == [], value
    for value in refused:
        assert not validator.is_valid(value), value


@pytest.mark.parametrize(
    ("key", "taken", "refused"),
    [
        ("params", ["27.9M", 27.9e6], ["many", -1]),
        ("distilled", [True, False], ["no"]),
        ("checked", ["outputs", "table", "no"], ["output", False]),
        ("source", ["arXiv"], [3]),
    ],
)
def test_what_was_published_has_types(key: str, taken: list, refused: list) -> None:
    validator = jsonschema.Draft202012Validator(json_schema()["properties"]["published"])
    assert all(validator.is_valid({key: value}) for value in taken)
    assert not any(validator.is_valid({key: value}) for value in refused)


def block(data: dict) -> dict:
    return data["stages"][0]["blocks"][0]


@pytest.mark.parametrize(
    "mutate",
    [
        lambda d: d.pop("head"),
        lambda d: d.update(stagse=[]),
        lambda d: d.update(stages=[]),
        lambda d: d["input"].update(size=3),
        lambda d: d["input"].update(resolution=0),
        lambda d: d["input"].update(resolution="32"),
        lambda d: d["stem"].update(stride={"choose": []}),
        lambda d: d["stem"].update(stride={"pick": [2]}),
        lambda d: d["stem"].update(stride={"choose": [2], "range": [1, 2]}),
        lambda d: d["stem"].update(position="lerned"),
        lambda d: d["stem"].pop("dim"),
        lambda d: d.update(stem="conv_embed"),
        lambda d: d.update(stem={"pattern": "mlp"}),
        lambda d: d.update(head=None),
        lambda d: d["stages"][0].update(dim=1.5),
        lambda d: d["stages"][0].update(dim={"range": [1]}),
        lambda d: d["stages"][1].update(entry="classifier"),
        lambda d: d["stages"][1].update(entry={"pattern": "q_pool", "lag": 1}),
        lambda d: d["stages"][0].update(blocks=[]),
        lambda d: block(d).pop("depth"),
        lambda d: block(d).pop("mixer"),
        lambda d: block(d).update(depth=-1),
        lambda d: block(d).update(mixer="mlp"),
        lambda d: block(d).update(mlp={"pattern": "mlp", "ratio": 99}),
        lambda d: block(d)["mixer"]["choose"][1].update(mask_unit=4),
        lambda d: d.update(objectives=[]),
        lambda d: d.update(objectives=[{"maximise": "speed"}]),
        lambda d: d.update(objectives=[{"maximise": "macs", "minimise": "macs"}]),
        lambda d: d.update(constraints={"speed": {"max": 3}}),
        lambda d: d.update(constraints={"macs": {"max": "many"}}),
        lambda d: d.update(constraints={"macs": {"max": -1}}),
        lambda d: d.update(constraints={"macs": {"most": 1}}),
        lambda d: d.update(rules="stages[0].dim > 3"),
        lambda d: d.update(published={"colour": 3}),
    ],
)
def test_mistakes_are_refused(mutate: Callable[[dict], Any]) -> None:
    data = plain("tiny")
    before = copy.deepcopy(data)
    mutate(data)
    assert data != before
    assert not VALIDATOR.is_valid(data)


@pytest.mark.parametrize(
    "mutate",
    [
        lambda d: d["stem"].update(dim={"range": [16, 32, 8]}),
        lambda d: d["stages"][0].update(dim={"same": "stem.dim"}),
        lambda d: d["stages"][1].update(entry=None),
        lambda d: d["stages"][1].update(entry={"choose": ["q_pool", None, {"pattern": "q_pool", "lag": False}]}),
        lambda d: d["stages"][2].update(blocks=[{"choose": [block(d), block(d)]}]),
        lambda d: block(d).update(mlp="mlp"),
        lambda d: block(d).update(mlp={"same": "stages[0].blocks[0].mlp"}),
        lambda d: d.update(head="classifier"),
        lambda d: d.update(constraints={"latency": {"max": 0.3, "of": "hiera_tiny"}, "macs": {"min": "1.5 G"}}),
        lambda d: d.update(constraints={"latency": {"max": "10ms"}, "params": {"max": "1e3k"}}),
    ],
)
def test_other_forms_of_the_language_are_accepted(mutate: Callable[[dict], Any]) -> None:
    data = plain("tiny")
    mutate(data)
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []
