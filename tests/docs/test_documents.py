"""README and docs: every command parses, the tutorial runs from its first line to its last, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gas.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```", re.M | re.S)


def blocks(page: Path, *kinds: str) -> list[str]:
    """The fenced blocks of some kinds, in order."""
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind in kinds]


def commands(page: Path) -> list[str]:
    """The calls of gas in the shell blocks of a page, comments and continuation lines seen to."""
    lines = "".join(blocks(page, "", "sh")).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if re.match(r"\s*(\$ )?gas ", line)]


def spoken(page: Path) -> list[str]:
    """The calls of gas within sentences that are whole: those with an option or an argument."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    found = re.findall(r"`(gas [a-z-]+ [^`]+)`", text)
    return [" ".join(call.split()) for call in found if "..." not in call]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_parses(page: Path) -> None:
    """Unknown commands and options, missing arguments and bad values are found without running anything."""
    for call in dict.fromkeys([*commands(page), *spoken(page)]):
        _, name, *words = shlex.split(call, comments=True)
        command = cli.commands.get(name)
        assert command is not None, f"{page.name}: {call}"
        if call in spoken(page):  # may leave out what does not matter there
            options = {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}
            assert {word for word in words if word.startswith("--")} <= options | {"--help"}, f"{page.name}: {call}"
            continue
        try:
            command.make_context(name, list(words))
        except click.ClickException as error:
            pytest.fail(f"{page.name}: {call}: {error.format_message()}")


def test_the_pages_hold_commands() -> None:
    assert len(commands(ROOT / "README.md")) >= 6
    assert len(commands(ROOT / "docs" / "tutorial.md")) >= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile(page: Path) -> None:
    for text in blocks(page, "python"):
        indent = len(text) - len(text.lstrip(" "))
        compile("\n".join(line[indent:] for line in text.splitlines()), str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for place in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", page.read_text(encoding="utf-8")):
        if not place.startswith(("http://", "https://")):
            assert (page.parent / place).exists(), f"{page.name}: {place}"


def test_every_experiment_is_among_the_numbers() -> None:
    text = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")
    folders = {file.parent.name for file in (ROOT / "experiments").glob("*/README.md")}
    assert {name for name in folders if f"(../experiments/{name})" not in text} == set()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_tutorial_runs(tmp_path: Path) -> None:
    """Shell and Python blocks as they come, each Python block in a fresh process, in one folder."""
    page = ROOT / "docs" / "tutorial.md"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind not in ("sh", "python"):
            continue
        words = ["bash", "-euo", "pipefail", "-c", text] if kind == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(words, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
