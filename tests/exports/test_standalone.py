import subprocess
import sys

import pytest
import torch
import yaml
from export_designs import hiera_t, random_designs, tiny, turbovit
from safetensors import safe_open

from gas.architecture import Architecture
from gas.errors import ExportError, GasError, SettingError
from gas.exports import export_design
from gas.exports.design_file import design_text
from gas.exports.verify import difference
from gas.model import build
from gas.space import load
from gas.space.files import design_from_text


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A 32-pixel design, exported with the weights of a model that is not the default initialisation."""
    model = build(tiny(), seed=5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    folder = tmp_path_factory.mktemp("export")
    facts = {"origin": "random", "proxies": {"short_training": 0.25}, "fidelity": "digits, 2 epochs"}
    return model, export_design(tiny(), folder, model=model, facts=facts), folder


def test_the_given_weights_are_written_and_the_outputs_agree(exported):
    model, result, folder = exported
    assert result.trained
    assert result.difference <= 1e-6
    assert sorted(p.name for p in folder.iterdir()) == ["tiny.md", "tiny.py", "tiny.safetensors", "tiny.yaml"]
    assert {p.parent for p in result.paths} == {folder}
    with safe_open(result.weights, "pt") as file:
        assert file.metadata()["design"] == tiny().id
        for key, value in model.state_dict().items():
            assert torch.equal(file.get_tensor(key), value)


def test_a_second_export_is_refused_and_changes_nothing(exported):
    _, result, folder = exported
    before = [p.read_bytes() for p in result.paths]
    with pytest.raises(SettingError, match=r"tiny\.py: already exists"):
        export_design(tiny(), folder)
    assert [p.read_bytes() for p in result.paths] == before


@pytest.mark.parametrize("design", [tiny(), hiera_t(), *random_designs(5, seed=2)], ids=lambda d: d.name)
def test_the_design_file_gives_the_design_back(design):
    data = yaml.safe_load(design_text(design, "a: name", facts={"origin": "x\ny"}))
    assert data.pop("name") == "a: name"
    assert data == design.to_dict()
    assert Architecture.from_dict(data).id == design.id


@pytest.mark.parametrize("name", ["turbovit", "hiera_tiny"])
def test_the_language_reads_the_design_file(name):
    design = load(name)
    assert design_from_text(design_text(design, name)) == design


def test_the_card_says_what_was_not_done(exported):
    text = exported[1].card.read_text()
    assert "did not train the design on ImageNet" in text
    assert "short_training 0.25 (a proxy, fidelity digits, 2 epochs)" in text
    # A global stage, but its first block lags.
    assert "| mask unit attention (2 heads of 16, mask unit 4), mlp (ratio 4), Q-pool 2 x 2, lag | 16 → 32 |" in text
    assert "{" not in text


def test_the_code_on_the_card_runs_without_gas(exported):
    folder = exported[2]
    blocks = (folder / "tiny.md").read_text().split("```python\n")[1:]
    use, train = (block.partition("```")[0] for block in blocks)
    loader = "loader = [(torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.long))]"
    result = "print(float(loss), 'gas' in sys.modules)"
    code = "\n".join(["import os, sys", "sys.path.insert(0, os.getcwd())", use, loader, train, result])
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=folder, check=False)
    loss, has_gas = done.stdout.split() or pytest.fail(done.stderr)
    assert float(loss) > 0
    assert has_gas == "False"


def test_untrained_weights_are_called_so_and_overwriting_replaces_every_file(tmp_path):
    first = export_design(tiny(), tmp_path, name="My Net", seed=4)
    assert first.name == "my_net"
    assert not first.trained
    assert "ntrained: a seeded initialisation (seed 4)" in first.source.read_text()
    before = [path.read_bytes() for path in first.paths]
    second = export_design(tiny(ratio=2.0), tmp_path, name="My Net", seed=4, overwrite=True)
    assert second.paths == first.paths
    assert all(path.read_bytes() != old for path, old in zip(second.paths, before, strict=True))
    assert "ntrained: a seeded initialisation (seed 4)" in second.card.read_text()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_model_of_another_design_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ExportError, match="not those of this design"):
        export_design(tiny(), tmp_path / "out", model=build(tiny(ratio=2.0)))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(GasError, match="expected a writable folder") as caught:
            export_design(tiny(), place)
        assert "\n" not in str(caught.value)


def test_a_file_that_computes_something_else_is_found_out(exported, tmp_path):
    model, result, _ = exported
    other = build(tiny(), seed=6)
    with pytest.raises(ExportError, match="differ from the design's"):
        difference(other, result.source, result.weights, "tiny", channels=3, side=32)
    asking = tmp_path / "asking.py"
    asking.write_text(result.source.read_text() + "\nimport gas.model\n")
    with pytest.raises(ExportError, match="the exported file asks for gas"):
        difference(model, asking, result.weights, "tiny", channels=3, side=32)


@pytest.mark.slow
@pytest.mark.parametrize("design", [turbovit(), hiera_t()], ids=lambda d: d.name)
def test_known_networks_export_exactly(design, tmp_path):
    assert export_design(design, tmp_path).difference <= 1e-6
