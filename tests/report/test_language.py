"""The reference of the language: docs/language.md is what the code says, and says all of it."""

from __future__ import annotations

import re
from pathlib import Path

from gas.patterns.base import PATTERNS
from gas.report.language import reference
from gas.space.schema import json_schema
from gas.space.tree import option_types_cached

PAGE = Path(__file__).parents[2] / "docs" / "language.md"


def test_the_page_is_what_the_schema_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(json_schema()) + "\n", (
        "gas schema --markdown --out docs/language.md"
    )


def test_every_pattern_and_option_stands_in_it_with_words_and_a_default() -> None:
    parts = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S))
    for name in PATTERNS:
        rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", parts[name], re.M))
        types = option_types_cached(name)
        assert list(rows) == list(types)
        for option, cells in rows.items():
            words, value, default = (cell.strip() for cell in re.split(r"(?<!\\)\|", cells))
            assert words, (name, option)
            assert value, (name, option)
            assert (default == "required") == types[option].required, (name, option)
            assert default, (name, option)


def test_links_lead_to_headings() -> None:
    text = PAGE.read_text(encoding="utf-8")
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= headings
