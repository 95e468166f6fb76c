"""The shipped checks: they pass what is right, and of what is wrong they say where, what and what was expected."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from broken_generators import BROKEN as GENERATORS_BROKEN
from broken_patterns import BROKEN
from contributions import contributed, registered

import gas
from gas.costs import TARGETS, Target
from gas.costs.measure import SelfTimed
from gas.costs.targets.base import register as register_target
from gas.errors import SpaceError, UnknownNameError
from gas.generators import GENERATORS
from gas.patterns import PATTERNS
from gas.patterns.base import register as register_pattern
from gas.plan import plan
from gas.proxies import PROXIES, Proxy
from gas.proxies.base import check_deadline
from gas.proxies.base import register as register_proxy
from gas.proxies.reduce import reduce
from gas.space import space_from_text
from gas.space.schema import json_schema
from gas.testing import check_generator, check_pattern, check_proxy, check_target
from gas.testing.cases import random_value

as_pattern = partial(registered, PATTERNS, register_pattern, "gas.patterns")
as_generator = partial(registered, GENERATORS, GENERATORS.register, "gas.generators")
as_proxy = partial(registered, PROXIES, register_proxy, "gas.proxies")
as_target = partial(registered, TARGETS, register_target, "gas.costs.targets")


def failure(check: Callable[..., None], name: str, *only: str) -> str:
    """What a check says of a thing that it must refuse."""
    with pytest.raises(AssertionError) as caught:
        check(name, *only)
    return str(caught.value)


# All checks of one thing in one call, as a contributor makes it; the contract tests make the rest.
@pytest.mark.parametrize(
    ("check", "name"),
    [
        pytest.param(check_pattern, "mlp", marks=pytest.mark.slow),
        (check_generator, "random"),
        pytest.param(check_proxy, "pca_count", marks=pytest.mark.slow),
        (check_target, "cpu_eager"),
    ],
)
def test_what_is_right_passes(check: Callable[..., None], name: str) -> None:
    check(name)
    with pytest.raises(UnknownNameError, match=f"got '{name}x'; .*did you mean '{name}'"):
        check(f"{name}x")
    with pytest.raises(UnknownNameError, match=r"check of a \w+: got 'nane'; .*did you mean 'name'"):
        check(name, "nane")


def test_every_failed_check_has_its_line() -> None:
    with as_pattern(fallen_twice=BROKEN["fallen"][1]):
        lines = failure(check_pattern, "fallen_twice", "name", "cost", "structure", "flow").splitlines()
    assert lines == [
        "pattern fallen_twice: cost: RuntimeError: out of luck",
        "pattern fallen_twice: structure: RuntimeError: out of luck",
    ]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pattern_fails(name: str) -> None:
    check, pattern, text = BROKEN[name]
    with as_pattern(**{name: pattern}):
        said = failure(check_pattern, name, check)
        assert said.startswith(f"pattern {name}: {check}: ")
        with pytest.raises(AssertionError, match=text):
            check_pattern(name, check)


def test_a_pattern_in_another_file_fails() -> None:
    with as_pattern(elsewhere=BROKEN["macs_off"][1]):
        type(PATTERNS.get("elsewhere")).__module__ = "gas.patterns.mlp"
        said = failure(check_pattern, "elsewhere", "name")
    assert "file: got 'gas.patterns.mlp'; expected 'gas.patterns.elsewhere'" in said


def test_random_values_are_of_the_declared_type_and_reach_its_bounds() -> None:
    rng = random.Random(0)
    typing_of = {
        name: info.annotation for name, info in PATTERNS.get("mask_unit_attention").Options.model_fields.items()
    }
    heads = {random_value(typing_of["heads"], rng) for _ in range(200)}
    assert None in heads
    assert {1, 2, 16} < heads
    with pytest.raises(AssertionError, match=r"options: got one of type <class 'str'>; expected bool, int, float"):
        random_value(str, rng)


SPACE = """
input: {resolution: 32}
stem: {pattern: conv_embed, kernel: 3, dim: 16}
stages:
  - dim: 16
    blocks:
      - pattern: transformer
        depth: {range: [1, 2]}
        mixer: {choose: [{pattern: example_pooling, side: {choose: [3, 5]}}, {pattern: global_attention, heads: 2}]}
