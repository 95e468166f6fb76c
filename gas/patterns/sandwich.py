"""A block in which one token mixer stands between cheap local and channel mixing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Slot, nested, register
from gas.patterns.units import NormKind

LOCAL = Spec("depthwise_conv")
MLP = Spec.of("conv_mlp", ratio=2.0, act="relu")


class SandwichOptions(Options):
    """Options of sandwich."""

    mixer: Annotated[Spec | None, Slot("token_mixer"), Field(description="token mixer in the middle; null for none")]
    mlp: Annotated[
        Spec | None, Slot("channel_mixer"), Field(description="channel mixer of each pair; null for none")
    ] = MLP
    local: Annotated[Spec | None, Slot("token_mixer"), Field(description="token mixer of each pair; null for none")] = (
        LOCAL
    )
    pairs: Annotated[int, Field(gt=0, description="pairs of local and mlp before the mixer, and as many behind it")] = 1
    norm: Annotated[NormKind, Field(description="norm before each mixer and mlp")] = "none"


@register("sandwich")
class SandwichPattern(Pattern):
    """x + local(x), x + mlp(x), then x + mixer(x), then again x + local(x), x + mlp(x).

    Each part is a `transformer` that lacks the others, so all mixers of that block work here too.

    Source: EfficientViT, arXiv 2305.07027, section 3.1 (the "sandwich layout" with N feed-forward layers on each side)
    and 3.2 (the local interaction before each of them).
    """

    kind = "block"
    Options = SandwichOptions
    class_tokens = True  # as far as its mixers do

    def reads(self, options: SandwichOptions, flow: Flow) -> tuple[str, ...]:
        """Every layout in which as few of its parts as possible need conversions."""
        if options.mixer is None and options.local is None and options.mlp is None:
            raise DesignError("mixer", "got neither mixer, local nor mlp; expected at least one")
        parts = {"mixer": options.mixer, "local": options.local, "mlp": options.mlp}
        whole = Spec.of("transformer", norm=options.norm, **parts)
        pattern, inner = nested(whole)
        return pattern.reads(inner, flow)

    def after(self, options: SandwichOptions, flow: Flow) -> Flow:
        """Shapes stay, but for what the mixer does."""
        for spec in _sandwich(options):
            pattern, inner = nested(spec)
            flow = pattern.after(inner, flow)
        return flow

    def cost(self, options: SandwichOptions, flow: Flow) -> Cost:
        """All branches."""
        return walk(_sandwich(options), flow)[0]

    def part(self, options: SandwichOptions, flow: Flow) -> Part:
        """A sequence of TransformerBlocks."""
        return Part(nn.Sequential, {"": walk(_sandwich(options), flow)[1]})


def pair(local: Spec | None, mlp: Spec | None, norm: str = "none") -> list[Spec]:
    """x + local(x), x + mlp(x) as a block; none where there is neither."""
    both = Spec.of("transformer", mixer=None, local=local, mlp=mlp, norm=norm)
    return [] if local is None and mlp is None else [both]


def walk(specs: list[Spec], flow: Flow) -> tuple[Cost, list[Part], Flow]:
    """Blocks behind one another: what they cost, their parts, and the flow behind them."""
    total, parts = Cost(), []
    for spec in specs:
        pattern, options = nested(spec)
        total += pattern.cost(options, flow)
        parts.append(pattern.part(options, flow))
        flow = pattern.after(options, flow)
    return total, parts, flow


def _sandwich(options: SandwichOptions) -> list[Spec]:
    side = pair(options.local, options.mlp, options.norm) * options.pairs
    middle = Spec.of("transformer", mixer=options.mixer, mlp=None, norm=options.norm)
    return [*side, *([] if options.mixer is None else [middle]), *side]
