"""Loads an exported file in a fresh Python process that cannot import gas, and compares what it computes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from gas.errors import ExportError

TOLERANCE = 1e-6
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

source, weights, given, taken, name, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
spec = importlib.util.spec_from_file_location(name, source)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
model = getattr(module, name)()
module.load_weights(model, weights)
model.eval()
x = torch.load(given)
with torch.inference_mode():
    result = {"scores": model(x), "maps": model.forward_features(x), "info": model.feature_info}
assert "gas" not in sys.modules
torch.save(result, taken)
"""


def difference(model: nn.Module, source: Path, weights: Path, name: str, *, channels: int, side: int) -> float:
    """Greatest absolute difference between a model and its exported file, over scores and feature maps.

    Args:
        model: The design as gas builds it, holding the same weights; left in evaluation mode.
        source: The exported `.py`.
        weights: Its safetensors file.
        name: Name of the function in it.
        channels: Channels of the input.
        side: Side of the input, pixels.

    Raises:
        ExportError: The file does not load on its own, or differs by more than TOLERANCE.
    """
    model.eval()
    x = torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = [model(x), *model.forward_features(x)]
    got = _run(source, weights, name, x)
    found = [got["scores"], *got["maps"]]
    if [t.shape for t in found] != [t.shape for t in wanted] or got["info"] != model.feature_info:
        raise ExportError(f"{source.name}: gives other shapes than the design; expected {[*wanted[0].shape]} and maps")
    worst = max(float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True))
    # A NaN compares false: written so that it fails.
    if not worst <= TOLERANCE:
        raise ExportError(f"{source.name}: its outputs differ from the design's by {worst:.3g}; expected {TOLERANCE:g}")
    return worst


def _run(source: Path, weights: Path, name: str, x: torch.Tensor) -> dict:
    with tempfile.TemporaryDirectory(prefix="gas-export-") as folder:
        given, taken = Path(folder, "given.pt"), Path(folder, "taken.pt")
        torch.save(x, given)
        paths = [str(p.resolve()) for p in (source, weights, given, taken)]
        command = [sys.executable, "-I", "-c", SCRIPT, *paths, name, str(torch.get_num_threads())]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"{source.name}: did not finish within {LIMIT_S} s in a fresh process") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ExportError(f"{source.name}: fails in a fresh process without gas: {last}")
        return torch.load(taken)