head: {pattern: classifier, classes: 10}
objectives: [{maximise: proxy}, {minimise: macs}]
"""


def test_a_new_pattern_is_one_file(tmp_path: Path) -> None:
    """The recipe: checks, name in YAML, checked options, cost, schema, search and export come with the file."""
    with contributed(PATTERNS, "gas.patterns", "example_pooling"):
        check_pattern("example_pooling")
        space = space_from_text(SPACE)
        assert space.size() == 6
        with pytest.raises(SpaceError, match=r"mixer\.choose\[0\]\.sidde: got 'sidde'; .*did you mean 'side'"):
            space_from_text(SPACE.replace("side:", "sidde:"))
        with pytest.raises(SpaceError, match=r"expected an odd number"):
            space_from_text(SPACE.replace("[3, 5]", "[3, 4]"))
        assert "side of the neighbourhood" in json.dumps(json_schema()["$defs"]["token_mixer"])
        run = gas.search(
            space,
            out=tmp_path / "run",
            budget=6,
            proxy="pca_count",
            fidelity={"batch": 2, "seeds": 1},
            workers=1,
            generator="random",
        )
        rows = run.frame()
        assert list(rows["status"]) == ["ok"] * 6
        designs = {id: run.architecture(id) for id in rows["id"]}
        pooled = [d for d in designs.values() if "example_pooling" in d.to_json()]
        assert len(pooled) == 4
        assert {gas.cost(d).macs for d in designs.values()} == set(rows["macs"])
        gas.export(run, tmp_path / "out", which=pooled[0].id)
        (source,) = (tmp_path / "out").glob("*.py")
        assert "class Pooling(nn.Module):" in source.read_text(encoding="utf-8")
    assert "example_pooling" not in PATTERNS


@pytest.mark.parametrize("name", GENERATORS_BROKEN)
def test_a_broken_generator_fails(name: str) -> None:
    check, cls, text = GENERATORS_BROKEN[name]
    with as_generator(**{name: cls}), pytest.raises(AssertionError, match=text) as caught:
        check_generator(name, check)
    assert str(caught.value).startswith(f"generator {name}: {check}: ")


class Size(Proxy):
    """Logarithm of the parameters: right in every way but as a proxy. Source: none."""

    def score(self, architecture: Any, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        check_deadline(deadline, "the start")
        return self.metrics(math.log(plan(architecture).cost.params))

    def metrics(self, value: float) -> dict[str, float]:
        return {self.name: value}


class Fickle(Size):
    """Never the same. Source: none."""

    calls = itertools.count()

    def metrics(self, value: float) -> dict[str, float]:
        return {self.name: value + next(self.calls)}


class Nan(Size):
    """No number. Source: none."""

    def metrics(self, value: float) -> dict[str, float]:
        return {self.name: math.nan}


class Whole(Size):
    """A tensor in place of a float. Source: none."""

    def metrics(self, value: float) -> dict[str, float]:
        return {self.name: torch.tensor(value)}


class Nameless(Size):
    """The score under a name of its own. Source: none."""

    def metrics(self, value: float) -> dict[str, float]:
        return {"accuracy": value}


class Untidy(Size):
    """An extra that might be anybody's. Source: none."""

    def metrics(self, value: float) -> dict[str, float]:
        return {self.name: value, "loss": 1.0}


