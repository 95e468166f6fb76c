import ast
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from export_designs import folding, hiera_t, load_module, random_designs, tiny, turbovit

from gas.architecture import Spec
from gas.errors import DesignError, ExportError, SettingError
from gas.exports.definitions import Definitions
from gas.exports.source import FOLDING, identifier, module_source
from gas.model import build, with_classes
from gas.patterns import Cost
from gas.patterns.classifier import Classifier
from gas.patterns.transformer import TransformerBlock
from gas.patterns.units import ConvNorm
from gas.space import load_space

DESIGNS = [hiera_t(), turbovit(), tiny(), tiny(lag=False, position="none"), *random_designs(8, seed=7)]
DESIGNS += load_space("tiny.yaml").sample(6, 0)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.name or d.id)
def test_the_file_computes_what_the_design_computes(design, tmp_path):
    module = load_module(module_source(design, "net"), "net", tmp_path)
    # The same seed gives the same weights: the constructors run in the same order with the same arguments.
    ours = build(design, seed=3).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        theirs = module.net().eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(a, theirs.state_dict()[key]) for key, a in ours.state_dict().items())
    x = torch.randn(1, 3, design.resolution, design.resolution, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))
        for a, b in zip(ours.forward_features(x), theirs.forward_features(x), strict=True):
            assert torch.equal(a, b)
    assert ours.feature_info == theirs.feature_info


@pytest.mark.parametrize("design", DESIGNS[:6], ids=lambda d: d.name or d.id)
def test_the_file_reads_like_one_written_by_hand(design):
    text = module_source(design, "net", facts={"origin": "mutation of 12 " * 20}, weights="untrained")
    assert max(map(len, text.splitlines())) <= 120
    assert text.count("from __future__") == 1
    tree = ast.parse(text)
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {m.partition(".")[0] for m in modules} <= sys.stdlib_module_names | {"torch"}
    defined = [n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)]
    assert len(defined) == len(set(defined))
    # Every class is used by the file itself: nothing is left over from gas.
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {"net", "load_weights"}
    assert set(defined) <= used


def test_the_file_is_what_a_formatter_would_write(tmp_path):
    ruff = shutil.which("ruff", path=str(sys.prefix) + "/bin") or shutil.which("ruff")
    if not ruff:
        pytest.skip("ruff is not installed")
    for i, design in enumerate(DESIGNS[:3]):
        (tmp_path / f"net{i}.py").write_text(module_source(design, "net", facts={"origin": "random"}))
    (tmp_path / "folding.py").write_text(module_source(folding(), "net", weights="none", folded=Cost(12, 34)))
    (tmp_path / "unfolded.py").write_text(module_source(folding(), "net"))
    for command in (["check", "--select", "E,F,I,W,UP,B"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *command, "--isolated", "--line-length", "120", "--no-cache", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_equal_blocks_are_written_once():
    text = module_source(turbovit(), "turbovit")
    assert text.count("for _ in range(7)") == 1
    assert text.count("        TransformerBlock(\n") == 7


def test_the_number_of_classes_is_an_argument(tmp_path):
    net = load_module(module_source(tiny(), "net"), "net", tmp_path).net
    x = torch.randn(2, 3, 32, 32)
    assert net()(x).shape == (2, 10)
    assert net(num_classes=3)(x).shape == (2, 3)
    pooled = net(num_classes=0).eval()
    assert pooled(x).shape == (2, 32)
    with torch.inference_mode():
        # The head normalises the mean over tokens; with fresh norms that has mean 0 and spread 1.
        last = pooled.forward_features(x)[-1].mean(dim=(2, 3))
        torch.testing.assert_close(pooled(x), torch.nn.functional.layer_norm(last, (32,), eps=1e-6))
    assert not list(pooled.head.linear.parameters())


def test_the_classes_of_the_design_are_the_default(tmp_path):
    net = load_module(module_source(with_classes(tiny(), 7), "net"), "net", tmp_path).net
    assert net()(torch.randn(1, 3, 32, 32)).shape == (1, 7)


def test_drop_path_rises_to_its_rate(tmp_path):
    model = load_module(module_source(tiny(), "net"), "net", tmp_path).net(drop_path=0.2)
    rates = [m.rate for m in model.modules() if type(m).__name__ == "DropPath"]
    assert rates == pytest.approx([0.0, 0.1, 0.2])


def test_facts_stand_in_the_docstring():
    latency = {"target": "cpu_eager", "batch": 1, "threads": 1, "median_ms": 31.25, "predicted": True}
    facts = {"origin": "random", "proxies": {"short_training": 0.5}, "latency": latency, "note": 'a """ \\ b'}
    doc = ast.get_docstring(ast.parse(module_source(tiny(), "net", facts=facts)))
    assert "31.25 ms per batch (predicted, not measured; target cpu_eager, batch 1, threads 1)" in doc
    assert "short_training 0.5 (a proxy)" in doc
    assert "a ''' \\ b" in doc
    assert "accuracy" not in doc


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TurboViT", "turbovit"),
        ("hiera-t (1)", "hiera_t_1"),
        ("3x", "design_3x"),
        ("", "design"),
        ("class", "class_net"),
        ("torch", "torch_net"),
        ("random", "random_net"),
        ("größe", "gr_e"),
    ],
)
def test_names_become_identifiers(name, expected):
    assert identifier(name) == expected
    assert identifier(name).isidentifier()


def test_a_name_that_the_file_has_is_refused():
    with pytest.raises(SettingError, match="load_weights_net"):
        module_source(tiny(), "load_weights")
    with pytest.raises(SettingError, match="load_net"):
        module_source(folding(), "load", folded=Cost())
    assert "def load(" in module_source(tiny(), "load")


def test_a_design_that_cannot_be_built_says_where():
    broken = replace(tiny(), stem=Spec.of("conv_embed", dim=16, stride=5))
    with pytest.raises(DesignError, match="stem"):
        module_source(broken, "net")


def test_definitions_bring_what_they_use_and_nothing_else():
    found = Definitions([TransformerBlock], without=FOLDING)
    assert [ast.parse(text).body[0].name for text in found.bodies()] == ["DropPath", "TransformerBlock"]
    assert found.import_block() == "import torch\nfrom torch import Tensor, nn"
    assert Definitions([Classifier], without=FOLDING).names == {"Classifier", "Tensor", "nn"}


def test_members_are_left_out_with_all_that_they_alone_use():
    whole = Definitions([TransformerBlock]).names
    assert {"norm_into", "with_identity", "LayerScale"} <= whole
    lean = Definitions([ConvNorm, TransformerBlock], without=FOLDING)
    assert not {"norm_into", "with_identity", "LayerScale", "fuse_conv_bn_eval"} & lean.names
    assert not any("def folded" in text for text in lean.bodies())
    assert all(ast.parse(text) for text in lean.bodies())


def test_a_class_that_needs_another_package_is_refused(tmp_path):
    text = "import numpy as np\n\n\nclass Layer:\n    def forward(self, x):\n        return np.abs(x)\n"
    module = load_module(text, "foreign_layer", tmp_path)
    sys.modules["foreign_layer"] = module
    try:
        with pytest.raises(ExportError, match="numpy"):
            Definitions([module.Layer])
    finally:
        del sys.modules["foreign_layer"]
