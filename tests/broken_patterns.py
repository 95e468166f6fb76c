"""Patterns that are wrong in one way each, with what the checks must say of them."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pydantic
import torch
from pydantic import Field
from torch import Tensor, nn

from gas.errors import DesignError
from gas.patterns import Cost, Flow, Options, Part
from gas.patterns.base import Pattern
from gas.patterns.mlp import Mlp, MlpPattern
from gas.patterns.q_pool import QPoolPattern


class MacsOff(MlpPattern):
    """One macs too many. Source: none."""

    def cost(self, options: Any, flow: Flow) -> Cost:
        return super().cost(options, flow) + Cost(macs=1)


class ParamsOff(MlpPattern):
    """A bias forgotten. Source: none."""

    def cost(self, options: Any, flow: Flow) -> Cost:
        return super().cost(options, flow) + Cost(params=-flow.dim)


class WrongDim(MlpPattern):
    """Promises one channel more than it gives out. Source: none."""

    def after(self, options: Any, flow: Flow) -> Flow:
        return super().after(options, flow).but(dim=flow.dim + 1)


class Mixing(Mlp):
    """Takes the mean over the batch away."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return super().forward(x - x.mean(dim=0))


class Idle(Mlp):
    """Has a parameter that nothing uses."""

    def __init__(self, dim: int, hidden: int, act: str) -> None:
        super().__init__(dim, hidden, act)
        self.unused = nn.Parameter(torch.zeros(dim))


class Foreign(Mlp):
    """Needs a package that an exported file has not."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return super().forward(x) * float(np.sqrt(2.0))


class Infinite(Mlp):
    """Divides by nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return super().forward(x) / 0.0


def mlp_with(module: type[nn.Module]) -> type[Pattern]:
    """The MLP's pattern with another module."""

    class Changed(MlpPattern):
        """An MLP with a fault. Source: none."""

        def part(self, options: Any, flow: Flow) -> Part:
            return Part(module, super().part(options, flow).args)

    return Changed


class Drawing(MlpPattern):
    """Draws when its cost is asked for. Source: none."""

    def cost(self, options: Any, flow: Flow) -> Cost:
        torch.rand(1)
        return super().cost(options, flow)


class Silent(MlpPattern):
    """An option that says nothing of itself. Source: none."""

    class Options(Options):
        """Options."""

        ratio: Annotated[float, Field(gt=0, le=16)] = 4.0


class Loose(MlpPattern):
    """Options that take any key. Source: none."""

    class Options(pydantic.BaseModel):
        """Options."""

        ratio: Annotated[float, Field(gt=0, le=16, description="hidden width")] = 4.0


class Sourceless(MlpPattern):
    """It does not say where it comes from."""


class Fallen(MlpPattern):
    """Fails. Source: none."""

    def part(self, options: Any, flow: Flow) -> Part:
        raise RuntimeError("out of luck")


class Nowhere(MlpPattern):
    """Can stand at no place. Source: none."""

    def after(self, options: Any, flow: Flow) -> Flow:
        raise DesignError("ratio", "is never right")


class Same(nn.Module):
    """Gives back what it gets."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return 1.0 * x


class Lagging(Pattern):
    """A token mixer that leaves width and lag to nobody. Source: none."""

    kind = "token_mixer"

    class Options(Options):
        """None."""

    def reads(self, options: Any, flow: Flow) -> tuple[str, ...]:
        return ("tokens",)

    def after(self, options: Any, flow: Flow) -> Flow:
        return flow

    def cost(self, options: Any, flow: Flow) -> Cost:
        return Cost()

    def part(self, options: Any, flow: Flow) -> Part:
        return Part.of(Same)


class Unscaled(Lagging):
    """A block that halves the grid and keeps that to itself. Source: none."""

    kind = "block"

    def reads(self, options: Any, flow: Flow) -> tuple[str, ...]:
        return ("map",)

    def after(self, options: Any, flow: Flow) -> Flow:
        if flow.grid[0] % 2 or flow.grid[1] % 2:
            raise DesignError("", "an odd grid")
        return flow.but(grid=(flow.grid[0] // 2, flow.grid[1] // 2))

    def part(self, options: Any, flow: Flow) -> Part:
        return Part.of(nn.AvgPool2d, kernel_size=2)


class Unmade(QPoolPattern):
    """An entry that says it has a module, and leaves the widening to the block after it. Source: none."""

    fused = False


class Fused(MlpPattern):
    """A channel mixer that believes another part carries it out. Source: none."""

    fused = True


# Check that fails, the class, and what it says.
BROKEN = {
    "macs_off": ("cost", MacsOff, r"cost at MlpOptions.*got Cost\(macs=\d+.*expected Cost.*as counted on the module"),
    "params_off": ("cost", ParamsOff, r"cost at .*got Cost\(macs=\d+, params=\d+\); expected Cost"),
    "wrong_dim": (
        "cost",
        WrongDim,
        r"shape of the output at .*got \(3, \d+, \d+\); expected \(3, \d+, \d+\), as",
    ),
    "wrong_flow": ("flow", WrongDim, r"after at .*got Flow.*expected Flow.*a channel mixer leaves the flow as it is"),
    "mixing": (
        "images",
        mlp_with(Mixing),
        r"image in a batch at .*got another output, by .*than alone; expected",
    ),
    "idle": ("gradients", mlp_with(Idle), r"gradient of unused at .*got none; expected a finite one"),
    "infinite": ("gradients", mlp_with(Infinite), r"output at .*not finite; expected finite ones"),
    "foreign": ("export", mlp_with(Foreign), r"ExportError: .*'numpy'; expected torch or the standard library"),
    "drawing": ("cost", Drawing, r"random state: got draws from the global generators"),
    "silent": ("options", Silent, r"options.ratio: got no description; expected Field\(description"),
    "loose": ("options", Loose, r"options.no_such_option: got .* accepted; expected no option of this name"),
    "sourceless": ("name", Sourceless, r"docstring: got no `Source:`; expected the paper"),
    "fallen": ("structure", Fallen, r"RuntimeError: out of luck"),
    "nowhere": ("flow", Nowhere, r"got 0 that can stand; expected 40; the last refusal: ratio: is never right"),
    "lagging": ("flow", Lagging, r"got \(\d+, .*; expected \(\d+, .*, 1, False\), \(dim, grid, pool, lag\)"),
    "unscaled": ("flow", Unscaled, r"\(grid x scale\): a pattern that shrinks the grid raises `scale`"),
    "unmade": ("flow", Unmade, r"\(dim, pool\): an entry with a module widens itself"),
    "fused": ("name", Fused, r"fused: got True for a channel_mixer; only an entry may be"),
}
