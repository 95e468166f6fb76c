"""Writes the small file that makes an exported design known to timm."""

from __future__ import annotations

from gas.architecture import Architecture
from gas.exports.source import last_layers
from gas.exports.weights import POSITIONS
from gas.plan import plan

SUFFIX = "_timm"
TEXT = '''"""{name} for timm: once this file is imported, `timm.create_model({registered})` builds it.

    import {name}_timm

    model = timm.create_model({name}_timm.REGISTERED, num_classes=10, drop_path_rate=0.1)

Where timm has a model of this name already, it is registered as `gas_{name}`; REGISTERED says which.
The network is in `{name}.py`, which has to be importable.
`pretrained=True` loads `{name}.safetensors` from beside this file.
It has what timm's training script asks for, such as `group_matcher` (for layer-wise learning rates) and
`no_weight_decay`.

Shapes: B batch, C channels, H and W sides of a map, R side of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models import build_model_with_cfg, generate_default_cfgs, model_entrypoint, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import {name} as design

TAKEN = timm.is_model("{name}") and model_entrypoint("{name}").__module__ != __name__
REGISTERED = "gas_{name}" if TAKEN else "{name}"
LAST = {last}  # the layers that give the scores
CONFIG = {{
    "custom_load": True,
    "num_classes": {classes},
    "input_size": ({channels}, {side}, {side}),
    "pool_size": None,
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "mean": {mean},
    "std": {std},
    "fixed_input_size": {fixed},
    "first_conv": None,
    "classifier": {classifier},
    "license": "apache-2.0",
}}


class Scores(nn.Linear):
    """The layer that gives the scores; drops some of what it reads in training, and can be passed by.

    Args:
        dim: Channels read.
        classes: Number of classes.
        rate: Share that is dropped.
    """

    def __init__(self, dim: int, classes: int, rate: float = 0.0) -> None:
        super().__init__(dim, classes)
        nn.init.trunc_normal_(self.weight, std=0.02)
        nn.init.zeros_(self.bias)
        self.rate = rate
        self.passed = False

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) -> (B, classes), or what came in where it is passed by."""
        x = F.dropout(x, self.rate, self.training)
        return x if self.passed else super().forward(x)


class TimmNetwork(design.Network):
    """The network with the methods that timm's scripts ask for; parameters keep their names.

    Args:
        num_classes: Number of classes; 0 for pooled features in place of scores.
        in_chans: Channels of the image: {channels}.
        drop_rate: Dropout before the scores.
        drop_path_rate: Stochastic depth at the last block.
        img_size: Side of the image, pixels: one of `SIDES` in `{name}.py`.
        global_pool: Of no account: the design has its own pooling.
    """

    def __init__(
        self,
        num_classes: int = {classes},
        in_chans: int = {channels},
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        img_size: int | Sequence[int] = {side},
        global_pool: str = "",
    ) -> None:
        if in_chans != {channels}:
            raise ValueError(f"in_chans: got {{in_chans}}; expected {channels}")
        sizes = {{img_size}} if isinstance(img_size, int) else set(img_size)
        if len(sizes) != 1:
            raise ValueError(f"img_size: got {{img_size}}; expected one side, for images are square")
        net = design.{name}(max(num_classes, 1), drop_path_rate, sizes.pop())
        super().__init__(net.stem, list(net.stages), list(net.maps), net.head, net.feature_info, net.resolution)
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        self.num_features = self.head_hidden_size = self.get_submodule(LAST[0]).in_features
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """New layers for so many classes; none for 0."""
        self.num_classes = num_classes
        for name in LAST:
            parent, _, own = name.rpartition(".")
            last = Scores(self.num_features, num_classes, self.drop_rate) if num_classes else nn.Identity()
            setattr(self.get_submodule(parent), own, last)

    def get_classifier(self) -> nn.Module:
        """The layer that gives the scores."""
        return self.get_submodule(LAST[0])

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, {channels}, R, R) -> what the last stage gives, in its own layout."""
        x = self._stem(x)
        for stage in self.stages:
            x = self._through(stage, x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """What `forward_features` gives -> (B, classes), or (B, C) before the scores."""
        for name in LAST:
            self.get_submodule(name).passed = pre_logits
        return self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, {channels}, R, R) -> (B, classes)."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """One map (B, C, H, W) for each of `indices`; before them what the last stage gives, unless they alone."""
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt: got {{output_fmt!r}}; expected 'NCHW'")
        wanted, last = feature_take_indices(len(self.stages), indices)
        x, found = self._stem(x), []
        for i, stage in enumerate(self.stages):
            if intermediates_only and i > last:
                break
            x = self._through(stage, x)
            if i in wanted:
                found.append(self.maps[i](x))
        return found if intermediates_only else (x, found)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] | None = None, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Leaves out what no wanted map needs."""
        if any(info["reduction"] is None for info in self.feature_info):
            raise ValueError("features_only: tokens are pruned, so that there are no maps; expected class scores")
        wanted, last = feature_take_indices(len(self.stages), indices)
        self.stages, self.maps = self.stages[: last + 1], self.maps[: last + 1]
        if prune_head:
            self.head, self.num_classes = nn.Identity(), 0
        return wanted

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which parameters belong to which layer, from the stem on: stages, or their blocks."""
        stages = r"^stages\\.(\\d+)"
        return {{"stem": r"^stem", "blocks": stages if coarse else [(stages + r"\\.(\\d+)\\.", None), (stages, (0,))]}}

    def no_weight_decay(self) -> set[str]:
        """Positions and tokens."""
        kept = {positions}
        return {{name for name, p in self.named_parameters() if p.ndim > 1 and name.rpartition(".")[2] in kept}}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether training forgets what a stage computed and computes it again when it is wanted."""
        self.grad_checkpointing = enable

    def load_pretrained(self, path: str) -> None:
        """Loads a safetensors file; a head for other classes is left as it is."""
        left_out = design.load_weights(self, path, strict=False)
        strange = [name for name in left_out if not name.startswith(("head.", "stages.", "maps."))]
        strange += [name for name in left_out if name.startswith("stages.") and name in self.state_dict()]
        if strange:
            raise ValueError(f"{{path}}: does not fit the model at {{', '.join(strange[:5])}}")

    def _through(self, stage: nn.Module, x: Tensor) -> Tensor:
        again = self.grad_checkpointing and torch.is_grad_enabled()
        return checkpoint(stage, x, use_reentrant=False) if again else stage(x)


def _create(variant: str, pretrained: bool = False, **options: Any) -> nn.Module:
    features = {{"feature_cls": "getter", "out_indices": {stages}}}
    if pretrained:
        options["pretrained_cfg_overlay"] = {{
            "file": str(Path(__file__).with_name("{name}.safetensors")),
            **(options.get("pretrained_cfg_overlay") or {{}}),
        }}
    return build_model_with_cfg(TimmNetwork, variant, pretrained, feature_cfg=features, **options)


def {name}(pretrained: bool = False, **options: Any) -> nn.Module:
    """{title}"""
    return _create(REGISTERED, pretrained, **options)


default_cfgs = generate_default_cfgs({{REGISTERED: CONFIG}})
{name}.__name__ = REGISTERED
register_model({name})
'''
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as timm's scripts take them


