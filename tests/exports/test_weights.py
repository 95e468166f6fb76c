import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gas.exports.weights import DTYPES, load_weights, read_safetensors


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    values = {name: (torch.randn(3, 5, generator=generator) * 50).to(dtype) for name, dtype in DTYPES.items()}
    return {**values, "scalar": torch.tensor(2.5), "empty": torch.empty(0, 4), "odd": torch.ones(7, dtype=torch.int8)}


def test_reads_what_the_package_writes(tensors, tmp_path):
    save_file(tensors, tmp_path / "a.safetensors", metadata={"note": "x"})
    read = read_safetensors(tmp_path / "a.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert torch.equal(read[name], tensor)
    read["F32"].zero_()  # its own memory, writable


@pytest.mark.parametrize("kept", [0, 4, 8, 40, -1, -200])
def test_a_cut_off_file_is_refused(tensors, tmp_path, kept):
    save_file(tensors, tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "b.safetensors").write_bytes(data[:kept])
    with pytest.raises(ValueError, match=r"b\.safetensors"):
        read_safetensors(tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 400]}, "cut off or damaged"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}, "cut off or damaged"),
        ({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}, "cut off or damaged"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "speaks of 4"),
        ({"dtype": "F3", "shape": [2], "data_offsets": [0, 8]}, "entry for 'x'"),
        ({"shape": [2], "data_offsets": [0, 8]}, "entry for 'x'"),
        ([1, 2], "entry for 'x'"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path, entry, problem):
    header = json.dumps({"x": entry}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ValueError, match=problem):
        read_safetensors(path)


def test_a_header_that_is_not_json_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes((5).to_bytes(8, "little") + b"{oops" + bytes(8))
    with pytest.raises(ValueError, match="not JSON"):
        read_safetensors(path)


def test_weights_of_another_head_are_left_out(tmp_path):
    def net(classes):
        return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, classes))

    source, target = net(10), net(3)
    save_file(source.state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"1\.bias, 1\.weight \(2 in all\)"):
        load_weights(target, tmp_path / "a.safetensors")
    before = target[1].weight.detach().clone()
    assert load_weights(target, tmp_path / "a.safetensors", strict=False) == ["1.bias", "1.weight"]
    assert torch.equal(target[0].weight, source[0].weight)
    assert torch.equal(target[1].weight, before)
    assert load_weights(net(10), tmp_path / "a.safetensors") == []
