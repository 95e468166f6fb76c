"""Two token mixers beside one another, each on its own half of the channels."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Slot, mixed, nested, register, within
from gas.patterns.layouts import inner_part, inside


class ParallelMixer(nn.Module):
    """Splits the channels, mixes each share in its own way, and puts them together again.

    Args:
        widths: Channels of the first share and of the second.
        first_mixer: Keeps the shape.
        second_mixer: Keeps the shape.
        axis: Where the channels stand: 1 in a map, -1 in tokens.
    """

    def __init__(self, widths: list[int], first_mixer: nn.Module, second_mixer: nn.Module, axis: int) -> None:
        super().__init__()
        self.widths = list(widths)
        self.first_mixer = first_mixer
        self.second_mixer = second_mixer
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) or (B, N, C) -> the same shape."""
        x, y = x.split(self.widths, dim=self.axis)
        return torch.cat([self.first_mixer(x), self.second_mixer(y)], dim=self.axis)


class ParallelMixerOptions(Options):
    """Options of parallel_mixer."""

    first: Annotated[Spec, Slot("token_mixer"), Field(description="token mixer of the first channels")]
    second: Annotated[Spec, Slot("token_mixer"), Field(description="token mixer of the others")]
    share: Annotated[float, Field(gt=0, lt=1, description="share of the first channels, rounded down")] = 0.5


@register("parallel_mixer")
class ParallelMixerPattern(Pattern):
    """A local and a global token mixer at once, at the price of neither on all channels.

    It works in the layout that both mixers read, or else the one reads; the other gets conversions around it.

    Source: ParFormer, arXiv 2403.15004, section 3: attention and separable convolution, half the channels each.
    """

    kind = "token_mixer"
    Options = ParallelMixerOptions
    class_tokens = True  # as far as its mixers do

    def reads(self, options: ParallelMixerOptions, flow: Flow) -> tuple[str, ...]:
        """Map or tokens, or both; first what more of the mixers read."""
        reading = []
        for name, _, pattern, inner in self._mixers(options):
            try:
                reading += [layout for layout in pattern.reads(inner, flow) if layout in ("map", "tokens")]
            except DesignError as error:
                raise within(name, error) from error
        most = max(reading.count("map"), reading.count("tokens"))
        return tuple(layout for layout in ("tokens", "map") if reading.count(layout) == most)

    def after(self, options: ParallelMixerOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        out = mixed(flow)
        if min(self._widths(options, flow)) < 1:
            raise DesignError("share", f"got {options.share}; expected one that leaves each mixer some of {flow.dim}")
        for name, number, pattern, inner in self._mixers(options):
            share = self._share(options, flow, number)
            try:
                read = inside(pattern, inner, share)
                got = pattern.after(inner, read)
                if got.layout != read.layout:
                    raise DesignError("", f"turns {read.layout} into {got.layout}; expected one that keeps the layout")
                out = out if got.unshifted == flow.unshifted else out.but(unshifted=got.unshifted)
            except DesignError as error:
                raise within(name, error) from error
        return out

    def cost(self, options: ParallelMixerOptions, flow: Flow) -> Cost:
        """Both mixers."""
        total = Cost()
        for _, number, pattern, inner in self._mixers(options):
            total += pattern.cost(inner, inside(pattern, inner, self._share(options, flow, number)))
        return total

    def part(self, options: ParallelMixerOptions, flow: Flow) -> Part:
        """A ParallelMixer."""
        first, second = (
            inner_part(pattern, inner, self._share(options, flow, number))
            for _, number, pattern, inner in self._mixers(options)
        )
        axis = 1 if flow.layout == "map" else -1
        return Part.of(
            ParallelMixer, widths=self._widths(options, flow), first_mixer=first, second_mixer=second, axis=axis
        )

    def _mixers(self, options: ParallelMixerOptions) -> list[tuple[str, int, Pattern, object]]:
        """Per mixer: its option, its number, and itself."""
        return [("first", 0, *nested(options.first)), ("second", 1, *nested(options.second))]

    def _widths(self, options: ParallelMixerOptions, flow: Flow) -> list[int]:
        first = int(flow.dim * options.share)
        return [first, flow.dim - first]

    def _share(self, options: ParallelMixerOptions, flow: Flow, number: int) -> Flow:
        width = self._widths(options, flow)[number]
        return flow.but(dim=width, target=width)
