"""Has exported files looked at in a fresh Python process that cannot import gas, and compares what they give with what
the design gives as gas builds it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gas.errors import ExportError
from gas.exports import checker
from gas.exports.formats import SUFFIXES

TOLERANCE = 1e-6
FOLDED_TOLERANCE = 1e-4  # relative: folding multiplies weights beforehand, so float32 rounds elsewhere
INT8_LIMIT = 0.5  # of the scores' norm: beyond it the file does not compute the design any more
LIMIT_S = 600
IMAGES = max(checker.BATCHES)

Run = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Differences:
    """How far an exported file is from the design as gas builds it, over scores and feature maps.

    Args:
        trained: Greatest absolute difference of the form to train; as a rule 0, for it does the same in the same order.
        folded: Greatest difference of the folded form from the same, relative to the greatest value of each output;
            None where the file has no such form.
        formats: By format (timm, onnx, pt2, int8), its greatest difference from the design, relative to the greatest
            score; of int8 the norm of the differences over that of the scores. A format that could not be looked at is
            not among them.
        skipped: Why a format was not looked at.
        agreement: Share of real images with the same greatest score in int8; None where there is no such file.
        other: The other side of the image that was tried; 0 for none.
    """

    trained: float
    folded: float | None = None
    formats: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    agreement: float | None = None
    other: int = 0


def differences(
    model: nn.Module,
    folder: Path,
    name: str,
    *,
    channels: int,
    side: int,
    folded: bool = False,
    parts: Sequence[str] = ("source",),
    real: torch.Tensor | None = None,
    other: nn.Module | None = None,
    run: Run | None = None,
) -> Differences:
    """How far the exported files are from a model.

    Args:
        model: The design as gas builds it, holding the same weights; left in evaluation mode.
        folder: Where the files are.
        name: Name of the files, and of the function in the source.
        channels: Channels of the input.
        side: Side of the input, pixels.
        folded: Whether the source shall give the folded form too.
        parts: What to look at, some of SUFFIXES.
        real: Images for int8.
        other: The design for another side of the image, with weights; None where it is not to be tried.
        run: What looks at them; by default a fresh process.

    Raises:
        ExportError: A file does not load on its own, or differs by more than TOLERANCE (as it is trained),
            FOLDED_TOLERANCE (folded) or INT8_LIMIT.
    """
    model.eval()
    x = torch.randn(IMAGES, channels, side, side, generator=torch.Generator().manual_seed(0))
    request = {"folder": str(folder.resolve()), "name": name, "images": x, "folded": folded, "parts": list(parts)}
    request |= {"real": x if real is None else real, "threads": torch.get_num_threads()}
    request |= {"other": 0 if other is None else int(other.resolution)}  # type: ignore[arg-type]
    with torch.no_grad():
        scores, few = model(x), model(x[:2])  # a matrix product of another batch rounds otherwise
        maps = model.forward_features(x[:2])  # type: ignore[operator]
    answer = (run or fresh)(request)
    trained, relative = _of_source(answer, name, model, [few, *maps], x, other)
    found, skipped, agreement = {}, {}, None
    if "timm" in answer:
        why = answer["timm"].get("unavailable")
        if why:
            skipped["timm"] = f"timm cannot be imported here: {why}"
        else:
            found["timm"] = _of_timm(answer["timm"], name, few, maps)
    wanted = [scores[:n] for n in checker.BATCHES]
    for part in ("onnx", "pt2"):
        if part in answer:
            found[part] = _within(answer[part], wanted, FOLDED_TOLERANCE, f"{name}{SUFFIXES[part][0]}")
    if "int8" in answer:
        with torch.no_grad():
            truth = model(request["real"])
        found["int8"], agreement = _of_int8(answer["int8"], [*wanted, truth], f"{name}{SUFFIXES['int8'][0]}")
    return Differences(trained, relative, found, skipped, agreement, request["other"])


def fresh(request: dict[str, Any]) -> dict[str, Any]:
    """What the checker answers in a process of its own, in isolated mode (-I), which leaves out PYTHONPATH."""
    name = request["name"]
    with tempfile.TemporaryDirectory(prefix="gas-export-") as folder:
        asked, answered = Path(folder, "request.pt"), Path(folder, "answer.pt")
        torch.save(request, asked)
        command = [sys.executable, "-I", checker.__file__, str(asked), str(answered)]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"{name}.py: did not finish within {LIMIT_S} s in a fresh process") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ExportError(f"{name}.py: fails in a fresh process without gas: {last}")
        return torch.load(answered, weights_only=True)


def _of_source(
    answer: dict[str, Any],
    name: str,
    model: nn.Module,
    wanted: list[torch.Tensor],
    x: torch.Tensor,
    other: nn.Module | None,
) -> tuple[float, float | None]:
    """Differences of the form to train, absolute, and of the folded one, relative."""
    file, source = f"{name}.py", answer["source"]
    trained, *rest = source["forms"]
    for form in (trained, *rest):
        if [t.shape for t in form["outputs"]] != [t.shape for t in wanted] or form["info"] != model.feature_info:
            shape = [*wanted[0].shape]
            raise ExportError(f"{file}: gives other shapes than the design; expected {shape} and maps")
    pairs = [
        *zip(trained["outputs"], wanted, strict=True),
        *zip(source["only"], [*wanted[1:], wanted[-1]], strict=True),
    ]
    if other is not None:
        with torch.no_grad():
            expected = other.eval()(checker.resized(x[:2], int(other.resolution)))  # type: ignore[arg-type]
        pairs += [(source["other"][0], expected)]
    found = max_gap(*zip(*pairs, strict=True))
    # A NaN compares false: written so that it fails.
    if not found <= TOLERANCE:
        raise ExportError(f"{file}: its outputs differ from the design's by {found:.3g}; expected {TOLERANCE:g}")
    strange = [key for key in source["left_out"] if not key.startswith("head.")]
    if strange or source["classes"] != [2, 3]:
        raise ExportError(f"{file}: for 3 classes it leaves out {strange}, gives {source['classes']}; expected [2, 3]")
    if not rest:
        return found, None
    relative = relative_gap(rest[0]["outputs"], wanted)
    if not relative <= FOLDED_TOLERANCE:
        text = f"differ from the design's by {relative:.3g} relative; expected {FOLDED_TOLERANCE:g}"
        raise ExportError(f"{file}: its outputs, folded, {text}; without folding the export may stand")
    return found, relative


def _of_timm(answer: dict[str, Any], name: str, scores: torch.Tensor, maps: list[torch.Tensor]) -> float:
    file = f"{name}_timm.py"
    if answer["few"] != [2, 3]:
        raise ExportError(f"{file}: reset_classifier(3) gives scores of {answer['few']}; expected [2, 3]")
    given = [answer["scores"], answer["again"], *answer["maps"]]
    return _within(given, [scores, scores, *(maps if answer["maps"] else [])], FOLDED_TOLERANCE, file)


def _of_int8(given: list[torch.Tensor], wanted: list[torch.Tensor], file: str) -> tuple[float, float]:
    """The norm of the differences over that of the scores, on real images, and the share of equal choices there."""
    if [t.shape for t in given] != [t.shape for t in wanted]:
        raise ExportError(f"{file}: gives other shapes than the design")
    error = max(float((a - b).norm() / b.norm().clamp_min(1e-12)) for a, b in zip(given, wanted, strict=True))
    if not error <= INT8_LIMIT:
        raise ExportError(f"{file}: its scores are off by {error:.3g} of their norm; expected {INT8_LIMIT:g} at most")
    return error, float((given[-1].argmax(1) == wanted[-1].argmax(1)).float().mean())


def _within(given: list[torch.Tensor], wanted: list[torch.Tensor], tolerance: float, file: str) -> float:
    if [t.shape for t in given] != [t.shape for t in wanted]:
        shapes = [[*t.shape] for t in given]
        raise ExportError(f"{file}: gives shapes {shapes}; expected {[[*t.shape] for t in wanted]}")
    gap = relative_gap(given, wanted)
    if not gap <= tolerance:
        raise ExportError(f"{file}: its outputs differ from the design's by {gap:.3g} relative; expected {tolerance:g}")
    return gap


def max_gap(given: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> float:
    """Greatest absolute difference; NaN where there is one."""
    return float(torch.stack([(a - b).abs().max() for a, b in zip(given, wanted, strict=True)]).max())


def relative_gap(given: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> float:
    """Greatest difference, relative to the greatest value of each output; NaN where there is one."""
    sizes = [t.abs().max().clamp_min(1e-12) for t in wanted]
    return max_gap(*[[t / size for t, size in zip(each, sizes, strict=True)] for each in (given, wanted)])
