"""`gas train` from end to end on small images: what it writes, goes on with, takes over, and refuses."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from trainer.small_training import DESIGN, design, folder

from gas.cli import main
from gas.errors import SettingError
from gas.exports import export_design
from gas.exports.trained import facts_of
from gas.exports.weights import load_weights
from gas.model import build, with_classes
from gas.space import load
from gas.trainer import evaluate_weights, train
from gas.trainer.teacher import load_teacher

FAST = {"epochs": 2, "batch": 4, "warm_epochs": 0.5}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(DESIGN)
    folder(tmp_path / "pets")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and a training of them."""
    path = tmp_path_factory.mktemp("trained")
    train(design(), data=str(folder(path / "pets")), out=path / "run", overrides=FAST, loaders=0)
    return path


def said(capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["train", *words])
    out, err = capsys.readouterr()
    return code, out + err


def test_what_a_training_writes(trained):
    run = trained / "run"
    names = {"training.json", "recipe.yaml", "design.yaml", "checkpoint.safetensors", "metrics.csv", "tensorboard"}
    assert {path.name for path in run.iterdir()} == names | {"best.safetensors", "model.safetensors"}
    assert yaml.safe_load((run / "recipe.yaml").read_text())["epochs"] == 2
    with (run / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "3"), ("2", "6")]
    assert {"train_loss", "val_loss", "top1", "top5", "ema_top1", "rate", "images_per_s"} <= rows[0].keys()
    assert list((run / "tensorboard").glob("events.*"))
    facts = facts_of(run / "model.safetensors")
    assert facts["classes"] == ["cats", "dogs"]
    assert facts["mean"] == [0.485, 0.456, 0.406]
    assert "epoch 2 of 2" in facts["weights"]


@pytest.mark.slow
def test_the_weights_are_those_of_the_design_written_and_of_its_export(trained, tmp_path):
    written = load(str(trained / "run" / "design.yaml"))
    assert written.id == with_classes(design(), 2).id
    model = build(written, seed=5)
    assert load_weights(model, trained / "run" / "model.safetensors") == []
    result = export_design(written, tmp_path, model=model)
    exported = load_file(result.weights)
    assert all(torch.equal(exported[name], tensor) for name, tensor in model.state_dict().items())


def test_looking_again_gives_the_last_row(trained, capsys):
    with (trained / "run" / "metrics.csv").open() as stream:
        last = list(csv.DictReader(stream))[-1]
    code, out = said(capsys, "--eval-only", "--out", str(trained / "run"), "--json")
    assert code == 0
    assert json.loads(out)["top1"] == pytest.approx(float(last["ema_top1"]), abs=1e-6)
    assert json.loads(out)["val_loss"] == pytest.approx(float(last["ema_val_loss"]), rel=1e-4)
    weights = str(trained / "run" / "best.safetensors")
    words = ("--init", weights, "--data", str(trained / "pets"))
    code, out = said(capsys, str(trained / "run" / "design.yaml"), "--eval-only", *words)
    assert code == 0
    assert out.startswith("top-1 ")
    assert "on 12 images" in out


def test_digits_on_the_command_line(here, capsys):
    words = ("small.yaml", "--data", "digits", "--out", "run", "--set", "epochs=1", "--set", "warm_epochs=0.5")
    code, out = said(capsys, *words, "--seed", "3", "--json", "--quiet")
    assert code == 0
    found = json.loads(out)
    assert found["finished"]
    assert found["epochs"] == 1
    assert 0 <= found["top1"] <= 1
    assert yaml.safe_load(Path("run/recipe.yaml").read_text())["seed"] == 3
    code, out = said(capsys, "--out", "run", "--resume")  # which is at its end
    assert code == 0
    assert "wrote run/model.safetensors" in out


def test_a_time_limit_breaks_off_and_resume_goes_on_to_the_same_weights(here, trained, capsys):
    words = (
        "small.yaml",
        "--data",
        "pets",
        "--loaders",
        "0",
        *(w for k, v in FAST.items() for w in ("--set", f"{k}={v}")),
    )
    code, out = said(capsys, *words, "--out", "run", "--time", "0.0001s")
    assert code == 0
    assert "go on with: gas train --out run --resume" in out
    assert not Path("run/model.safetensors").exists()
    code, out = said(capsys, "--out", "run", "--resume", "--loaders", "0")
    assert code == 0
    first, second = (load_file(path / "run" / "model.safetensors") for path in (trained, here))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("classes", [("ants", "bees", "cats"), ("carp", "dogs")], ids=len)
