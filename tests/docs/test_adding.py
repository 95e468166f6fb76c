"""docs/adding.md: the newcomers that it shows are whole, keep their contracts, and work by their names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "adding.md"
CHECKS = """
from gas.testing import check_generator, check_pattern, check_proxy, check_target
check_pattern("my_pooling")
check_generator("hill_climber")
check_proxy("weight_norm")
assert check_target("cpu_bfloat16") == []
"""
SPACE = """
input: {resolution: 32}
stem: {pattern: conv_embed, kernel: 3, dim: {choose: [8, 16, 24]}}
stages:
  - dim: {same: stem.dim}
    blocks:
      - pattern: transformer
        depth: {range: [1, 3]}
        mixer: {choose: [{pattern: my_pooling, side: {choose: [3, 5]}}, {pattern: global_attention, head_dim: 8}]}
head: {pattern: classifier, classes: 10}
objectives: [{maximise: proxy}, {minimise: macs}]
"""
SEARCH = (
    "search --space space.yaml --generator hill_climber --proxy weight_norm --fidelity resolution=32,seeds=1 "
    "--budget 6 --workers 2 --out run --quiet"
)


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """The files of the page, in a folder that GAS_PLUGINS names; the environment."""
    blocks = re.findall(r"^```python\n# (mine/\S+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert [Path(name).parent.name for name, _ in blocks] == ["patterns", "generators", "proxies", "targets"]
    for name, text in blocks:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "space.yaml").write_text(SPACE)
    return {**os.environ, "GAS_PLUGINS": str(tmp_path / "mine"), "RAY_AUTH_MODE": "disabled"}


@pytest.mark.slow
def test_what_the_page_shows_keeps_the_contracts(own: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CHECKS], env=own, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_search_on_ray_knows_what_the_page_shows(own: dict[str, str], tmp_path: Path) -> None:
    for words in (SEARCH, "front run --csv", "export run best --out out"):
        done = subprocess.run(
            [sys.executable, "-m", "gas.cli", *words.split()], env=own, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        if words.startswith("front"):
            assert "weight_norm" in done.stdout.splitlines()[0]
            assert "nan" not in done.stdout


def test_what_the_page_shows_compiles() -> None:
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S):
        compile(block, str(PAGE), "exec")