class Late(Size):
    """Has no eye for the time. Source: none."""

    def score(self, architecture: Any, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        return super().score(architecture, seed=seed)


class Loss(Size):
    """Less is better. Source: none."""

    maximise = False


class Narrow(Size):
    """Cannot be had of designs for 224 pixels. Source: none."""

    def score(self, architecture: Any, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        return super().score(reduce(architecture, resolution=8), seed=seed, deadline=deadline)


PROXIES_BROKEN = {
    "fickle": ("seed", Fickle, r"score with seed 3, a second time: got \{.*expected \{.*the seed decides all"),
    "nan": ("metrics", Nan, r"score: nan: got nan; expected a finite float, or ValueError"),
    "whole": ("metrics", Whole, r"score: whole: got tensor\(.*; expected a finite float"),
    "nameless": ("metrics", Nameless, r"got \['accuracy'\]; expected the score under the proxy's name, 'nameless'"),
    "untidy": ("metrics", Untidy, r"got the metric 'loss'; expected names that begin with 'untidy'"),
    "late": ("deadline", Late, r"score past its deadline: got a score; expected TimeoutError"),
    "loss": ("name", Loss, r"maximise: got False; expected True, because spaces say `maximise: proxy`"),
    "narrow": (
        "spaces",
        Narrow,
        r"score of a design of \w+ at the default fidelity: got DesignError\(.*expected a score",
    ),
}


def test_a_score_that_needs_no_images_and_no_seed_is_a_proxy() -> None:
    with as_proxy(size=Size):
        check_proxy("size")


@pytest.mark.parametrize("name", PROXIES_BROKEN)
def test_a_broken_proxy_fails(name: str) -> None:
    check, cls, text = PROXIES_BROKEN[name]
    with as_proxy(**{name: cls}), pytest.raises(AssertionError, match=text) as caught:
        check_proxy(name, check)
    assert str(caught.value).startswith(f"proxy {name}: {check}: ")


class Eager(Target):
    """PyTorch, one operator after the other; `changes` are what a fault changes."""

    def prepare(self, module: torch.nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        batch = self.batch_of(input_shape)
        module = self.ready(module)
        return lambda: module(batch)

    def batch_of(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(self.batch, *shape, generator=torch.Generator().manual_seed(0))

    def ready(self, module: torch.nn.Module) -> torch.nn.Module:
        return module.eval()


class Unready(Eager):
    """Prepares nothing."""

    def prepare(self, module: torch.nn.Module, input_shape: tuple[int, ...]) -> None:
        return None


class Mute(Eager):
    """Keeps the output to itself."""

    def prepare(self, module: torch.nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        run = super().prepare(module, input_shape)

        def call() -> None:
            run()

        return call


class Training(Eager):
    """Forgets the evaluation mode."""

    def ready(self, module: torch.nn.Module) -> torch.nn.Module:
        return module.requires_grad_(False)


class Single(Eager):
    """Runs one image, whatever the batch."""

    def batch_of(self, shape: tuple[int, ...]) -> torch.Tensor:
        return super().batch_of(shape)[:1]


class Zeros(Eager):
    """Runs on zeros."""

    def batch_of(self, shape: tuple[int, ...]) -> torch.Tensor:
        return super().batch_of(shape) * 1e-3


class Unlabelled(Eager):
    """Does not say how large the batch is."""

    def describe(self) -> dict:
        return {**super().describe(), "batch": 4, "cpu": {1}}


class Timeless(Eager):
    """A clock that nobody has."""

    clock = "sun"


class Aside(Eager):
    """Says that the calling thread does the work, and has another do it."""

    clock = "cpu"

    def prepare(self, module: torch.nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        run = super().prepare(module, input_shape)
        helper = ThreadPoolExecutor(1)
        return lambda: helper.submit(run).result()


class Mirrored(Eager):
    """Turns the images over where they lie in the other layout."""

    channels_last_is = (False, True)

    def batch_of(self, shape: tuple[int, ...]) -> torch.Tensor:
        return super().batch_of(shape).flip(-1 if self.channels_last else ())


class Backwards(Eager):
    """Times itself, and tells of negative times."""

    def prepare(self, module: torch.nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        run = super().prepare(module, input_shape)

        class Timed(SelfTimed):
            def __call__(self) -> object:
                return run()

            def elapsed_ms(self) -> float:
                return -1.0

        return Timed()


class Wordless(Eager):
    """Does not say why it is not here."""

    @classmethod
    def unavailable(cls) -> bool:
        return False


class Faraway(Unready):
    """Not on this machine; nothing that it would run is tried, its label and settings are."""

    @classmethod
    def unavailable(cls) -> str:
        return "it is far away"


TARGETS_BROKEN = {
    "unready": ("batch", Unready, r"prepare: got None; expected a callable that runs the module once"),
    "mute": ("batch", Mute, r"call: got None; expected the module's output"),
    "training": ("batch", Training, r"got different ones; expected one fixed batch|got zeros from a dropout"),
    "single": ("batch", Single, r"shape of the output at batch 3: got \(1, 2, 8, 8\); expected \(3, 2, 8, 8\)"),
    "zeros": ("batch", Zeros, r"batch: got numbers of mean .* and deviation 0.00; expected a standard normal batch"),
    "unlabelled": ("label", Unlabelled, r"TypeError: Object of type set is not JSON serializable"),
    "timeless": ("name", Timeless, r"clock: got 'sun'; expected one of wall, cpu"),
    "wordless": ("name", Wordless, r"unavailable: got False; expected a reason, or an empty text"),
    "aside": ("clock", Aside, r"clock cpu: got \d+% of the work in the calling thread; expected all of it"),
    "mirrored": ("layouts", Mirrored, r"channels_last: got other outputs; expected the same"),
    "backwards": ("batch", Backwards, r"elapsed_ms: got -1.0; expected milliseconds above 0"),
}


def test_a_target_that_is_right_passes() -> None:
    with as_target(eager=Eager):
        assert check_target("eager") == []


def test_what_a_target_elsewhere_would_run_is_left_out_with_the_reason() -> None:
    with as_target(faraway=Faraway):
        left_out = check_target("faraway")
        assert check_target("faraway", "label") == []
    names = ("batch", "design", "layouts", "clock")
    assert left_out == [f"target faraway: {name}: not made, because it is far away" for name in names]


@pytest.mark.parametrize("name", TARGETS_BROKEN)
def test_a_broken_target_fails(name: str) -> None:
    check, cls, text = TARGETS_BROKEN[name]
    with as_target(**{name: cls}), torch.random.fork_rng(), pytest.raises(AssertionError, match=text) as caught:
        check_target(name, check)
    assert str(caught.value).startswith(f"target {name}: {check}: ")
