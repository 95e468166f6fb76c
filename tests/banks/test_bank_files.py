"""Banks on disk: what is read is what was written, and whatever is damaged is said to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from banks.small import grown, smallest
from safetensors.torch import save as to_bytes

from gas.banks import FILE, Moments, Record, from_bytes, load, read, save
from gas.errors import RunError

RECORD = Record("tiny", "text", {"width": 1.0}, "digits", 3, {"steps": 4}, 2, [[2.0, 1.0, 1.1, 1.2]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bank = grown(smallest("zoo/hiera_tiny"))
    moments = Moments()
    for key, tensor in bank.tensors.items():
        moments.fit(key, tensor)
        moments.mean[key].normal_()
    save(tmp_path, bank, moments, RECORD)
    return tmp_path


def test_what_is_read_is_what_was_written(folder: Path) -> None:
    bank, moments, record = load(folder)
    wanted = grown(smallest("zoo/hiera_tiny"))
    assert record == RECORD
    assert bank.decaying == wanted.decaying
    assert bank.tensors.keys() == wanted.tensors.keys() == moments.mean.keys() == moments.steps.keys()
    assert all(torch.equal(tensor, wanted.tensors[key]) for key, tensor in bank.tensors.items())
    assert json.loads((folder / "bank.json").read_text()) == json.loads(json.dumps(vars(RECORD)))
    assert sorted(file.name for file in folder.iterdir()) == ["bank.json", FILE]


def test_bytes_travel(folder: Path) -> None:
    bank, _, record = from_bytes(read(folder))
    assert record == RECORD
    assert bank.params == load(folder)[0].params


def test_no_bank_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected the folder of a bank that gas train-bank made"):
        load(tmp_path)
    (tmp_path / "bank.json").write_text("{}")  # half a bank
    with pytest.raises(RunError, match="expected the folder of a bank"):
        load(tmp_path)
    with pytest.raises(RunError, match="expected the folder of a bank"):
        load(tmp_path / "none")


@pytest.mark.parametrize("keep", [0, 4, 9, 500, -1])
def test_a_file_that_is_cut_off_is_damaged(folder: Path, keep: int) -> None:
    file = folder / FILE
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"got a damaged file \(bank.safetensors\)"):
        load(folder)


@pytest.mark.parametrize(
    "facts", [None, {}, {"record": "{", "decaying": "[]"}, {"record": '{"format": 1}', "decaying": "[]"}]
)
def test_a_file_without_its_record_is_damaged(tmp_path: Path, facts: dict | None) -> None:
    (tmp_path / FILE).write_bytes(to_bytes({"weight a": torch.zeros(2)}, metadata=facts))
    with pytest.raises(RunError, match="damaged"):
        load(tmp_path)


def test_another_format_is_told(tmp_path: Path) -> None:
    facts = {"record": '{"format": 9}', "decaying": "[]"}
    (tmp_path / FILE).write_bytes(to_bytes({}, metadata=facts))
    with pytest.raises(RunError, match="got format 9; expected 1"):
        load(tmp_path)


def test_a_folder_that_cannot_be_written_to_keeps_what_was_there(folder: Path) -> None:
    before = (folder / FILE).read_bytes()
    (folder / f"{FILE}.new").mkdir()  # in the way of the new file
    with pytest.raises(RunError, match="cannot be written"):
        save(folder, grown(smallest("zoo/hiera_tiny")), Moments(), RECORD)
    assert (folder / FILE).read_bytes() == before
