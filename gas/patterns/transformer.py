"""The residual block: a token mixer and a channel mixer, each in a branch with its norm."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

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
from gas.patterns.folding import norm_into, scale_into
from gas.patterns.layouts import inner_part, inside
from gas.patterns.units import DropPath, LayerScale, NormKind, Residual, norm_part, with_identity


class TransformerBlock(nn.Module):
    """x + token_mixer(norm(x)), then x + channel_mixer(norm(x)); it may also widen and pool.

    Where the width changes, the shortcut is a linear layer on the normalised input; where queries are pooled, the
    shortcut is max-pooled alike.

    Args:
        norm1: Before the token mixer; None for none.
        token_mixer: Keeps the shape, but for widening and pooling; None for no such branch.
        norm2: Before the channel mixer; None for none.
        channel_mixer: Keeps the shape; None for no such branch.
        local: What stands before both: a module that keeps the shape; None for nothing.
        scale1: LayerScale of the token mixer's branch; None for none.
        scale2: LayerScale of the channel mixer's branch; None for none.
        shortcut: Linear layer (or 1 x 1 convolution) from the width read to the width written; None where they agree.
        pool: Tokens per pooled token (4 for Q-pooling over 2 x 2 groups; 1 for none).
        normed: The token mixer's result is added to the normalised input.
    """

    def __init__(
        self,
        norm1: nn.Module | None = None,
        token_mixer: nn.Module | None = None,
        norm2: nn.Module | None = None,
        channel_mixer: nn.Module | None = None,
        local: nn.Module | None = None,
        scale1: nn.Module | None = None,
        scale2: nn.Module | None = None,
        shortcut: nn.Module | None = None,
        pool: int = 1,
        normed: bool = False,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.normed = normed
        self.local = local
        self.norm1 = nn.Identity() if norm1 is None else norm1
        self.token_mixer = token_mixer
        self.scale1 = nn.Identity() if scale1 is None else scale1
        self.shortcut = shortcut
        self.norm2 = nn.Identity() if norm2 is None else norm2
        self.channel_mixer = channel_mixer
        self.scale2 = nn.Identity() if scale2 is None else scale2
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, dim) -> (B, N / pool, dim_out), or (B, dim, H, W) -> the same shape."""
        if self.local is not None:
            x = self.local(x)
        if self.token_mixer is not None:
            y = self.norm1(x)
            if self.normed:
                x = y
            if self.shortcut is not None:
                x = self.shortcut(y)
            if self.pool > 1:
                x = x.unflatten(1, (self.pool, -1)).amax(dim=1)
            x = x + self.drop_path(self.scale1(self.token_mixer(y)))
        if self.channel_mixer is not None:
            x = x + self.drop_path(self.scale2(self.channel_mixer(self.norm2(x))))
        return x

    def folded(self) -> nn.Module:
        """A token mixer that is one depthwise convolution takes its shortcut in, and becomes the local part.

        Batch norms and layer scales go into the layers beside them.
        """
        if isinstance(self.norm1, nn.Identity) and self.local is None and self.token_mixer is not None:
            self.local = with_identity(self.token_mixer, self.scale1)
            if self.local is not None:
                self.token_mixer, self.scale1 = None, nn.Identity()
        if self.token_mixer is not None:
            self.scale1 = scale_into(self.scale1, self.token_mixer)
            if not self.normed and self.shortcut is None:
                self.norm1 = norm_into(self.norm1, self.token_mixer)
        if self.channel_mixer is not None:
            self.scale2 = scale_into(self.scale2, self.channel_mixer)
            self.norm2 = norm_into(self.norm2, self.channel_mixer)
        alone = self.token_mixer is None and self.channel_mixer is None
        return self.local if alone and self.local is not None else self


class TransformerOptions(Options):
    """Options of transformer."""

    mixer: Annotated[Spec | None, Slot("token_mixer"), Field(description="token mixer; null for none")]
    mlp: Annotated[Spec | None, Slot("channel_mixer"), Field(description="channel mixer; null for none")] = Spec("mlp")
    local: Annotated[
        Spec | None, Slot("token_mixer"), Field(description="a token mixer in a branch of its own before both, no norm")
    ] = None
    norm: Annotated[NormKind, Field(description="norm before the token mixer")] = "layer"
    mlp_norm: (
        Annotated[NormKind, Field(description="norm before the channel mixer; null for the same as norm")] | None
    ) = None
    eps: Annotated[float, Field(gt=0, description="eps of the norms; null for the usual one of their kind")] | None = (
        None
    )
    layer_scale: (
        Annotated[float, Field(gt=0, description="layer scale of both branches begins with this; null for none")] | None
    ) = None
    shortcut: Annotated[
        Literal["input", "norm"],
        Field(description="what the token mixer's result is added to: the block's input, or the normalised one"),
    ] = "input"


