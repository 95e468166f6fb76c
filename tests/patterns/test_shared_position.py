"""shared_position: one position in all blocks, however the module is copied; the rest is in the contract test."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gas.architecture import Architecture, Spec
from gas.costs import count_module, traced_count
from gas.errors import DesignError
from gas.exports import module_source
from gas.model import build, fuse
from gas.patterns import Flow
from gas.patterns.base import nested
from gas.plan import plan
from gas.proxies.reduce import reduce
from gas.space import design_from_text

FLOW = Flow(8, (4, 4), "tokens", target=8)
BIAS = 2 * 16 * 4  # heads x tokens x keys
DESIGN = """
input: {resolution: 32}
stem: {pattern: conv_embed, dim: 16}
stages:
  - dim: 16
    blocks:
      - pattern: shared_position
        depth: 1
        layers: 3
        block:
          pattern: transformer
          local: {pattern: depthwise_conv}
          mixer: {pattern: reduced_attention, heads: 2, stride: 2}
head: {pattern: classifier, classes: 10}
"""


def block(**mixer: Any) -> Spec:
    return Spec.of("transformer", mixer=Spec.of("reduced_attention", **{"heads": 2, "stride": 2, **mixer}))


def shared(layers: int = 3, of: Spec | None = None) -> Spec:
    return Spec.of("shared_position", layers=layers, block=of or block())


def made(spec: Spec, flow: Flow = FLOW) -> nn.Module:
    """The module with weights that are nowhere zero, in evaluation mode."""
    pattern, options = nested(spec)
    pattern.after(options, flow)
    torch.manual_seed(0)
    module = pattern.part(options, flow).build().double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def image() -> Tensor:
    return torch.randn(2, 16, 8, dtype=torch.double, generator=torch.Generator().manual_seed(1))


def biases(module: nn.Module) -> list[nn.Parameter]:
    return [m.bias for m in module.modules() if hasattr(m, "shared")]


def is_one(found: list[nn.Parameter], count: int) -> bool:
    return len(found) == count and all(bias is found[0] for bias in found)


def test_equals_blocks_that_stand_alone_and_hold_the_first_ones_position() -> None:
    module = made(shared())
    pattern, options = nested(block())
    alone = [pattern.part(options, FLOW).build().double().eval() for _ in range(3)]
    for own, held in zip(alone, module, strict=True):
        state = {name: tensor for name, tensor in held.state_dict().items() if name != "token_mixer.bias"}
        own.load_state_dict({**state, "token_mixer.bias": module[0].token_mixer.bias})
    x = image()
    with torch.inference_mode():
        wanted = x
        for own in alone:
            wanted = own(wanted)
        torch.testing.assert_close(module(x), wanted, rtol=0, atol=0)


def test_all_else_is_each_blocks_own() -> None:
    module = made(shared())
    names = [{name for name, _ in held.named_parameters()} for held in module]
    assert names[0] == names[1] == names[2]
    for name in names[0] - {"token_mixer.bias"}:
        assert len({id(held.get_parameter(name)) for held in module}) == 3
    assert is_one(biases(module), 3)


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_the_position_is_counted_once(layers: int) -> None:
    pattern, options = nested(shared(layers))
    alone, inner = nested(block())
    assert pattern.cost(options, FLOW).params == layers * (alone.cost(inner, FLOW).params - BIAS) + BIAS
    assert pattern.cost(options, FLOW).macs == layers * alone.cost(inner, FLOW).macs
    with torch.device("meta"):
        module = pattern.part(options, FLOW).build()
    assert count_module(module, (1, *FLOW.shape)).cost == pattern.cost(options, FLOW)


def test_a_position_in_the_local_branch_is_not_shared() -> None:
    spec = shared(2, Spec.of("transformer", mixer=block().options["mixer"], local=block().options["mixer"]))
    pattern, options = nested(spec)
    found = biases(made(spec))
    assert len({id(bias) for bias in found}) == 3
    assert pattern.cost(options, FLOW).params == sum(p.numel() for p in made(spec).parameters())


def test_its_gradient_is_the_sum_over_the_blocks() -> None:
    module, x = made(shared(2)), image()
    module(x).square().sum().backward()
    apart = copy.deepcopy(module)
    apart[1].token_mixer.bias = nn.Parameter(apart[1].token_mixer.bias.detach().clone())
    apart.zero_grad()
    apart(x).square().sum().backward()
    wanted = sum(held.token_mixer.bias.grad for held in apart)
    assert all(held.token_mixer.bias.grad.abs().max() > 0 for held in apart)
    torch.testing.assert_close(module[0].token_mixer.bias.grad, wanted)


def test_copied_folded_and_moved_it_stays_one() -> None:
    module = made(shared(3, block(stride=1)))
    for other in (copy.deepcopy(module), fuse(module), copy.deepcopy(module).float()):
        assert is_one(biases(other), 3)
        assert biases(other)[0] is not biases(module)[0]
    folded = fuse(module)
    with torch.inference_mode():
        torch.testing.assert_close(folded(image()), module(image()))
    other = made(shared(3, block(stride=1)))
    with torch.no_grad():
        biases(other)[0].zero_()
    other.load_state_dict(module.state_dict())
    assert is_one(biases(other), 3)
    assert torch.equal(biases(other)[0], biases(module)[0])


def design() -> Architecture:
    return design_from_text(DESIGN)


def test_the_written_source_shares_it_too() -> None:
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(module_source(design(), "tiny_cmt", folded=plan(design()).cost), "tiny_cmt.py", "exec"), names)
    exported, network = names["tiny_cmt"](), build(design(), seed=0)
    assert is_one(biases(exported), 3)
    assert sum(p.numel() for p in exported.parameters()) == plan(design()).cost.params
    assert exported.state_dict().keys() == network.state_dict().keys()


def test_a_traced_network_computes_the_same() -> None:
    network, x = build(design(), seed=0).eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        program = torch.export.export(network, (x,)).module()
        torch.testing.assert_close(program(x), network(x))


def test_at_reduced_width_heads_and_layers_stay() -> None:
    small = reduce(design(), resolution=16, width=0.5)
    held = small.stages[0].blocks[0].block
    assert small.dims == (8,)
    assert (held.options["layers"], held.options["block"].options["mixer"].options["heads"]) == (3, 2)
    assert plan(small).cost == traced_count(small).cost
    assert plan(small).cost.params < plan(design()).cost.params


@pytest.mark.parametrize(
    ("of", "flow", "problem"),
    [
        (block(position="none"), FLOW, r"block\.mixer: got reduced_attention with no position to share; expected"),
        (
            Spec.of("transformer", mixer=Spec.of("global_attention", heads=2)),
            FLOW,
            r"block\.mixer: got global_attention with no position",
        ),
        (Spec.of("transformer", mixer=None), FLOW, "block: got transformer with no position to share"),
        (shared(2), FLOW, "block: got shared_position with no position to share"),
        (block(stride=3), FLOW, r"block\.mixer\.stride: got 3; expected a divisor"),
        (block(), FLOW.but(target=16), r"block\.mixer: keeps the width"),
        (block(), FLOW.but(extra=1), "block.*: a class token"),
    ],
)
def test_what_cannot_stand_is_refused(of: Spec, flow: Flow, problem: str) -> None:
    pattern, options = nested(shared(2, of))
    with pytest.raises(DesignError, match=problem):
        pattern.after(options, flow)


def test_one_layer_may_be_any_block() -> None:
    flow = FLOW.but(target=16)
    spec = Spec.of("transformer", mixer=Spec.of("mask_unit_attention", mask_unit=2, heads=2))
    (pattern, options), (alone, inner) = nested(shared(1, spec)), nested(spec)
    unrolled = flow.but(layout="unrolled")
    assert pattern.reads(options, flow) == alone.reads(inner, flow)
    assert pattern.groups(options, unrolled) == alone.groups(inner, unrolled) == 1
    assert pattern.after(options, unrolled) == alone.after(inner, unrolled)
    assert pattern.cost(options, unrolled) == alone.cost(inner, unrolled)
