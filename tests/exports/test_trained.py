"""Exports of weights that are there already: their classes, their outputs, and files that are not theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from proxies.designs import tiny
from safetensors.torch import load_file, save_file

from gas.errors import SettingError
from gas.exports import export_trained
from gas.model import build, with_classes


def written(path: Path, classes: int, metadata: dict[str, str] | None = None) -> Path:
    model = build(with_classes(tiny(), classes), seed=5)
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, path, metadata=metadata)
    return path


def test_the_weights_say_for_which_classes_they_are(tmp_path: Path) -> None:
    file = written(tmp_path / "w.safetensors", 3, {"classes": json.dumps(["a", "b", "c"])})
    result = export_trained(tiny(), file, tmp_path / "out", name="three")
    assert result.trained
    ours, theirs = load_file(file), load_file(tmp_path / "out" / "three.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert "num_classes: int = 3" in (tmp_path / "out" / "three.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: written(path, 3), "does not fit the model at head"),
        (lambda path: path.write_bytes(b"nothing of the kind"), "is no safetensors file that can be read"),
        (lambda path: None, "is no safetensors file that can be read"),
        (lambda path: written(path, 3, {"classes": "["}), "is no safetensors file that can be read"),
    ],
)
def test_files_of_others_are_refused(tmp_path: Path, make, problem: str) -> None:
    make(tmp_path / "w.safetensors")
    with pytest.raises(SettingError, match=f"^weights: .*{problem}"):
        export_trained(tiny(), tmp_path / "w.safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()