@register("transformer")
class TransformerPattern(Pattern):
    """Pre-norm block of a token mixer and a channel mixer; it can change the width and pool the tokens.

    It works in the layout that most of its parts read; the others get conversions around them. Batch and group norms
    keep it on a map.

    Source: ViT, arXiv 2010.11929, section 3.1; as a frame for any mixers: MetaFormer, arXiv 2111.11418, section 3;
    widening and pooling: Hiera's public code. Differs: a block that pools without changing its width max-pools its
    input as the shortcut (Hiera has no such block). `shortcut: norm` is a quirk of ParFormer's public code, not of
    any paper.
    """

    kind = "block"
    Options = TransformerOptions
    class_tokens = True  # as far as its mixers do

    def reads(self, options: TransformerOptions, flow: Flow) -> tuple[str, ...]:
        """Every layout in which as few of its parts as possible need conversions; the token mixer's choice first."""
        parts = self._reading(options, flow)
        if not parts:
            raise DesignError("mixer", "got neither a token mixer nor a channel mixer; expected at least one")
        on_map = {options.norm if options.mixer else "none", self._mlp_norm(options) if options.mlp else "none"}
        wanted = {layout for _, layouts in parts for layout in layouts}
        if on_map & {"batch", "group"}:
            wanted = {"map"}
        # In a set or among windows nothing can be converted, and a pooled or unrolled block keeps its order.
        lacking = {layout: sum(layout not in reads for _, reads in parts) for layout in wanted}
        whole = [layout for layout in wanted if layout in ("map", "tokens") or not lacking[layout]]
        if flow.pool > 1:
            whole = [layout for layout in whole if not lacking[layout]]
        if not whole:
            return ()
        least = min(lacking[layout] for layout in whole)
        order = [*parts[0][1], *(layout for _, layouts in parts[1:] for layout in layouts), "map"]
        return tuple(dict.fromkeys(layout for layout in order if layout in whole and lacking[layout] == least))

    def groups(self, options: TransformerOptions, flow: Flow) -> int:
        """What the token mixer needs."""
        if options.mixer is None:
            return 0
        mixer, mixer_options = self._mixer(options, flow)
        return mixer.groups(mixer_options, flow)

    def settle(self, options: TransformerOptions, flow: Flow) -> TransformerOptions:
        """With a lag pending, the mixer keeps the scope before it and its own heads."""
        if options.mixer is None:
            return options
        in_force = _in_force(options.mixer, flow.scope if flow.lag else None)
        return options if in_force is options.mixer else options.model_copy(update={"mixer": in_force})

    def branches(self, options: TransformerOptions, flow: Flow) -> list[tuple[TransformerOptions, Flow]]:
        """The token mixer's branch (what stands before both belongs to it), then the channel mixer's."""
        if options.mixer is None or options.mlp is None:
            return [(options, flow)]
        tokens = options.model_copy(update={"mlp": None})
        channels = options.model_copy(update={"mixer": None, "local": None, "mlp_norm": self._mlp_norm(options)})
        return [(tokens, flow), (channels, self._mixed(options, flow))]

    def after(self, options: TransformerOptions, flow: Flow) -> Flow:
        """The mixer's flow; the scope remembered is the stage's own, even where this block lags."""
        out = flow
        self._norms_stand(options, flow)
        if options.mixer is None or options.local is not None:
            if (flow.dim, flow.pool) != (flow.target, 1):
                where = "mixer" if options.mixer is None else "local"
                raise DesignError(where, f"cannot change the width from {flow.dim} to {flow.target} or pool the tokens")
            out = out.but(lag=False, scope=None)
        if options.local is not None:
            self._inner("local", *nested(options.local), flow)
        if options.mixer is not None:
            mixer, mixer_options = self._mixer(options, flow)
            out = self._inner("mixer", mixer, mixer_options, flow).but(layout=flow.layout, **_places(flow))
            own, own_options = nested(options.mixer)
            out = out.but(scope=own.scope(own_options))
        if options.mlp is not None:
            self._inner("mlp", *nested(options.mlp), out)
        return out

    def cost(self, options: TransformerOptions, flow: Flow) -> Cost:
        """All branches with their norms and layer scales, and the widening shortcut."""
        total = Cost()
        if options.local is not None:
            total += self._inner_cost(options.local, flow)
        after = flow
        if options.mixer is not None:
            mixer, mixer_options = self._mixer(options, flow)
            total += mixer.cost(mixer_options, inside(mixer, mixer_options, flow))
            total += self._branch_cost(options, options.norm, flow.dim, flow.target)
            after = self._mixed(options, flow)
            if flow.dim != flow.target:
                total += linear_cost(flow.tokens, flow.dim, flow.target)
        if options.mlp is not None:
            total += self._inner_cost(options.mlp, after)
            total += self._branch_cost(options, self._mlp_norm(options), after.dim, after.dim)
        return total

    def part(self, options: TransformerOptions, flow: Flow) -> Part:
        """A TransformerBlock around its mixers."""
        args: dict[str, Any] = {}
        if options.local is not None:
            args["local"] = Part.of(Residual, branch=inner_part(*nested(options.local), flow))
        after = flow
        if options.mixer is not None:
            mixer, mixer_options = self._mixer(options, flow)
            args["norm1"] = norm_part(options.norm, flow.dim, flow.layout, options.eps)
            args["token_mixer"] = inner_part(mixer, mixer_options, flow)
            args["scale1"] = self._scale(options, flow.target, flow.layout)
            after = self._mixed(options, flow)
        if options.mlp is not None:
            args["norm2"] = norm_part(self._mlp_norm(options), after.dim, flow.layout, options.eps)
            args["channel_mixer"] = inner_part(*nested(options.mlp), after)
            args["scale2"] = self._scale(options, after.dim, flow.layout)
        if flow.dim != flow.target:
            args["shortcut"] = _widening(flow)
        args.update(pool=flow.pool**2, normed=options.shortcut == "norm")
        return Part.of(TransformerBlock, **{key: value for key, value in args.items() if value is not None})

    def shared_params(self, options: TransformerOptions, flow: Flow) -> int:
        """Those of the token mixer."""
        if options.mixer is None:
            return 0
        mixer, mixer_options = self._mixer(options, flow)
        return mixer.shared_params(mixer_options, inside(mixer, mixer_options, flow))

    def _reading(self, options: TransformerOptions, flow: Flow) -> list[tuple[str, tuple[str, ...]]]:
        """Per part, the token mixer first: its option's name and the layouts that it can read."""
        parts = [] if options.mixer is None else [("mixer", *self._mixer(options, flow))]
        parts += [(name, *nested(spec)) for name in ("local", "mlp") if (spec := getattr(options, name)) is not None]
        found = []
        for name, pattern, inner in parts:
            try:
                found.append((name, pattern.reads(inner, flow)))
            except DesignError as error:
                raise within(name, error) from error
        return found

    def _norms_stand(self, options: TransformerOptions, flow: Flow) -> None:
        norms = [("norm", options.norm)] if options.mixer is not None else []
        norms += [("mlp_norm", self._mlp_norm(options))] if options.mlp is not None else []
        for name, kind in norms:
            if kind in ("batch", "group") and flow.layout != "map":
                raise DesignError(name, f"a {kind} norm works on a map; got {flow.layout}")
            dim = flow.dim if name == "norm" else flow.target
            if kind == "group" and dim * flow.grid[0] * flow.grid[1] == 1:
                raise DesignError(name, "got a group norm over one channel at one place; expected more than one number")
        if options.mixer is not None and flow.dim != flow.target and options.norm == "none":
            raise DesignError("norm", "got none; a block that changes the width has its shortcut read the normed input")

    def _inner(self, name: str, pattern: Pattern, options: Any, flow: Flow) -> Flow:
        """What a part gives out, in its own layout."""
        try:
            return pattern.after(options, inside(pattern, options, flow))
        except DesignError as error:
            raise within(name, error) from error

    def _inner_cost(self, spec: Spec, flow: Flow) -> Cost:
        pattern, options = nested(spec)
        return pattern.cost(options, inside(pattern, options, flow))

    def _branch_cost(self, options: TransformerOptions, norm: str, dim: int, dim_out: int) -> Cost:
        """Norm and layer scale of one branch."""
        scale = Cost(0, dim_out if options.layer_scale is not None else 0)
        return scale if norm == "none" else scale + norm_cost(dim)

    def _scale(self, options: TransformerOptions, dim: int, layout: str) -> Part | None:
        if options.layer_scale is None:
            return None
        return Part.of(LayerScale, dim=dim, init=options.layer_scale, spatial=layout == "map")

    def _mlp_norm(self, options: TransformerOptions) -> str:
        return options.norm if options.mlp_norm is None else options.mlp_norm

    def _mixed(self, options: TransformerOptions, flow: Flow) -> Flow:
        """What the channel mixer's branch is given."""
        mixer, mixer_options = self._mixer(options, flow)
        return mixer.after(mixer_options, inside(mixer, mixer_options, flow)).but(layout=flow.layout)

    def _mixer(self, options: TransformerOptions, flow: Flow) -> tuple[Pattern, Any]:
        """The token mixer in force at `flow`."""
        return nested(_in_force(options.mixer, flow.scope if flow.lag else None))


def _places(flow: Flow) -> dict[str, int]:
    """What a conversion there and back leaves as it was."""
    return {"extra": flow.extra, "window": flow.window}


def _widening(flow: Flow) -> Part:
    """The shortcut of a block that changes the width."""
    if flow.layout == "map":
        return Part.of(nn.Conv2d, in_channels=flow.dim, out_channels=flow.target, kernel_size=1)
    return Part.of(nn.Linear, in_features=flow.dim, out_features=flow.target)


@lru_cache(maxsize=100_000)
def _in_force(mixer: Spec, scope: Spec | None) -> Spec:
    """The mixer with the scope that lags behind, where there is one and the mixer has any."""
    pattern, options = nested(mixer)
    return mixer if scope is None or pattern.scope(options) is None else pattern.with_scope(options, scope)
