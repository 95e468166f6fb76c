"""ConvNeXt's block: a token mixer, a norm and a channel mixer in a row, in one residual branch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from gas.architecture import Spec
from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, Slot, mixed, nested, norm_cost, register, within
from gas.patterns.folding import norm_into, scale_into
from gas.patterns.layouts import convert, inner_part, inside
from gas.patterns.units import DropPath, LayerScale, NormKind, norm_part


class ConvNextBlock(nn.Module):
    """x + scale(channel_mixer(norm(token_mixer(x)))).

    Args:
        token_mixer: Keeps the shape.
        channel_mixer: Keeps the shape.
        norm: Between the two; None for none.
        scale: LayerScale; None for none.
    """

    def __init__(
        self,
        token_mixer: nn.Module,
        channel_mixer: nn.Module,
        norm: nn.Module | None = None,
        scale: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.token_mixer = token_mixer
        self.norm = nn.Identity() if norm is None else norm
        self.channel_mixer = channel_mixer
        self.scale = nn.Identity() if scale is None else scale
        self.drop_path = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) or (B, N, C) -> the same shape."""
        return x + self.drop_path(self.scale(self.channel_mixer(self.norm(self.token_mixer(x)))))

    def folded(self) -> nn.Module:
        """Layer scale and batch norm go into the channel mixer."""
        self.scale = scale_into(self.scale, self.channel_mixer)
        self.norm = norm_into(self.norm, self.channel_mixer)
        return self


class ConvNextOptions(Options):
    """Options of convnext."""

    mixer: Annotated[Spec, Slot("token_mixer"), Field(description="token mixer, with no norm before it")] = Spec.of(
        "depthwise_conv", kernel=7, norm=False
    )
    mlp: Annotated[Spec, Slot("channel_mixer"), Field(description="channel mixer")] = Spec("mlp")
    norm: Annotated[NormKind, Field(description="norm between the two")] = "layer"
    eps: Annotated[float, Field(gt=0, description="eps of the norm; null for the usual one of its kind")] | None = None
    layer_scale: (
        Annotated[float, Field(gt=0, description="layer scale of the branch begins with this; null for none")] | None
    ) = 1e-6


@register("convnext")
class ConvNextPattern(Pattern):
    """One residual branch: token mixer (a 7 x 7 depthwise convolution), layer norm, channel mixer, layer scale.

    Source: ConvNeXt, arXiv 2201.03545, section 2.6; the convolutional encoder of EdgeNeXt, arXiv 2206.10589, section
    3.1, is the same with other kernels, and its SDTA encoder the same with `sdta` as token mixer.
    """

    kind = "block"
    Options = ConvNextOptions
    class_tokens = True  # as far as its mixers do

    def reads(self, options: ConvNextOptions, flow: Flow) -> tuple[str, ...]:
        """What the token mixer reads, as far as the channel mixer can be brought into it."""
        mixer, mlp = nested(options.mixer), nested(options.mlp)
        try:
            layouts = mixer[0].reads(mixer[1], flow)
        except DesignError as error:
            raise within("mixer", error) from error
        if options.norm in ("batch", "group"):
            return ("map",) if {"map", "tokens"} & set(layouts) else ()
        also = mlp[0].reads(mlp[1], flow)
        return tuple(layout for layout in layouts if layout in ("map", "tokens", *also))

    def groups(self, options: ConvNextOptions, flow: Flow) -> int:
        """What the token mixer needs."""
        mixer, mixer_options = nested(options.mixer)
        return mixer.groups(mixer_options, flow)

    def after(self, options: ConvNextOptions, flow: Flow) -> Flow:
        """Shapes stay."""
        out = mixed(flow)
        if options.norm == "group" and flow.dim * flow.grid[0] * flow.grid[1] == 1:
            raise DesignError("norm", "got a group norm over one channel at one place; expected more than one number")
        for name in ("mixer", "mlp"):
            try:
                pattern, inner = nested(getattr(options, name))
                read = inside(pattern, inner, flow)
                got = pattern.after(inner, read)
                if got.layout != read.layout:
                    raise DesignError("", f"turns {read.layout} into {got.layout}; expected one that keeps the layout")
                out = out.but(unshifted=got.unshifted) if name == "mixer" else out
            except DesignError as error:
                raise within(name, error) from error
        return out

    def cost(self, options: ConvNextOptions, flow: Flow) -> Cost:
        """Both mixers, norm and layer scale."""
        total = Cost(0, flow.dim if options.layer_scale is not None else 0)
        total += norm_cost(flow.dim) if options.norm != "none" else Cost()
        for spec in (options.mixer, options.mlp):
            pattern, inner = nested(spec)
            total += pattern.cost(inner, inside(pattern, inner, flow))
        return total

    def part(self, options: ConvNextOptions, flow: Flow) -> Part:
        """A ConvNextBlock; a layer norm stands where the channel mixer reads, within its conversions."""
        args: dict[str, Any] = {"token_mixer": inner_part(*nested(options.mixer), flow)}
        pattern, inner = nested(options.mlp)
        read = inside(pattern, inner, flow)
        if options.norm == "layer" and read.layout != flow.layout:
            norm = norm_part("layer", flow.dim, read.layout, options.eps)
            parts = [*convert(flow, read.layout), norm, pattern.part(inner, read), *convert(read, flow.layout)]
            args["channel_mixer"] = Part(nn.Sequential, {"": parts})
        else:
            args["channel_mixer"] = inner_part(pattern, inner, flow)
            args["norm"] = norm_part(options.norm, flow.dim, flow.layout, options.eps)
        if options.layer_scale is not None:
            args["scale"] = Part.of(LayerScale, dim=flow.dim, init=options.layer_scale, spatial=flow.layout == "map")
        return Part.of(ConvNextBlock, **{name: value for name, value in args.items() if value is not None})
