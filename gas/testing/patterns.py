"""What every registered pattern must hold: its formulas against its module, on random options, places and designs."""

from __future__ import annotations

import json
from typing import Any

import pydantic
import torch

from gas.architecture import Architecture
from gas.costs import count_module, traced_count
from gas.costs.pieces import design_pieces
from gas.exports import module_source
from gas.model import build, fuse
from gas.patterns import PATTERNS, Cost, Flow, Pattern
from gas.patterns.base import KINDS
from gas.plan import plan
from gas.space import design_from_text
from gas.space.schema import json_schema
from gas.testing.cases import cases, designs
from gas.testing.claims import claim, documented, is_file_of, run_checks, same


def check_pattern(name: str, *only: str) -> None:
    """Checks a registered pattern: name, options, flow, costs, module, and whole designs that hold it.

    Args:
        name: Its registered name.
        only: Names of PATTERN_CHECKS to run; all where none is given.

    Raises:
        AssertionError: One line for each check that fails: what is wrong, where, and what was expected.
        UnknownNameError: No pattern, or no check, has the name.
    """
    run_checks(f"pattern {name}", PATTERNS.get(name), PATTERN_CHECKS, only)


def _name(pattern: Pattern) -> None:
    """Registered name, file and kind agree; the docstring names its source."""
    same("name", PATTERNS.get(pattern.name), pattern)
    is_file_of(type(pattern), "gas.patterns", pattern.name)
    claim(pattern.kind in KINDS, f"kind: got {pattern.kind!r}; expected one of {', '.join(KINDS)}")
    documented(type(pattern))
    claim("Source:" in type(pattern).__doc__, "docstring: got no `Source:`; expected the paper or `Source: none`")
    claim(not pattern.fused or pattern.kind == "entry", f"fused: got True for a {pattern.kind}; only an entry may be")


def _options(pattern: Pattern) -> None:
    """Every option is described; unknown keys and wrong types are refused."""
    options = pattern.Options
    for option, info in options.model_fields.items():
        # Where the description stands inside a union it is found in the annotation only.
        described = info.description or "description" in str(info.annotation)
        claim(described, f"options.{option}: got no description; expected Field(description=...)")
        _refused(options, option)
    _refused(options, "no_such_option")


def _refused(options: type[pydantic.BaseModel], option: str) -> None:
    unlike = object()  # of no type that an option can have
    try:
        options(**{option: unlike})
    except pydantic.ValidationError as error:
        if any(found["loc"][:1] == (option,) for found in error.errors()):
            return
    known = "a value of its declared type" if option in options.model_fields else "no option of this name"
    raise AssertionError(
        f"options.{option}: got {unlike!r} accepted; expected {known} (derive from gas.patterns.Options)"
    )


def _flow(pattern: Pattern) -> None:
    """What goes out is what the next part may rely on."""
    for options, flow in cases(pattern, 40, seed=5):
        after, where = pattern.after(options, flow), f"after at {options!r}, {flow}"
        if pattern.kind == "token_mixer":
            got = (after.dim, after.grid, after.pool, after.lag)
            text = "(dim, grid, pool, lag): the target width, the pending pooling done, no lag (or raise DesignError)"
            same(where, got, (flow.target, flow.pooled_grid, 1, False), text)
        if pattern.kind == "channel_mixer":
            same(where, after, flow, "because a channel mixer leaves the flow as it is")
        if pattern.kind == "entry" and not pattern.fused:
            same(where, (after.dim, after.pool), (flow.target, 1), "(dim, pool): an entry with a module widens itself")
        if pattern.kind in ("entry", "block", "token_mixer") and after.layout != "set":
            # An entry's pooling counts once it is done. A strided convolution rounds an odd grid up.
            text = "(grid x scale): a pattern that shrinks the grid raises `scale` as much"
            for side, came in zip(after.grid, flow.grid, strict=True):
                claim(
                    0 <= side * after.scale - came * flow.scale < after.scale, f"{where}: got {after}; expected {text}"
                )
        if pattern.kind == "head":
            same(where, after.layout, "vector")


