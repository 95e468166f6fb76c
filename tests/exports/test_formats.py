"""ONNX, int8, torch.export and timm: written, looked at, and held against the design."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
from export_designs import folding, tiny, trained

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import ExportError, SettingError
from gas.exports import SUFFIXES, checker, export_design, standalone
from gas.exports.formats import OPSET, TRACED, chosen
from gas.exports.verify import differences
from gas.model import build


def windows() -> Architecture:
    """A 32-pixel design with shifted windows, which the tracing exporter cannot follow for every batch."""
    block = Spec.of("transformer", mixer=Spec.of("window_attention", heads=2, window=2, shift="alternate"))
    stages = (Stage(16, (Group(block, 2),)), Stage(24, (Group(block, 2),), Spec.of("patch_merging")))
    stem = Spec.of("conv_embed", dim=16, stride=4, kernel=4)
    return Architecture(stem, stages, Spec.of("classifier", classes=10), 32, 3, "windows")


def pruned() -> Architecture:
    """A 32-pixel design that leaves out tokens."""
    block = Spec.of("pruning", keep=0.5, heads=2)
    stem = Spec.of("conv_embed", dim=16, stride=4, kernel=4, class_token=True)
    head = Spec.of("classifier", classes=10, token="class")
    return Architecture(stem, (Stage(16, (Group(block, 2),)),), head, 32, 3, "pruned")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A design that folds, with everything but int8's time at length."""
    model = trained(build(folding(), seed=5))
    folder = tmp_path_factory.mktemp("formats")
    return model, export_design(folding(), folder, model=model, formats=("all",), seconds=0.1), folder


def test_a_form_beside_the_source_is_written_and_told(tmp_path):
    model = trained(build(tiny(), seed=5))
    result = export_design(tiny(), tmp_path, model=model, formats=("onnx",), run=checker.check)
    assert {path.name for path in tmp_path.iterdir()} == {
        "tiny.py",
        "tiny.safetensors",
        "tiny.yaml",
        "tiny.md",
        "tiny.onnx",
    }
    assert result.checks.formats["onnx"] <= 1e-4
    assert f"ONNX, opset {OPSET}" in result.card.read_text()


@pytest.mark.slow  # all forms of a design take half a minute; so do the tests that look at them
def test_every_format_is_written_and_told(exported):
    _, result, folder = exported
    assert {path.name for path in folder.iterdir()} == {f"folding{s}" for part in SUFFIXES.values() for s in part}
    assert set(result.paths) == set(folder.iterdir())
    checks = result.checks
    assert checks.formats.keys() == {"timm", "onnx", "int8", "pt2"}  # timm too: what it lacks here is made up for
    assert not checks.skipped
    assert max(checks.formats["onnx"], checks.formats["pt2"]) <= 1e-4
    assert 0 < checks.formats["int8"] < 0.5
    assert result.speed.low <= result.speed.ratio <= result.speed.high
    card = result.card.read_text()
    assert f"ONNX, opset {OPSET}" in card
    assert f"on real images (digits) {checks.agreement:.1%} have the same greatest score" in card
    assert "Apache License 2.0" in card
    assert "{" not in card


