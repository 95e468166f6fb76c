"""The forms in which a design is written beside its Python file: ONNX, int8 ONNX, torch.export, timm.

All of them hold the form folded for inference, take batches of any size, and name their input `images` and their output
`scores`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from gas.costs.targets.cpu_onnxruntime import OPSET
from gas.errors import ExportError, SettingError, describe, first_line

SUFFIXES = {  # what each format writes, after the design's name
    "source": (".py", ".safetensors", ".yaml", ".md"),
    "timm": ("_timm.py",),
    "onnx": (".onnx",),
    "int8": (".int8.onnx",),
    "pt2": (".pt2",),
}
PACKAGES = {"onnx": ("onnx", "onnxruntime"), "int8": ("onnx", "onnxruntime")}
FALLBACK_PACKAGE = "onnxscript"
INT8_OPERATORS = ("MatMul", "Gemm")  # convolutions in int8 take many times as long: see experiments/exports
TRACED, EXPORTED = "tracing", "torch.export"
SAMPLE, OTHER = 2, 3  # images of the batch that is exported, and of one that must be taken too


def chosen(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats in the order in which they are made, the source always among them; `all` stands for every one.

    Raises:
        SettingError: One is unknown, or needs a package that is not installed.
    """
    known = (*SUFFIXES, "all")
    for name in (formats,) if isinstance(formats, str) else formats:
        if name not in known:
            raise SettingError(f"formats: {describe(name, 'some of ' + ', '.join(known), known=known)}")
    named = {formats} if isinstance(formats, str) else set(formats)
    wanted = tuple(name for name in SUFFIXES if name == "source" or name in named or "all" in named)
    for name in wanted:
        lacking = [package for package in PACKAGES.get(name, ()) if importlib.util.find_spec(package) is None]
        if lacking:
            raise SettingError(f"{name}: not installed: {', '.join(lacking)}; pip install 'gas[export]'")
    return wanted


def save_pt2(model: nn.Module, images: torch.Tensor, path: Path) -> None:
    """Writes the program that torch.export makes of a module.

    Args:
        model: In evaluation mode.
        images: (2 or more, C, R, R).
        path: Ends in `.pt2`.

    Raises:
        ExportError: torch.export cannot follow the module.
    """
    with _quiet():
        torch.export.save(_program(model, images), path)


def save_onnx(model: nn.Module, images: torch.Tensor, path: Path) -> str:
    """Writes a module as ONNX; returns by which of torch's exporters.

    Tracing takes a fraction of the time (experiments/onnx_exporters), but fixes the size of the batch where a module
    asks for it behind operations whose shapes the exporter cannot infer. What ran for one size is tried with another;
    where that fails, the program of torch.export is written instead.

    Args:
        model: In evaluation mode.
        images: (3 or more, C, R, R).
        path: Ends in `.onnx`.

    Raises:
        ExportError: Neither exporter gives a model that takes any batch.
        SettingError: The second exporter is needed and not installed.
    """
    names = {"input_names": ["images"], "output_names": ["scores"], "opset_version": OPSET}
    axes = {"images": {0: "batch"}, "scores": {0: "batch"}}
    with _quiet():
        torch.onnx.export(model, (images[:SAMPLE],), str(path), dynamo=False, dynamic_axes=axes, **names)
    if _takes(path, images[:OTHER]):
        return TRACED
    if importlib.util.find_spec(FALLBACK_PACKAGE) is None:
        raise SettingError(f"onnx: not installed: {FALLBACK_PACKAGE}; pip install 'gas[export]'")
    with _quiet():
        written = torch.onnx.export(_program(model, images[:SAMPLE]), (), dynamo=True, verbose=False, **names)
        assert written is not None
        _name_batch(written.model)
        written.save(str(path), external_data=False)
    if not _takes(path, images[:OTHER]):
        raise ExportError(f"{path.name}: takes batches of {SAMPLE} alone, by either exporter; expected any")
    return EXPORTED


def save_int8(source: Path, path: Path) -> None:
    """Writes an ONNX model with the weights of its linear layers in 8 bits, a scale for each channel.

    What they read is brought to 8 bits while it runs, so no images are needed to calibrate. Convolutions stay in
    float32.

    Args:
        source: The model in float32.
        path: Ends in `.onnx`.

    Raises:
        ExportError: ONNX Runtime cannot.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    # What torch.export notes of shapes within: the quantiser turns weights over, and then takes the notes for mistakes.
    del model.graph.value_info[:]
    options = {"op_types_to_quantize": [*INT8_OPERATORS], "per_channel": True, "weight_type": QuantType.QInt8}
    try:
        with _quiet():
            quantize_dynamic(model, path, **options)
    except Exception as error:  # of many kinds, some of them onnx's own
        raise ExportError(f"int8: ONNX Runtime cannot bring the design to 8 bits: {first_line(error)}") from error


def versions(formats: Sequence[str]) -> dict[str, str]:
    """Versions of what wrote and checked the files."""
    packages = ["torch", *(["onnx", "onnxruntime"] if {"onnx", "int8"} & set(formats) else [])]
    return {package: importlib.metadata.version(package) for package in packages}


def _program(model: nn.Module, images: torch.Tensor) -> torch.export.ExportedProgram:
    sizes = ({0: torch.export.Dim("batch", min=1)},)
    try:
        with _quiet(), torch.no_grad():
            return torch.export.export(model, (images,), dynamic_shapes=sizes)
    except Exception as error:  # torch raises of many kinds here, some of them its own
        raise ExportError(f"torch.export: cannot follow the design: {first_line(error)}") from error


def _takes(path: Path, images: torch.Tensor) -> bool:
    """Whether a model runs with a batch of another size."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    try:
        (scores,) = session.run(None, {"images": images.numpy()})
    except Exception:  # its errors have no class of their own; what is wrong is that it does not run
        return False
    return len(scores) == len(images)


def _name_batch(model: object) -> None:
    """The one dimension that varies is called `batch`, as tracing calls it."""
    for value in (*model.graph.inputs, *model.graph.outputs):  # type: ignore[attr-defined]
        value.shape[0] = "batch"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what torch's exporters and ONNX Runtime's quantiser say of their own insides."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