def _cost(pattern: Pattern) -> None:
    """Formulas equal what is counted on the module, exactly; the output has the shape that `after` says."""
    if pattern.fused:
        for options, flow in cases(pattern, 40, seed=1):
            same(f"cost at {options!r}, {flow}", pattern.cost(options, flow), Cost(), "because it has no module")
        return
    for options, flow in cases(pattern, 40, seed=1):
        at = f"at {options!r}, {flow}"
        with torch.device("meta"):
            module = pattern.part(options, flow).build()
        out = module(torch.zeros(_shape(flow, 3), device="meta"))
        same(f"shape of the output {at}", tuple(out.shape), _shape(pattern.after(options, flow), 3), "as `after` says")
        counted = count_module(module, _shape(flow, 1)).cost
        same(f"cost {at}", pattern.cost(options, flow), counted, "as counted on the module")


def _gradients(pattern: Pattern) -> None:
    """Finite numbers come out, and gradients reach the input and every parameter."""
    for options, flow in cases(pattern, 8, seed=2) if not pattern.fused else ():
        at = f"at {options!r}, {flow}"
        module, x = _seeded(pattern, options, flow, batch=2)
        out = module(x.requires_grad_())
        claim(out.isfinite().all(), f"output {at}: got numbers that are not finite; expected finite ones")
        claim(out.requires_grad, f"output {at}: got one without gradients; expected one that depends on the input")
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        for name, tensor in {**dict(module.named_parameters()), "the input": x}.items():
            got = "none" if tensor.grad is None else "one that is not finite"
            fine = tensor.grad is not None and tensor.grad.isfinite().all()
            claim(fine, f"gradient of {name} {at}: got {got}; expected a finite one")


def _images(pattern: Pattern) -> None:
    """Images of a batch do not mix."""
    for options, flow in cases(pattern, 8, seed=3) if not pattern.fused else ():
        module, x = _seeded(pattern, options, flow, batch=3)
        module, x = module.double(), x.double()
        with torch.inference_mode():
            gap = (module(x)[1:2] - module(x[1:2])).abs().max().item()
        text = f"got another output, by {gap:.3g}, than alone; expected the same within 1e-12"
        claim(gap <= 1e-12, f"image in a batch at {options!r}, {flow}: {text}")


def _folding(pattern: Pattern) -> None:
    """Folded for inference it computes the same, whatever statistics its norms have gathered."""
    for options, flow in cases(pattern, 8, seed=9) if not pattern.fused else ():
        module, x = _seeded(pattern, options, flow, batch=2)
        module, x = module.double(), x.double()
        _gather_statistics(module)
        with torch.inference_mode():
            wanted, got = module(x), fuse(module)(x)
        gap = ((got - wanted).abs().max() / wanted.abs().max().clamp_min(1.0)).item()
        text = f"got an output that differs by {gap:.3g} relative; expected the same within 1e-9"
        claim(gap <= 1e-9, f"folded at {options!r}, {flow}: {text}")


def _gather_statistics(module: torch.nn.Module) -> None:
    """Random weights and statistics for every batch norm, as if it had been trained."""
    generator = torch.Generator().manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.5)


def _branches(pattern: Pattern) -> None:
    """Its branches, one after another, compute and cost what it does."""
    for options, flow in cases(pattern, 8, seed=10) if not pattern.fused else ():
        at = f"at {options!r}, {flow}"
        branches = pattern.branches(options, flow)
        total = sum((pattern.cost(inner, came) for inner, came in branches), Cost())
        same(f"cost of the branches {at}", total, pattern.cost(options, flow), "as the whole part's")
        module, x = _seeded(pattern, options, flow, batch=2)
        weights, out = module.state_dict(), x
        for inner, came in branches:
            branch, _ = _seeded(pattern, inner, came, batch=2)
            branch.load_state_dict({name: weights.get(name, value) for name, value in branch.state_dict().items()})
            same(f"shape that a branch is given {at}", tuple(out.shape), _shape(came, 2), "as its flow says")
            with torch.inference_mode():
                out = branch(out)
        with torch.inference_mode():
            gap = (out - module(x)).abs().max().item()
        claim(gap <= 1e-5, f"branches {at}: got an output that differs by {gap:.3g}; expected the part's within 1e-5")


