"""Loads an exported file in a fresh Python process that cannot import gas, and compares what it computes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gas.errors import ExportError

TOLERANCE = 1e-6
FOLDED_TOLERANCE = 1e-4  # relative: folding multiplies weights beforehand, so float32 rounds elsewhere
LIMIT_S = 300
# Isolated mode (-I) leaves out PYTHONPATH and the working folder; the finder also hides an installed gas.
SCRIPT = """
import importlib.util, sys

class NoGas:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "gas":
            raise ImportError("the exported file asks for gas")

sys.meta_path.insert(0, NoGas())
import torch

source, weights, given, taken, name, threads, *folded = sys.argv[1:]
torch.set_num_threads(int(threads))
spec = importlib.util.spec_from_file_location(name, source)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
models = [getattr(module, name)()]
module.load_weights(models[0], weights)
if folded:
    models += [module.load(weights)]
x = torch.load(given, weights_only=True)
results = []
for model in models:
    model.eval()
    with torch.inference_mode():
        results.append({"outputs": [model(x), *model.forward_features(x)], "info": model.feature_info})
assert "gas" not in sys.modules
torch.save(results, taken)
"""


@dataclass(frozen=True)
class Differences:
    """How far an exported file is from the design as gas builds it, over scores and feature maps.

    Args:
        trained: Greatest absolute difference of the form to train.
        folded: Greatest difference of the folded form from the same, relative to the greatest value of each output;
            None where the file has no such form.
    """

    trained: float
    folded: float | None = None


def differences(
    model: nn.Module, source: Path, weights: Path, name: str, *, channels: int, side: int, folded: bool = False
) -> Differences:
    """How far the exported file is from a model.

    Args:
        model: The design as gas builds it, holding the same weights; left in evaluation mode.
        source: The exported `.py`.
        weights: Its safetensors file.
        name: Name of the function in it.
        channels: Channels of the input.
        side: Side of the input, pixels.
        folded: Whether the file shall give the folded form too.

    Raises:
        ExportError: The file does not load on its own, or differs by more than TOLERANCE, or FOLDED_TOLERANCE.
    """
    model.eval()
    x = torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = [model(x), *model.forward_features(x)]
    trained, *rest = _run(source, weights, name, x, folded)
    for form in (trained, *rest):
        if [t.shape for t in form["outputs"]] != [t.shape for t in wanted] or form["info"] != model.feature_info:
            shape = [*wanted[0].shape]
            raise ExportError(f"{source.name}: gives other shapes than the design; expected {shape} and maps")
    found = _gap(trained["outputs"], wanted)
    # A NaN compares false: written so that it fails.
    if not found <= TOLERANCE:
        raise ExportError(f"{source.name}: its outputs differ from the design's by {found:.3g}; expected {TOLERANCE:g}")
    if not rest:
        return Differences(found)
    sizes = [t.abs().max().clamp_min(1e-12) for t in wanted]
    scaled = [[t / size for t, size in zip(each, sizes, strict=True)] for each in (rest[0]["outputs"], wanted)]
    relative = _gap(*scaled)
    if not relative <= FOLDED_TOLERANCE:
        text = f"differ from the design's by {relative:.3g} relative; expected {FOLDED_TOLERANCE:g}"
        raise ExportError(f"{source.name}: its outputs, folded, {text}; without folding the export may stand")
    return Differences(found, relative)


def _gap(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """Greatest absolute difference; NaN where there is one."""
    return float(torch.stack([(a - b).abs().max() for a, b in zip(found, wanted, strict=True)]).max())


def _run(source: Path, weights: Path, name: str, x: torch.Tensor, folded: bool) -> list[dict]:
    """What the forms of the file give, the one to train first."""
    with tempfile.TemporaryDirectory(prefix="gas-export-") as folder:
        given, taken = Path(folder, "given.pt"), Path(folder, "taken.pt")
        torch.save(x, given)
        paths = [str(p.resolve()) for p in (source, weights, given, taken)]
        command = [sys.executable, "-I", "-c", SCRIPT, *paths, name, str(torch.get_num_threads())]
        command += ["folded"] if folded else []
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"{source.name}: did not finish within {LIMIT_S} s in a fresh process") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ExportError(f"{source.name}: fails in a fresh process without gas: {last}")
        return torch.load(taken, weights_only=True)
