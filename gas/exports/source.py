"""Writes a design as one Python file that imports torch alone: the classes it uses, and a function that builds it.

The classes are the very source of the pattern files (they stand on torch alone by rule), the function's body is the
Part tree that `gas.model.build` would build, written out. It is the network to train. Where something in it folds for
inference, the classes say how, and a second function gives the network with its weights, folded.
"""

from __future__ import annotations

import ast
import keyword
import re
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gas.architecture import Architecture
from gas.errors import ExportError, SettingError
from gas.exports.definitions import Definitions
from gas.exports.expression import WIDTH, Verbatim, class_name, classes, node
from gas.exports.facts import fact_lines, folded_words, human
from gas.exports.sides import sides_text, standing, with_side
from gas.exports.variants import FeatureMaps, check_arguments
from gas.exports.weights import load_weights
from gas.model import fuse, initialise, network_part, set_drop_path, with_classes
from gas.patterns.base import Cost, Part
from gas.plan import plan

LEGEND = (
    "Shapes: B batch, N tokens, C channels, H and W sides in tokens or pixels, K heads, D channels per head, R side of "
    "the image. Layouts: map (B, C, H, W); tokens (B, N, C), row by row; unrolled tokens (B, N, C), ordered so that "
    "the members of every later 2 x 2 group lie N/4 apart; windows (B, N, C), window by window; set (B, N, C), the "
    "tokens that a pruning has left."
)
FOLDING = ("folded", "first", "last")  # what classes have for `fuse` alone: see gas.patterns.folding
SIDES = "SIDES = {sides}  # of the image, pixels, for which `{name}` can be built"
FACTORY = '''def {name}(
    num_classes: int = {classes},
    drop_path: float = 0.0,
    img_size: int = {side},
    features_only: bool = False,
    out_indices: Sequence[int] = {stages},
) -> Network:
    """{title}

    Args:
        num_classes: Number of classes; 0 for pooled features in place of class scores.
        drop_path: Stochastic depth in training: rises linearly from 0 at the first block to this rate at the last.
        img_size: Side of the image, pixels: one of SIDES.
        features_only: Whether the model gives a list of maps (B, C, H, W) in place of class scores.
        out_indices: The stages whose maps these are, counted from 0; `feature_info` of the model goes with them.
    """
    check_arguments(num_classes, img_size, SIDES)
    model = {body}
    initialise(model)
    if num_classes == 0:
{away}
    set_drop_path(model, drop_path)
    return FeatureMaps(model, out_indices) if features_only else model'''
LOADER = '''def load(
    weights: str | os.PathLike,
    num_classes: int = {classes},
    folded: bool = True,
    img_size: int = {side},
) -> nn.Module:
    """The network with weights from a file, in evaluation mode.

    Args:
        weights: A safetensors file of the network that `{name}` builds: the form to train.
        num_classes: Number of classes in the file.
        folded: Whether norms and branches are folded into the layers beside them, as it is deployed: the outputs stay
            the same but for rounding. False for the network as it was trained.
        img_size: Side of the image, pixels; positions learned for another are resized.
    """
    model = {name}(num_classes, img_size=img_size)
    load_weights(model, weights)
    return fuse(model) if folded else model.eval()'''


def module_source(
    architecture: Architecture,
    name: str,
    *,
    facts: Mapping[str, Any] | None = None,
    weights: str = "",
    folded: Cost | None = None,
) -> str:
    """The text of the file.

    Args:
        architecture: The design.
        name: Name of the function that builds it; see `identifier`.
        facts: What is known of the design: see `gas.exports.facts`.
        weights: What the weights beside the file are, in a few words; empty where there are none.
        folded: What the design costs once folded, for a file that gives this form too; None to leave it out.

    Raises:
        DesignError: The design cannot be built.
        ExportError: One of its classes needs more than torch.
    """
    body, last, own_classes, sides = _body(architecture)
    away = "\n".join(f"        {layer} = nn.Identity()" for layer in last)
    used = [cls for cls in classes(body) if class_name(cls) == cls.__name__]
    wanted = [*used, FeatureMaps, check_arguments, initialise, set_drop_path, load_weights]
    definitions = Definitions([*wanted, fuse]) if folded else Definitions(wanted, without=FOLDING)
    definitions.add_import("nn", "torch", "nn")
    if name in definitions.names | {"SIDES"} | ({"load"} if folded else set()):
        raise SettingError(f"name: got {name!r}; expected a name that no part of the file has; try {name + '_net'!r}")
    words = {"name": name, "classes": own_classes, "side": architecture.resolution, "title": _title(architecture)}
    words |= {"stages": _stages(architecture), "body": node(body).text(4, 8), "away": away}
    factories = [_sides(sides, name), FACTORY.format(**words), *([LOADER.format(**words)] if folded else [])]
    head = f'"""{_docstring(architecture, name, facts or {}, weights, folded)}\n"""'
    opening = [head, "from __future__ import annotations", definitions.import_block(), *definitions.constants()]
    text = "\n\n\n".join(["\n\n".join(opening), *definitions.bodies(), *factories]) + "\n"
    _inspect(text, name)
    return text


def identifier(name: str) -> str:
    """A name made fit for a Python module and function: letters, digits and underscores, not taken otherwise."""
    plain = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_").lower()
    if not plain or plain[0].isdigit():
        plain = f"design_{plain}".rstrip("_")
    taken = keyword.iskeyword(plain) or plain in sys.stdlib_module_names or plain in ("torch", "gas", "nn")
    return f"{plain}_net" if taken else plain