def _structure(pattern: Pattern) -> None:
    """Building twice gives equal structures; settled options settle to themselves and cost the same."""
    for options, flow in cases(pattern, 8, seed=4):
        at = f"at {options!r}, {flow}"
        settled = pattern.settle(options, flow)
        same(f"settle of settled options {at}", pattern.settle(settled, flow), settled)
        same(f"cost of settled options {at}", pattern.cost(settled, flow), pattern.cost(options, flow))
        if not pattern.fused:
            first, second = (_seeded(pattern, options, flow, batch=1)[0].state_dict() for _ in range(2))
            shapes = [{k: tuple(v.shape) for k, v in made.items()} for made in (first, second)]
            same(f"parameters of a second module {at}", shapes[1], shapes[0])


def _designs(pattern: Pattern) -> None:
    """Whole designs: what is counted on the network, class scores and maps of the promised shapes, timed parts."""
    for design in designs(pattern, 6, seed=6):
        where = f"design {design.to_json()}"
        same(f"{where}: cost", plan(design).cost, traced_count(design).cost, "as counted on the built network")
        network = build(design, classes=3, seed=0).eval()
        x = _noise((2, 3, design.resolution, design.resolution))
        with torch.inference_mode():
            scores, maps = network(x), network.forward_features(x)
        same(f"{where}: scores", tuple(scores.shape), (2, 3))
        wanted = [(2, end.dim, *end.grid) for end in plan(design).ends]
        same(f"{where}: maps", [tuple(m.shape) for m in maps], wanted)
        claim(scores.isfinite().all(), f"{where}: scores: got {scores.tolist()}; expected finite numbers")
        # The latency table knows a part by its class and plain arguments.
        claim(design_pieces(design), f"{where}: latency: got no pieces to time")


def _language(pattern: Pattern) -> None:
    """A design file may name it: the loader reads it, twice to the same, and editors complete it."""
    for design in designs(pattern, 6, seed=7):
        read = design_from_text(json.dumps(design.to_dict()))
        same(f"design {design.to_json()} as a file: cost", plan(read).cost, plan(design).cost)
        same(f"design {design.to_json()} read again", design_from_text(json.dumps(read.to_dict())), read)
    forms = json_schema()["$defs"][pattern.kind]["anyOf"]
    named = [form["properties"]["pattern"]["const"] for form in forms if "properties" in form]
    claim(pattern.name in named, f"schema: got {named} for a {pattern.kind}; expected {pattern.name!r} among them")


def _export(pattern: Pattern) -> None:
    """A design exported as source stands on torch alone and computes the same, folded too."""
    for design in designs(pattern, 3, seed=8):
        where = f"export of {design.to_json()}"
        network = build(design, seed=0).eval()
        _gather_statistics(network)
        names = _exported(design)
        with torch.random.fork_rng(devices=[]):
            exported = names["exported_design"]()
        exported.load_state_dict(network.state_dict())
        x = _noise((2, 3, design.resolution, design.resolution))
        with torch.inference_mode():
            gap = (network(x) - exported.eval()(x)).abs().max().item()
            claim(gap <= 1e-6, f"{where}: got scores that differ by {gap:.3g}; expected the design's within 1e-6")
            wanted, got = network.double()(x.double()), names["fuse"](exported.double())(x.double())
        gap = ((got - wanted).abs().max() / wanted.abs().max().clamp_min(1.0)).item()
        claim(gap <= 1e-9, f"{where}: got folded scores that differ by {gap:.3g}; expected the design's within 1e-9")


def _exported(design: Architecture) -> dict[str, Any]:
    """What a file that gives both forms defines."""
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(module_source(design, "exported_design", folded=plan(design).cost), "exported.py", "exec"), names)
    return names


def _seeded(pattern: Pattern, options: Any, flow: Flow, batch: int) -> tuple[torch.nn.Module, torch.Tensor]:
    """The module with seeded weights, in evaluation mode, and an input for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return pattern.part(options, flow).build().eval(), _noise(_shape(flow, batch))


def _noise(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _shape(flow: Flow, batch: int) -> tuple[int, ...]:
    """Shape of the features that a flow describes."""
    return (batch, *flow.shape)


PATTERN_CHECKS = {
    "name": _name,
    "options": _options,
    "flow": _flow,
    "cost": _cost,
    "gradients": _gradients,
    "images": _images,
    "folding": _folding,
    "branches": _branches,
    "structure": _structure,
    "designs": _designs,
    "language": _language,
    "export": _export,
}
"""The checks by name, in the order in which they run."""