def timm_source(architecture: Architecture, name: str, *, sides: int) -> str:
    """The text of NAME_timm.py.

    Args:
        architecture: The design.
        name: Name of the module that holds it, and of its function.
        sides: At how many sides of the image it stands.
    """
    last = last_layers(architecture)
    colours = architecture.channels == len(MEAN)
    dims, depths = (" ".join(map(str, v)) for v in (architecture.dims, architecture.depths))
    quoted = [f'"{layer}"' for layer in last]
    return TEXT.format(
        name=name,
        registered=f'"{name}"',
        last=f"({', '.join(quoted)}{',' if len(last) == 1 else ''})",
        classifier=quoted[0] if len(last) == 1 else f"({', '.join(quoted)})",
        classes=plan(architecture).placed[-1].options.classes,
        channels=architecture.channels,
        side=architecture.resolution,
        mean=MEAN if colours else (0.5,) * architecture.channels,
        std=STD if colours else (0.5,) * architecture.channels,
        fixed=sides == 1,
        positions="{" + ", ".join(f'"{word}"' for word in (*POSITIONS, "token")) + "}",
        stages=repr(tuple(range(len(architecture.stages)))),
        title=f"Widths {dims}, depths {depths}, for images of {architecture.resolution} x {architecture.resolution}.",
    )
