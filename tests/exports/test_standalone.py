import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from export_designs import folding, hiera_t, load_module, random_designs, tiny, trained, turbovit
from safetensors import safe_open

from gas.architecture import Architecture
from gas.costs import cost, folded_count
from gas.errors import ExportError, GasError, SettingError
from gas.exports import export_design
from gas.exports.design_file import design_text
from gas.exports.verify import differences
from gas.model import build, fuse
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


@pytest.mark.slow
@pytest.mark.parametrize("form", ["exported", "foldable"])
def test_the_code_on_the_card_runs_without_gas(form, request):
    _, result, folder = request.getfixturevalue(form)
    blocks = result.card.read_text().split("```python\n")[1:]
    use, train = (block.partition("```")[0] for block in blocks)
    loader = "loader = [(torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.long))]"
    result = "print(float(loss), 'gas' in sys.modules)"
    code = "\n".join(["import os, sys", "sys.path.insert(0, os.getcwd())", use, loader, train, result])
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=folder, check=False)
    loss, has_gas = done.stdout.split() or pytest.fail(done.stderr)
    assert float(loss) > 0
    assert has_gas == "False"


@pytest.fixture(scope="module")
def foldable(tmp_path_factory):
    """A design with batch norms, exported with weights and statistics as if it had been trained."""
    model = trained(build(folding(), seed=5))
    folder = tmp_path_factory.mktemp("foldable")
    return model, export_design(folding(), folder, model=model), folder


def test_both_forms_of_a_design_that_folds_are_checked(foldable):
    model, result, _ = foldable
    assert result.difference == 0
    assert 0 < result.folded_difference <= 1e-4  # 0 would mean that nothing was folded
    with safe_open(result.weights, "pt") as file:
        assert set(file.keys()) == set(model.state_dict())  # the form to train


@pytest.mark.slow
def test_what_does_not_fold_is_as_simple_as_before(exported, tmp_path):
    assert exported[1].folded_difference is None
    text = exported[1].source.read_text()
    assert "fold" not in text.lower()
    assert "def fuse" not in text
    assert "Folded" not in exported[1].card.read_text()
    unfolded = export_design(folding(), tmp_path, fold=False)
    assert unfolded.folded_difference is None
    source = unfolded.source.read_text()
    assert not any(f"def {name}(" in source for name in ("folded", "fuse", "load"))
    assert "fold" not in unfolded.card.read_text().replace("folding", "")


def test_file_and_card_say_which_form_is_which_and_what_each_costs(foldable):
    whole, folded = cost(folding()), folded_count(folding()).cost
    assert folded.params < whole.params
    for text in (foldable[1].source.read_text(), foldable[1].card.read_text()):
        assert f"{whole.params:,}" in text
        assert f"{folded.params:,} params, {folded.macs:,} macs: norms and branches folded" in text
    assert 'model = load("folding.safetensors")  # folded, in evaluation mode: the form to deploy' in text
    assert f"Those of the folded form differ from them by at most {foldable[1].folded_difference:.2g} of" in text


def test_the_loaded_form_holds_no_norm_and_computes_what_was_trained(foldable):
    model, result, _ = foldable
    module = load_module(result.source.read_text(), "folding", result.source.parent)
    deployed, whole = module.load(result.weights), module.load(result.weights, folded=False)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(whole(x), model(x))
        assert torch.equal(deployed(x), fuse(model)(x))
        assert deployed.forward_features(x)[1].shape == (2, 16, 4, 4)
    assert not any("Norm" in type(m).__name__ for m in deployed.modules())
    assert any("Norm" in type(m).__name__ for m in whole.modules())
    assert not whole.training
    assert not deployed.training
    with pytest.raises(ValueError, match="does not fit the model at head"):
        module.load(result.weights, num_classes=3)


def test_pooled_features_fold_too(foldable):
    module = load_module(foldable[1].source.read_text(), "folding", foldable[2])
    pooled = module.folding(num_classes=0)
    module.load_weights(pooled, foldable[1].weights, strict=False)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(module.fuse(pooled)(x), pooled.eval()(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_wrong_folding_is_found_out(foldable, tmp_path):
    model, result, _ = foldable
    wrong = tmp_path / "folding.py"
    text = result.source.read_text()
    broken = text.replace(
        "    return fuse(model) if folded",
        "    model.stem = nn.Sequential(model.stem, nn.Sigmoid())\n    return fuse(model) if folded",
    )
    assert broken != text
    wrong.write_text(broken)
    shutil.copy(result.weights, tmp_path)
    with pytest.raises(
        ExportError, match=r"outputs, folded, differ from the design's by .* relative; expected 0\.0001"
    ):
        differences(model, wrong.parent, "folding", channels=3, side=32, folded=True)


def test_a_number_that_is_none_is_found_out(foldable):
    result = foldable[1]
    spoiled = trained(build(folding(), seed=5))
    with torch.no_grad():
        next(spoiled.stages[0].parameters()).fill_(float("nan"))
    with pytest.raises(ExportError, match="differ from the design's by nan"):
        differences(spoiled, result.source.parent, "folding", channels=3, side=32)


@pytest.mark.slow
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
        differences(other, result.source.parent, "tiny", channels=3, side=32)
    asking = tmp_path / "tiny.py"
    shutil.copy(result.weights, tmp_path)
    asking.write_text(result.source.read_text() + "\nimport gas.model\n")
    with pytest.raises(ExportError, match="the exported file asks for gas"):
        differences(model, tmp_path, "tiny", channels=3, side=32)


@pytest.mark.slow
@pytest.mark.parametrize("design", [turbovit(), hiera_t()], ids=lambda d: d.name)
def test_known_networks_export_exactly(design, tmp_path):
    assert export_design(design, tmp_path).difference <= 1e-6