@pytest.mark.slow
def test_onnx_and_int8_take_any_batch(exported):
    import onnxruntime

    model, result, _ = exported
    x = torch.randn(7, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        wanted = model(x).numpy()
    for part, tolerance in (("onnx", 1e-4), ("int8", 0.2)):
        session = onnxruntime.InferenceSession(str(result.others[part]))
        assert [value.name for value in (*session.get_inputs(), *session.get_outputs())] == ["images", "scores"]
        assert session.get_inputs()[0].shape[0] == "batch"
        (scores,) = session.run(None, {"images": x.numpy()})
        assert np.abs(scores - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.slow
def test_opset_and_int8_weights_are_what_the_card_says(exported):
    import onnx

    result = exported[1]
    model = onnx.load(result.others["onnx"])
    assert [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")] == [OPSET]
    kinds = {node.op_type for node in onnx.load(result.others["int8"]).graph.node}
    assert "MatMulInteger" in kinds
    assert "ConvInteger" not in kinds


@pytest.mark.slow
def test_a_saved_program_takes_any_batch(exported):
    model, result, _ = exported
    program = torch.export.load(str(result.others["pt2"])).module()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        torch.testing.assert_close(program(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("design", [windows(), pruned()], ids=lambda d: d.name)
def test_windows_and_prunings_take_any_batch(design, tmp_path):
    model = trained(build(design, seed=1))
    result = export_design(
        design, tmp_path, model=model, formats=("onnx", "int8", "pt2"), run=checker.check, seconds=0.1
    )
    assert result.checks.formats.pop("int8") < 0.5  # of what torch.export wrote too
    assert max(result.checks.formats.values()) <= 1e-4
    assert result.exporter == TRACED or design.name == "windows"


@pytest.mark.slow
def test_files_that_exist_are_named_all_at_once_before_any_work(exported, monkeypatch):
    _, _, folder = exported
    monkeypatch.setattr(standalone, "_reference", lambda *_: pytest.fail("work was done"))
    with pytest.raises(SettingError, match=r"folding\.py: already exists \(and .*folding\.onnx.*folding\.pt2\)"):
        export_design(folding(), folder, formats="all")


def test_forms_that_new_weights_make_untrue_are_removed(tmp_path):
    def looked_at(request):
        return checker.check({**request, "parts": ["source"]})

    onnx = tmp_path / "tiny.onnx"
    for seed, there in ((0, True), (1, False)):
        export_design(tiny(), tmp_path, seed=0, overwrite=True, run=looked_at)
        onnx.write_text("of seed 0")
        export_design(tiny(), tmp_path, seed=seed, overwrite=True, run=looked_at)
        assert onnx.exists() == there


def test_nothing_is_left_of_an_export_that_fails(tmp_path, monkeypatch):
    def fail(*_):
        raise ExportError("torch.export: cannot follow the design: so be it")

    monkeypatch.setattr(standalone, "save_pt2", fail)
    with pytest.raises(ExportError, match="so be it"):
        export_design(tiny(), tmp_path, formats=("pt2",))
    assert not list(tmp_path.iterdir())


def test_a_format_that_is_not_known_or_lacks_a_package_is_one_line(monkeypatch):
    with pytest.raises(SettingError, match=r"formats: got 'onxx'; expected some of .*; did you mean 'onnx'"):
        chosen(("onxx",))
    assert chosen(()) == ("source",)
    assert chosen(("pt2", "onnx")) == ("source", "onnx", "pt2")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    with pytest.raises(SettingError, match=r"int8: not installed: onnxruntime; pip install 'gas\[export\]'"):
        chosen(("int8",))


@pytest.mark.slow
def test_a_model_that_computes_something_else_is_found_out(exported):
    model, _, folder = exported
    other = trained(build(folding(), seed=6), seed=4)

    def changed(request):
        answer = checker.check({**request, "parts": ["source", "onnx"]})
        answer["source"] = checker.check({**request, "parts": ["source"]})["source"]
        answer["onnx"][2] = answer["onnx"][2] + 0.1
        return answer

    sizes = {"channels": 3, "side": 32, "folded": True, "parts": ("source", "onnx")}
    with pytest.raises(ExportError, match=r"folding\.onnx: its outputs differ from the design's by .* relative"):
        differences(model, folder, "folding", run=changed, **sizes)
    with pytest.raises(ExportError, match=r"folding\.py: its outputs differ"):
        differences(other, folder, "folding", run=checker.check, **sizes)


@pytest.fixture(scope="module")
def registered(timm, exported):
    """The module NAME_timm, imported as a user would, and timm."""
    result = exported[1]
    checker.load(result.source, "folding")
    module = checker.load(result.others["timm"], "folding_timm")
    yield timm, module, exported[0]
    for name in ("folding", "folding_timm"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_timm_creates_what_gas_builds(registered, exported):
    model, _, folder = exported
    found = differences(
        model, folder, "folding", channels=3, side=32, folded=True, parts=("source", "timm"), run=checker.check
    )
    assert found.formats["timm"] <= 1e-6
    assert not found.skipped


@pytest.mark.slow
def test_timm_reads_all_that_its_scripts_ask_for(registered):
    timm, module, model = registered
    x = torch.randn(2, 3, 32, 32)
    net = timm.create_model("folding", num_classes=4, drop_path_rate=0.2, drop_rate=0.0, in_chans=3).eval()
    assert module.REGISTERED == "folding"
    assert net(x).shape == (2, 4)
    assert net.get_classifier().out_features == net.num_classes == 4
    assert net.forward_head(net.forward_features(x), pre_logits=True).shape == (2, net.num_features)
    assert net.pretrained_cfg["input_size"] == (3, 32, 32)
    assert timm.data.resolve_data_config({}, model=net)["mean"] == net.pretrained_cfg["mean"]
    net.reset_classifier(0)
    assert net(x).shape == (2, net.num_features)
    loaded = timm.create_model("folding", pretrained=True, num_classes=6)
    assert torch.equal(loaded.state_dict()["stem.0.conv.weight"], model.state_dict()["stem.0.conv.weight"])
    maps = timm.create_model("folding", features_only=True, out_indices=(1,))
    assert maps.feature_info.channels() == [16]
    assert maps.feature_info.reduction() == [8]
    assert [m.shape for m in maps(x)] == [(2, 16, 4, 4)]
    with pytest.raises(ValueError, match="in_chans: got 1; expected 3"):
        timm.create_model("folding", in_chans=1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.slow
def test_timms_factories_train_it(registered, tmp_path):
    timm, _, _ = registered
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.utils import CheckpointSaver, ModelEmaV3

    torch.manual_seed(0)
    net = timm.create_model("folding", num_classes=2, drop_path_rate=0.1)
    net.set_grad_checkpointing()
    optimizer = create_optimizer_v2(net, opt="adamw", lr=3e-3, weight_decay=0.05, layer_decay=0.8)
    scales = {group["lr_scale"] for group in optimizer.param_groups}
    assert len(scales) > 3  # stem, blocks and head are layers of their own
    schedule, epochs = create_scheduler_v2(optimizer, sched="cosine", num_epochs=4, warmup_epochs=0)
    assert epochs >= 4
    ema = ModelEmaV3(net, decay=0.9)
    labels = torch.arange(64) % 2
    images = torch.randn(64, 3, 32, 32) * 0.3 + labels[:, None, None, None] * 1.0
    net.train()
    for step in range(24):
        loss = torch.nn.functional.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update(net, step=step)
        schedule.step_update(step)
    schedule.step(1)
    assert optimizer.param_groups[-1]["lr"] < 3e-3
    assert float(loss) < 0.5
    saver = CheckpointSaver(net, optimizer, checkpoint_dir=str(tmp_path), recovery_dir=str(tmp_path))
    saver.save_checkpoint(0, metric=1.0)
    again = timm.create_model("folding", num_classes=2, checkpoint_path=str(tmp_path / "model_best.pth.tar"))
    torch.testing.assert_close(again.eval()(images), net.eval()(images))
