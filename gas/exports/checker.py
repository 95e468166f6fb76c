"""Loads exported files and says what they compute; run as a script in a fresh process that cannot import gas.

    python -I checker.py REQUEST ANSWER

Both are files of `torch.save` that hold plain data and tensors alone. The request says what to look at (see `check`),
the answer is what each part gave. This file stands on torch and the standard library; what a part needs beside them is
imported where it is looked at. The package itself only names it, except where many designs are checked in one process.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

BATCHES = (1, 2, 5)


class NoGas:
    """A finder that hides an installed gas: an exported file must do without."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Nothing, or ImportError for gas."""
        if name.partition(".")[0] == "gas":
            raise ImportError("the exported file asks for gas")


def check(request: dict[str, Any]) -> dict[str, Any]:
    """What the files give, by part.

    Args:
        request: `folder` and `name` of the files, `images` (5, C, R, R), `folded` (whether the source gives this form),
            `parts` (those to look at: source, timm, pt2, onnx, int8), for source `other` (another side of the image, or
            0), and for int8 `real` (images).

    Returns:
        Of source: see `check_source`; of timm: see `check_timm`; of pt2, onnx and int8: scores for batches of BATCHES,
        of int8 those of `real` last.
    """
    folder, name, images = Path(request["folder"]), request["name"], request["images"]
    answer: dict[str, Any] = {}
    with torch.no_grad():  # not inference_mode: tensors made within it take other kernels, which round otherwise
        if "source" in request["parts"]:
            answer["source"] = check_source(folder, name, images[:2], request["folded"], request["other"])
        if "timm" in request["parts"]:
            answer["timm"] = check_timm(folder, name, images[:2])
        if "pt2" in request["parts"]:
            answer["pt2"] = check_pt2(folder / f"{name}.pt2", images)
        if "onnx" in request["parts"]:
            answer["onnx"] = check_onnx(folder / f"{name}.onnx", [images[:n] for n in BATCHES])
        if "int8" in request["parts"]:
            batches = [*(images[:n] for n in BATCHES), request["real"]]
            answer["int8"] = check_onnx(folder / f"{name}.int8.onnx", batches)
    return answer


def check_source(folder: Path, name: str, x: torch.Tensor, folded: bool, other: int) -> dict[str, Any]:
    """What the Python file gives with its weights.

    Returns:
        `forms`: per form (to train, folded) its scores, maps and feature_info. `only`: the maps of features_only.
        `left_out`: names left out where the weights are loaded for 3 classes, and `classes`, the scores' shape.
        `other`: the scores at the other side, for the corner of the images, enlarged or cut to it.
    """
    module = load(folder / f"{name}.py", name)
    make, weights = getattr(module, name), str(folder / f"{name}.safetensors")
    whole = make()
    module.load_weights(whole, weights)
    forms = [whole.eval(), *([module.load(weights)] if folded else [])]
    found: dict[str, Any] = {"forms": [_form(model, x) for model in forms]}
    maps = make(features_only=True)
    module.load_weights(maps, weights, strict=False)
    last = make(features_only=True, out_indices=(-1,))
    module.load_weights(last, weights, strict=False)
    found["only"] = [*maps.eval()(x), *last.eval()(x)]
    few = make(num_classes=3)
    found["left_out"] = module.load_weights(few, weights, strict=False)
    found["classes"] = list(few.eval()(x).shape)
    found["other"] = []
    if other:
        sized = make(img_size=other)
        module.load_weights(sized, weights)
        found["other"] = [sized.eval()(resized(x, other))]
    return found


def resized(x: torch.Tensor, side: int) -> torch.Tensor:
    """Images of another side, by nearest neighbours."""
    return torch.nn.functional.interpolate(x, (side, side))


def check_timm(folder: Path, name: str, x: torch.Tensor) -> dict[str, Any]:
    """What timm makes of the registered model.

    Returns:
        `unavailable`, where timm cannot be imported: why. Else `registered` (the name), `scores`, `again` (the same by
        way of forward_features and forward_head), `maps` (of features_only; none where tokens are pruned), `few` (the
        shape of the scores after reset_classifier(3)), `groups` (how many layers group_matcher makes), `undecayed`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            help_torchvision()
            import timm
            from timm.models import group_parameters
    except Exception as error:  # whatever an optional package fails with: it is told
        return {"unavailable": f"{type(error).__name__}: {error}".splitlines()[0]}
    load(folder / f"{name}.py", name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where a process looks at it twice, it is registered twice
        made = load(folder / f"{name}_timm.py", f"{name}_timm")
    registered = made.REGISTERED
    model = timm.create_model(registered, pretrained=True).eval()
    found: dict[str, Any] = {"registered": registered, "scores": model(x)}
    found["again"] = model.forward_head(model.forward_features(x))
    found["maps"] = []
    if all(info["reduction"] for info in model.feature_info):
        maps = timm.create_model(registered, pretrained=True, features_only=True).eval()
        found["maps"] = maps(x)
    groups = group_parameters(model, model.group_matcher(coarse=False))
    found["groups"], found["undecayed"] = len(groups), sorted(model.no_weight_decay())
    model.reset_classifier(3)
    found["few"] = list(model(x).shape)
    return found


def help_torchvision() -> None:
    """Lets torchvision, which timm imports, be imported beside a build of torch for which its compiled half is missing.

    Its Python half, all that timm needs, then fails while it describes two operators that nothing has defined. Where
    torchvision imports by itself, or is not there, nothing is touched.
    """
    try:
        importlib.import_module("torchvision")
    except ImportError:
        return
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # what the failed import left half made
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)


_LIBRARIES: list[torch.library.Library] = []  # operators live as long as the library that defined them


def check_pt2(path: Path, images: torch.Tensor) -> list[torch.Tensor]:
    """Scores of a program saved by torch.export, for batches of BATCHES."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own serialisation
        program = torch.export.load(str(path)).module()
        return [program(images[:n]) for n in BATCHES]


def check_onnx(path: Path, batches: list[torch.Tensor]) -> list[torch.Tensor]:
    """Scores of an ONNX model in ONNX Runtime, in one session for all batches."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return [torch.from_numpy(session.run(None, {given.name: x.numpy()})[0]) for x in batches]


def load(path: Path, name: str) -> ModuleType:
    """A Python file as a module under its name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _form(model: torch.nn.Module, x: torch.Tensor) -> dict[str, Any]:
    return {"outputs": [model(x), *model.forward_features(x)], "info": model.feature_info}


def main() -> None:
    """Reads the request that the first argument names, writes the answer to the second."""
    sys.meta_path.insert(0, NoGas())
    request = torch.load(sys.argv[1], weights_only=True)
    torch.set_num_threads(request["threads"])
    answer = check(request)
    assert "gas" not in sys.modules
    torch.save(answer, sys.argv[2])


if __name__ == "__main__":
    main()
