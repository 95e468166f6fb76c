"""The pre-norm transformer block: a token mixer and a channel mixer, each in a residual branch."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns.base import (
    Cost,
    Flow,
    Options,
    Part,
    Pattern,
    Slot,
    linear_cost,
    nested,
    norm_cost,
    register,
    within,
)


class DropPath(nn.Module):
    """Stochastic depth: in training, a residual branch is left out for some of the images.

    Source: Huang et al., arXiv 1603.09382.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape with the batch first."""
        if not self.training or self.rate == 0.0:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * keep / (1.0 - self.rate)


class TransformerBlock(nn.Module):
    """x + token_mixer(norm(x)), then x + channel_mixer(norm(x)); it may also widen and pool.

    Where the width changes, the shortcut is a linear layer on the normalised input; where queries are pooled, the
    shortcut is max-pooled alike.

    Args:
        dim: Width read.
        dim_out: Width written.
        token_mixer: Module (B, N, dim) -> (B, N / pool, dim_out).
        channel_mixer: Module (B, N, dim_out) -> (B, N, dim_out).
        pool: Tokens per pooled token (4 for Q-pooling over 2 x 2 groups; 1 for none).
    """

    def __init__(self, dim: int, dim_out: int, token_mixer: nn.Module, channel_mixer: nn.Module, pool: int = 1) -> None:
        super().__init__()
        self.pool = pool
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.token_mixer = token_mixer
        self.shortcut = nn.Linear(dim, dim_out) if dim != dim_out else None
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.channel_mixer = channel_mixer
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, dim) -> (B, N / pool, dim_out)."""
        y = self.norm1(x)
        if self.shortcut is not None:
            x = self.shortcut(y)
        if self.pool > 1:
            x = x.unflatten(1, (self.pool, -1)).amax(dim=1)
        x = x + self.drop_path(self.token_mixer(y))
        return x + self.drop_path(self.channel_mixer(self.norm2(x)))


class TransformerOptions(Options):
    """Options of transformer."""

    mixer: Annotated[Spec, Slot("token_mixer"), Field(description="token mixer")]
    mlp: Annotated[Spec, Slot("channel_mixer"), Field(description="channel mixer")] = Spec("mlp")


@register("transformer")
class TransformerPattern(Pattern):
    """Pre-norm transformer block that can change the width and pool the tokens.

    Source: ViT, arXiv 2010.11929, section 3.1; widening and pooling: Hiera's public code. Differs: a block that pools
    without changing its width max-pools its input as the shortcut (Hiera has no such block).
    """

    kind = "block"
    Options = TransformerOptions

    def reads(self, options: TransformerOptions, flow: Flow) -> tuple[str, ...]:
        """What both mixers can read."""
        mixer, mixer_options = self._mixer(options, flow)
        channel, channel_options = nested(options.mlp)
        both = channel.reads(channel_options, flow)
        try:
            return tuple(layout for layout in mixer.reads(mixer_options, flow) if layout in both)
        except DesignError as error:
            raise within("mixer", error) from error

    def groups(self, options: TransformerOptions, flow: Flow) -> int:
        """What the token mixer needs."""
        mixer, mixer_options = self._mixer(options, flow)
        return mixer.groups(mixer_options, flow)

    def settle(self, options: TransformerOptions, flow: Flow) -> TransformerOptions:
        """With a lag pending, the mixer keeps the scope before it and its own heads."""
        in_force = _in_force(options.mixer, flow.scope if flow.lag else None)
        return options if in_force is options.mixer else options.model_copy(update={"mixer": in_force})

    def after(self, options: TransformerOptions, flow: Flow) -> Flow:
        """The mixer's flow; the scope remembered is the stage's own, even where this block lags."""
        mixer, mixer_options = self._mixer(options, flow)
        try:
            out = mixer.after(mixer_options, flow)
        except DesignError as error:
            raise within("mixer", error) from error
        channel, channel_options = nested(options.mlp)
        try:
            out = channel.after(channel_options, out)
        except DesignError as error:
            raise within("mlp", error) from error
        own, own_options = nested(options.mixer)
        return out.but(scope=own.scope(own_options))

    def cost(self, options: TransformerOptions, flow: Flow) -> Cost:
        """Both mixers, both norms and the widening shortcut."""
        mixer, mixer_options = self._mixer(options, flow)
        channel, channel_options = nested(options.mlp)
        total = norm_cost(flow.dim) + norm_cost(flow.target) + mixer.cost(mixer_options, flow)
        total = total + channel.cost(channel_options, mixer.after(mixer_options, flow))
        return total + linear_cost(flow.tokens, flow.dim, flow.target) if flow.dim != flow.target else total

    def part(self, options: TransformerOptions, flow: Flow) -> Part:
        """A TransformerBlock around its mixers."""
        mixer, mixer_options = self._mixer(options, flow)
        channel, channel_options = nested(options.mlp)
        return Part.of(
            TransformerBlock,
            dim=flow.dim,
            dim_out=flow.target,
            token_mixer=mixer.part(mixer_options, flow),
            channel_mixer=channel.part(channel_options, mixer.after(mixer_options, flow)),
            pool=flow.pool**2,
        )

    def _mixer(self, options: TransformerOptions, flow: Flow) -> tuple[Pattern, Any]:
        """The token mixer in force at `flow`."""
        return nested(_in_force(options.mixer, flow.scope if flow.lag else None))


@lru_cache(maxsize=100_000)
def _in_force(mixer: Spec, scope: Spec | None) -> Spec:
    """The mixer with the scope that lags behind, where there is one and the mixer has any."""
    pattern, options = nested(mixer)
    return mixer if scope is None or pattern.scope(options) is None else pattern.with_scope(options, scope)