def last_layers(architecture: Architecture) -> list[str]:
    """Names of the linear layers that give the scores, as `head.linear`.

    They are seen from what differs between the design with 1 class and with 2: no head is known by name.
    """
    with torch.device("meta"):
        heads = [network_part(with_classes(architecture, n)).args["head"].build() for n in (1, 2)]
    shapes = [{name: p.shape for name, p in head.named_parameters()} for head in heads]
    differing = {name.rpartition(".")[0] for name in shapes[0] if shapes[0][name] != shapes[1][name]}
    if not differing or not all(isinstance(heads[0].get_submodule(name), nn.Linear) for name in differing):
        raise ExportError(f"export: the layers {sorted(differing)} depend on the classes; expected linear layers")
    return [f"head.{name}" if name else "head" for name in sorted(differing)]


def _body(architecture: Architecture) -> tuple[Part, list[str], int, tuple[int, ...]]:
    """The Part tree with `num_classes` and `img_size` in their places, the last linear layers as expressions, the
    number of classes, the sides at which the design stands.

    Which argument counts the classes is seen from what differs between the design with 1 class and with 2.
    """
    one, two = (network_part(with_classes(architecture, n)) for n in (1, 2))
    steps = [[f"[{p}]" if p.isdigit() else f".{p}" for p in name.split(".")] for name in last_layers(architecture)]
    trees = standing(architecture)
    body = with_side(_merged(one, two), list(trees.values()), tuple(trees))
    return body, [f"model{''.join(path)}" for path in steps], _own_classes(architecture), tuple(trees)


def _sides(sides: tuple[int, ...], name: str) -> str:
    text = SIDES.format(sides=sides_text(sides), name=name)
    if len(text) <= WIDTH:
        return text
    # As a formatter lays out what does not fit on a line: an element on each.
    rows = "".join(f"    {side},\n" for side in sorted(sides))
    return f"# Of the image, pixels, for which `{name}` can be built.\nSIDES = (\n{rows})"


def _stages(architecture: Architecture) -> str:
    return repr(tuple(range(len(architecture.stages))))


def _own_classes(architecture: Architecture) -> int:
    return plan(architecture).placed[-1].options.classes


def _merged(one: Any, two: Any) -> Any:
    """The tree `one`, with what differs from `two` written as the number of classes."""
    match one:
        case Part():
            return Part(one.cls, {k: _merged(v, two.args[k]) for k, v in one.args.items()})
        case list():
            return [_merged(a, b) for a, b in zip(one, two, strict=True)]
        case _:
            # The layer is made for at least one class, and put away where there shall be none.
            return one if one == two else Verbatim("max(num_classes, 1)")


def _title(architecture: Architecture) -> str:
    dims, depths = (" ".join(map(str, v)) for v in (architecture.dims, architecture.depths))
    side = architecture.resolution
    return f"Widths {dims}, depths {depths}, for images of {side} x {side} pixels."


def _docstring(
    architecture: Architecture, name: str, facts: Mapping[str, Any], weights: str, folded: Cost | None
) -> str:
    cost = plan(architecture).cost
    side, channels = architecture.resolution, architecture.channels
    lines = [
        f"{name}: a hierarchical vision backbone, {human(cost.params)} parameters, {human(cost.macs)} multiply-adds.",
        "",
        f"Input        (B, {channels}, {side}, {side})",
        f"Params       {cost.params:,}",
        f"Macs         {cost.macs:,} (multiply-adds for one image: the papers' FLOPs)",
        *([f"Folded       {folded_words(folded)}"] if folded else []),
        f"Design       {architecture.id}",
        *(f"{key:<12} {value}" for key, value in fact_lines(facts)),
        *([f"Weights      {weights}"] if weights else []),
        "",
        "Written by gas (generative architecture search), which this file does not need: it stands on torch alone.",
        "",
        f"    model = {name}(num_classes=10)",
        "    scores = model(images)  # (B, 10)",
        "    maps = model.forward_features(images)  # one (B, C, H, W) map per stage; see model.feature_info",
        f"    backbone = {name}(features_only=True, out_indices=(-1,))  # gives a list of maps",
        *([f'    load_weights(model, "{name}.safetensors", strict=False)'] if weights else []),
        *([f'    model = load("{name}.safetensors")  # folded: the form to deploy, not to train'] if folded else []),
        "",
        LEGEND,
    ]
    wrapped = [w for line in lines for w in (_wrap(line) if line else [""])]
    return "\n".join(wrapped).replace("\\", "\\\\").replace('"""', "'''")


def _wrap(line: str) -> list[str]:
    if len(line) <= WIDTH:
        return [line]
    indent = " " * 13 if re.match(r"\w[\w ]{0,11} {2,}\S|\S{12} ", line) else ""
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=True)


def _inspect(text: str, name: str) -> None:
    """Our own check of the text: it compiles, and imports torch and the standard library alone."""
    tree = ast.parse(text)
    compile(tree, f"{name}.py", "exec")
    for found in ast.walk(tree):
        modules = [a.name for a in found.names] if isinstance(found, ast.Import) else []
        modules += [found.module or "."] if isinstance(found, ast.ImportFrom) else []
        for module in modules:
            if module.partition(".")[0] not in sys.stdlib_module_names | {"torch"}:
                raise ExportError(f"{name}.py: imports {module!r}; expected torch and the standard library alone")
