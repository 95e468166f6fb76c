"""What every registered pattern must hold, on random options at random places: its formulas against its module."""

from __future__ import annotations

import importlib

import pytest
import torch
from pattern_cases import cases

from gas.costs import count_module
from gas.patterns import PATTERNS, Flow, Pattern
from gas.patterns.base import KINDS

WITH_MODULE = [name for name in PATTERNS if not PATTERNS.get(name).fused]


def shape_of(flow: Flow, batch: int) -> tuple[int, ...]:
    """Shape of the features that a flow describes."""
    if flow.layout == "map":
        return (batch, flow.dim, *flow.grid)
    return (batch, flow.dim) if flow.layout == "vector" else (batch, flow.tokens, flow.dim)


def test_the_registry_holds_a_pattern_of_every_kind() -> None:
    assert {PATTERNS.get(name).kind for name in PATTERNS} == set(KINDS)


@pytest.mark.parametrize("name", WITH_MODULE)
def test_formulas_equal_what_is_counted_on_the_module(name: str) -> None:
    pattern: Pattern = PATTERNS.get(name)
    for options, flow in cases(pattern, 40, seed=1):
        after = pattern.after(options, flow)
        with torch.device("meta"):
            module = pattern.part(options, flow).build()
        counted = count_module(module, shape_of(flow, 1)).cost
        assert pattern.cost(options, flow) == counted, (options, flow)
        out = module(torch.zeros(shape_of(flow, 3), device="meta"))
        assert tuple(out.shape) == shape_of(after, 3), (options, flow)


@pytest.mark.parametrize("name", WITH_MODULE)
def test_modules_compute_finite_numbers_and_pass_gradients_to_every_parameter(name: str) -> None:
    pattern: Pattern = PATTERNS.get(name)
    for options, flow in cases(pattern, 8, seed=2):
        torch.manual_seed(0)
        module = pattern.part(options, flow).build().eval()
        out = module(torch.randn(shape_of(flow, 2)))
        assert out.isfinite().all()
        (out * torch.randn_like(out)).sum().backward()
        for parameter_name, parameter in module.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("name", WITH_MODULE)
def test_images_of_a_batch_do_not_mix(name: str) -> None:
    pattern: Pattern = PATTERNS.get(name)
    for options, flow in cases(pattern, 8, seed=3):
        torch.manual_seed(0)
        module = pattern.part(options, flow).build().eval().double()
        batch = torch.randn(shape_of(flow, 3), dtype=torch.float64)
        with torch.inference_mode():
            assert torch.allclose(module(batch)[1:2], module(batch[1:2]), atol=1e-12)


@pytest.mark.parametrize("name", WITH_MODULE)
def test_building_twice_gives_modules_of_equal_structure(name: str) -> None:
    pattern: Pattern = PATTERNS.get(name)
    for options, flow in cases(pattern, 8, seed=4):
        first, second = (pattern.part(options, flow).build().state_dict() for _ in range(2))
        assert {k: v.shape for k, v in first.items()} == {k: v.shape for k, v in second.items()}
        settled = pattern.settle(options, flow)
        assert pattern.settle(settled, flow) == settled  # settled options settle to themselves
        assert pattern.cost(settled, flow) == pattern.cost(options, flow)


@pytest.mark.parametrize("name", list(PATTERNS))
def test_names_docstrings_and_sources(name: str) -> None:
    pattern = PATTERNS.get(name)
    module = importlib.import_module(type(pattern).__module__)
    assert pattern.name == name
    assert module.__name__ == f"gas.patterns.{name}"  # registered name = file name
    assert "Source:" in type(pattern).__doc__
    for option, info in pattern.Options.model_fields.items():
        description = info.description or next(
            (getattr(m, "description", None) for m in info.metadata if getattr(m, "description", None)), None
        )
        assert description or "description" in str(info.annotation), f"{name}.{option} has no description"


@pytest.mark.parametrize("name", list(PATTERNS))
def test_options_refuse_unknown_keys_and_wrong_types(name: str) -> None:
    import pydantic

    options = PATTERNS.get(name).Options
    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        options(no_such_option=1)
    for option in options.model_fields:
        with pytest.raises(pydantic.ValidationError):
            options(**{option: object()})
