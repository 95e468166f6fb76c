"""Every file of the zoo: what it says of itself, its costs against the built network and against what was published."""

from __future__ import annotations

import re
from functools import cache

import pytest
import torch
import yaml
from zoo.pairing import quick_and_slow, references

from gas.architecture import Architecture
from gas.costs import cost, count_module, folded_count
from gas.model import build, network_part
from gas.plan import plan
from gas.space import bundled, design_from_text, load, load_space
from gas.space.text import parse, quantity

NAMES = [name.removeprefix("zoo/") for name in bundled() if name.startswith("zoo/")]
REQUIRED = {"resolution", "source", "verified", "checked"}
FIGURES = {"params", "macs", "top1", "distilled"}
# Named, so that a file cannot lose its figures unseen.
WITHOUT_FIGURES = {
    "deit_small_fastv": "a way of pruning that was published for language models",
    "fmvit": "its layers were never published, so the figures are of nets that we do not know",
}


@cache
def design_of(name: str) -> Architecture:
    return load(f"zoo/{name}")


def written(name: str) -> dict:
    """The file's own words, numbers as they are printed there."""
    return yaml.load(bundled()[f"zoo/{name}"].read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def rounding(printed: str) -> float:
    """Half a unit of the last digit printed: 0.05 M for `27.9M`."""
    number, unit = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]?)", printed).groups()
    return 0.5 * 10.0 ** -len(number.partition(".")[2]) * quantity(f"1{unit}")


@pytest.mark.parametrize(
    ("printed", "half"), [("27.9M", 5e4), ("28M", 5e5), ("0.7G", 5e7), ("241 M", 5e5), ("312", 0.5)]
)
def test_rounding_is_read_off_the_digits(printed: str, half: float) -> None:
    assert rounding(printed) == pytest.approx(half)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is_and_where_its_figures_come_from(name: str) -> None:
    space = load_space(f"zoo/{name}")
    assert space.is_design
    assert written(name)["name"] == name == design_of(name).name
    assert space.about
    published = space.published
    lacking = (REQUIRED | FIGURES) - published.keys()
    assert lacking == (FIGURES if name in WITHOUT_FIGURES else set())
    assert published["resolution"] == design_of(name).resolution
    assert 50 < published.get("top1", 75) < 90
    figures = {"params", "macs", "top1"} & set(re.findall(r"\w+", published["verified"].partition(",")[0]))
    assert figures <= published.keys()
    assert published["checked"] != "outputs" or published["code"]


def test_checked_by_outputs_is_what_the_parity_tests_run_over() -> None:
    claimed = {name for name in NAMES if load_space(f"zoo/{name}").published["checked"] == "outputs"}
    assert claimed == set(references())


@pytest.mark.parametrize("name", NAMES)
def test_published_figures_hold_within_their_rounding_or_the_file_says_why_not(name: str) -> None:
    printed, exact = written(name)["published"], cost(design_of(name))
    for key in {"params", "macs"} & printed.keys():
        own, theirs = getattr(exact, key), quantity(printed[key])
        gap = abs(own - theirs)
        assert gap <= max(0.005 * theirs, rounding(printed[key])) or printed.get("differs"), (key, own, theirs)


@pytest.mark.parametrize("name", quick_and_slow(NAMES))
def test_it_costs_and_gives_out_what_its_formulas_say(name: str) -> None:
    design = design_of(name)
    with torch.device("meta"):
        network = network_part(design).build()
    shape = (1, design.channels, design.resolution, design.resolution)
    assert count_module(network, shape).cost == cost(design)
    with torch.inference_mode():
        image = torch.zeros(shape, device="meta")
        assert network(image).shape == (1, 1000)
        maps = network.forward_features(image)
    assert [tuple(m.shape) for m in maps] == [(1, end.dim, *end.grid) for end in plan(design).ends]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in references()])
def test_what_no_public_code_vouches_for_gives_finite_scores(name: str) -> None:
    design = design_of(name)
    network = build(design, seed=0).eval()
    image = torch.randn(1, 3, design.resolution, design.resolution, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        scores = network(image)
    assert scores.isfinite().all()
    assert scores.std() > 0


@pytest.mark.parametrize("name", quick_and_slow(NAMES))
def test_folded_it_costs_no_more_than_as_built(name: str) -> None:
    folded = folded_count(design_of(name))
    assert folded is None or folded.cost.macs <= cost(design_of(name)).macs


@pytest.mark.parametrize("name", NAMES)
def test_nothing_hangs_on_a_comment_or_the_layout_of_the_file(name: str) -> None:
    text = bundled()[f"zoo/{name}"].read_text(encoding="utf-8")
    data = parse(text, name)[0].plain()
    assert design_from_text(yaml.safe_dump(data, sort_keys=True), name) == design_of(name)