def test_weights_of_other_classes_leave_the_head_fresh(here, trained, classes):
    folder(here / "more", classes=classes)
    weights = trained / "run" / "model.safetensors"
    result = train(
        design(), data="more", out="run", init=weights, overrides={**FAST, "rate": 1e-9, "min_rate": 0.0}, loaders=0
    )
    assert result.notes == ("init: the head starts fresh: the weights are for other classes",)
    begun, ended = load_file(weights), load_file(result.weights)
    torch.testing.assert_close(ended["stem.conv.weight"], begun["stem.conv.weight"], rtol=0, atol=1e-6)
    fresh = build(design(), classes=len(classes), seed=0).head.state_dict()["linear.weight"]
    torch.testing.assert_close(ended["head.linear.weight"], fresh, rtol=0, atol=1e-6)


def test_a_design_with_weights_teaches(here, trained):
    teacher = f"small.yaml+{trained / 'run' / 'model.safetensors'}"
    result = train(design(), data="pets", out="run", teacher=teacher, overrides=FAST, loaders=0)
    assert result.finished
    assert json.loads(Path("run/training.json").read_text())["teacher"] == teacher


BAD = {
    "no design": (("--data", "pets", "--out", "o"), "design: got none; expected one to train"),
    "no data": (("small.yaml", "--out", "o"), "data: got none; expected one to train"),
    "no out": (("small.yaml", "--data", "pets"), "out: got none; expected the folder of the training"),
    "two designs": (("small.yaml", "small.yaml", "--data", "pets", "--out", "o"), "train: got 2 designs; expected one"),
    "unknown field": (
        ("small.yaml", "--data", "pets", "--out", "o", "--set", "epoch=1"),
        "set: no field 'epoch'; did you mean 'epochs'?",
    ),
    "unknown recipe": (("small.yaml", "--data", "pets", "--out", "o", "--recipe", "quik"), "did you mean 'quick'?"),
    "unknown data": (("small.yaml", "--data", "digit", "--out", "o"), "did you mean 'digits'?"),
    "one class": (("small.yaml", "--data", "one", "--out", "o"), "holds 1 class folders; expected at least 2"),
    "empty folder": (("small.yaml", "--data", "none", "--out", "o"), "holds 0 class folders; expected at least 2"),
    "nothing to resume": (("--out", "o", "--resume"), "resume: o holds no training; expected the folder of one"),
    "channels": (("grey.yaml", "--data", "pets", "--out", "o"), "design: got 1; expected 3 channels"),
    "other files": (("small.yaml", "--data", "pets", "--out", "pets"), "out: pets holds other files"),
    "out is a file": (("small.yaml", "--data", "pets", "--out", "small.yaml"), "out: small.yaml is a file"),
    "training there": (("small.yaml", "--data", "pets", "--out", "run"), "out: run already holds a training"),
    "other design": (("other.yaml", "--out", "run", "--resume"), "resume: run: got another design; expected small"),
    "other recipe": (("--out", "run", "--resume", "--set", "batch=2"), "recipe: batch: got 2; expected 4, as it was"),
    "other data": (("--out", "run", "--resume", "--data", "digits"), "resume: data: got 'digits'; expected '"),
    "device": (("small.yaml", "--data", "pets", "--out", "o", "--device", "cdua"), "device: got 'cdua'; expected one"),
    "init": (("small.yaml", "--data", "pets", "--out", "o", "--init", "x.safetensors"), "init: x.safetensors does not"),
    "init no weights": (("small.yaml", "--data", "pets", "--out", "o", "--init", "small.yaml"), "no safetensors file"),
    "init other": (("other.yaml", "--data", "pets", "--out", "o", "--init", "w.safetensors"), "is not of this design"),
    "teacher alone": (("small.yaml", "--data", "pets", "--out", "o", "--teacher", "small.yaml"), "got the design"),
    "teacher classes": (
        ("small.yaml", "--data", "more", "--out", "o", "--teacher", "small.yaml+w.safetensors"),
        "teacher: got 2 classes; expected 3, the data's",
    ),
    "teacher missing": (
        ("small.yaml", "--data", "pets", "--out", "o", "--teacher", "small.yaml+x.safetensors"),
        "teacher: x.safetensors does not exist",
    ),
    "eval classes": (
        ("--eval-only", "--out", "run", "--data", "more"),
        "data: more has 3 classes; expected 2, as the weights have them",
    ),
    "eval names": (
        ("--eval-only", "--out", "run", "--data", "fish"),
        "data: fish: class got 'carp'; expected 'cats', as the weights have it",
    ),
    "eval nothing": (("small.yaml", "--eval-only", "--data", "pets"), "init: got none; expected one, or --out"),
    "batch": (
        ("small.yaml", "--data", "pets", "--out", "o", "--workers", "5"),
        "batch: got 12; expected a multiple of 5",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_in_a_line_and_nothing_is_lost(case, here, trained, capsys):
    words, expected = BAD[case]
    Path("grey.yaml").write_text(DESIGN.replace("channels: 3", "channels: 1"))
    Path("other.yaml").write_text(DESIGN.replace("dim: 16", "dim: 24"))
    folder(here / "one", classes=("cats",))
    folder(here / "more", classes=("ants", "bees", "cats"))
    folder(here / "fish", classes=("carp", "dogs"))
    (here / "none").mkdir()
    shutil.copytree(trained / "run", here / "run")
    shutil.copy(trained / "run" / "model.safetensors", here / "w.safetensors")
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    code, out = said(capsys, *words, "--loaders", "0")
    assert code == 2
    assert expected in out
    assert len(out.splitlines()) == 1
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_a_changed_folder_does_not_match_the_checkpoint(here, capsys):
    train(design(), data="pets", out="run", overrides=FAST, loaders=0, seconds=1e-4)
    (here / "pets" / "train" / "cats").rename(here / "pets" / "train" / "apes")
    (here / "pets" / "val" / "cats").rename(here / "pets" / "val" / "apes")
    code, out = said(capsys, "--out", "run", "--resume", "--loaders", "0")
    assert code == 2
    assert "class got 'apes'; expected 'cats', as the weights have it" in out


def test_a_damaged_checkpoint_is_refused(here, capsys):
    train(design(), data="pets", out="run", overrides=FAST, loaders=0, seconds=1e-4)
    file = Path("run/checkpoint.safetensors")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    code, out = said(capsys, "--out", "run", "--resume")
    assert code == 2
    assert "checkpoint.safetensors: state: damaged" in out


@pytest.mark.slow
def test_timm_teaches(here, timm):
    network = timm.create_model("resnet18", num_classes=2)
    save_file(network.state_dict(), "teacher.safetensors")
    scale = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    teacher = load_teacher("resnet18+teacher.safetensors", ("a", "b"), scale)
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    mine = tuple(torch.tensor(part).view(3, 1, 1) for part in scale)
    settings = network.pretrained_cfg
    theirs = tuple(torch.tensor(settings[word]).view(3, 1, 1) for word in ("mean", "std"))
    network.eval()
    with torch.no_grad():
        expected = network((x * mine[1] + mine[0] - theirs[0]) / theirs[1])
    torch.testing.assert_close(teacher.scores(x, mine), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(
        SettingError, match="teacher: got 'resnet81'; expected a design or a model of timm; did you mean"
    ):
        load_teacher("timm:resnet81", ("a", "b"), scale)
    with pytest.raises(SettingError, match="teacher: the weights of timm's resnet18 cannot be had"):
        load_teacher("timm:resnet18", ("a", "b"), scale)


KILLED = """
    import os, signal, sys
    import gas.trainer.job as job
    from gas.space import load
    from gas.trainer import train

    job.SAVE_S = job._EPOCH_SAVE_S = 0.0
    at = int(sys.argv[1])

    def tell(state):
        if state.step == at:
            os.kill(os.getpid(), signal.SIGKILL)

    given = dict(resume=True) if os.path.exists("run") else dict(data="pets", overrides={fast!r})
    train(load("small.yaml"), out="run", tell=tell, loaders=1, **given)
"""


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_very_same_weights(here, trained):
    script = textwrap.dedent(KILLED).format(fast=FAST)
    for at in (2, 4):  # within the first epoch, and within the second
        done = subprocess.run([sys.executable, "-c", script, str(at)], capture_output=True, text=True, timeout=300)
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert not Path("run/model.safetensors").exists()
    done = subprocess.run([sys.executable, "-c", script, "-1"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = (load_file(path / "run" / "model.safetensors") for path in (trained, here))
    assert all(torch.equal(first[name], second[name]) for name in first)
    with open("run/metrics.csv") as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_training_that_goes_on(here, number):
    words = ["small.yaml", "--data", "digits", "--set", "epochs=400", "--out", "run"]
    command = [sys.executable, "-m", "gas.cli", "train", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ})
    try:
        first = process.stderr.readline()  # the bar's first line: a step is done
        assert "steps" in first, first
        time.sleep(0.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err.splitlines()[-1].startswith("gas: training stopped after step ")
    assert err.splitlines()[-1].endswith("; go on with: gas train --out run --resume")
    assert "Traceback" not in err + out
    result = train(out="run", resume=True, seconds=0.5)
    assert result.step > 0


@pytest.mark.slow
def test_procedural_and_contours_train(here):
    recipe = {"epochs": 1, "warm_epochs": 0.5}
    for name in ("procedural", "contours"):
        result = train(design(), data=name, classes=4, out=name, overrides=recipe)
        assert result.finished
        assert len(json.loads(Path(name, "training.json").read_text())["classes"]) == 4


@pytest.mark.slow
def test_every_augmentation_of_the_imagenet_recipe_runs(here):
    recipe = {"epochs": 6, "batch": 12, "group": 6, "precision": "float32"}
    result = train(design(), data="pets", recipe="imagenet_300ep", overrides=recipe, out="run", loaders=0)
    assert result.finished
    found = evaluate_weights(design(), result.weights, data="pets", recipe="imagenet_300ep")
    assert found.top1 == pytest.approx(result.rows[-1]["ema_top1"])
