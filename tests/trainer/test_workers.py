"""Several workers on Ray Train: the weights of one but for rounding, and a worker that is lost."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from trainer.small_training import design, folder, mortal_loop

from gas.errors import RunError
from gas.exports.design_file import design_text
from gas.trainer import train
from gas.trainer import workers as on_ray

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# One step an epoch: rounding has little time to grow. Everything is drawn by groups of half the batch.
RECIPE = {"epochs": 3, "batch": 12, "group": 6, "warm_epochs": 0.5, "mixup": 0.4, "drop_path": 0.0, "clip": 1.0}


@pytest.fixture
def pets(tmp_path: Path) -> str:
    return str(folder(tmp_path / "pets"))


def test_two_workers_come_to_the_weights_of_one(pets, tmp_path):
    alone = train(design(), data=pets, out=tmp_path / "one", overrides=RECIPE, loaders=0)
    rows = []
    both = train(
        design(),
        data=pets,
        out=tmp_path / "two",
        overrides=RECIPE,
        loaders=0,
        workers=2,
        tell=lambda state: rows.append(state.row),
    )
    assert both.finished
    for name in ("train_loss", "val_loss", "top1"):
        assert [row[name] for row in both.rows] == pytest.approx([row[name] for row in alone.rows], rel=1e-4)
    first, second = load_file(alone.weights), load_file(both.weights)
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-3, atol=1e-4)
    assert not (tmp_path / "two" / ".ray").exists()


def test_after_a_lost_worker_all_go_on_from_the_checkpoint(pets, tmp_path, monkeypatch):
    recipe = {**RECIPE, "batch": 6, "group": 3}  # two steps an epoch: the worker is lost within the third
    alone = train(design(), data=pets, out=tmp_path / "one", overrides=recipe, loaders=0)
    monkeypatch.setattr(on_ray, "_loop", mortal_loop)
    both = train(design(), data=pets, out=tmp_path / "two", overrides=recipe, loaders=0, workers=2)
    assert (tmp_path / "killed").exists()
    assert both.finished
    assert [row["step"] for row in both.rows] == [2, 4, 6]
    first, second = load_file(alone.weights), load_file(both.weights)
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-3, atol=1e-4)


def test_what_a_worker_runs_into_is_told_in_a_line(pets, tmp_path):
    recipe = {**RECIPE, "rate": 1e9, "warm_epochs": 0.0, "clip": None, "epochs": 200}
    with pytest.raises(RunError, match=r"^training diverged: .* \(epoch \d+ of 200\)"):
        train(design(), data=pets, out=tmp_path / "run", overrides=recipe, loaders=0, workers=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_training_that_goes_on(tmp_path, number):
    (tmp_path / "small.yaml").write_text(design_text(design(), "small"))
    words = ["small.yaml", "--data", "digits", "--set", "epochs=4000", "--workers", "2", "--out", "run"]
    command = [sys.executable, "-m", "gas.cli", "train", *words]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        command, cwd=tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes
    )
    try:
        for _ in range(2):  # a line of the bar for each epoch; the checkpoint of the first stands by the second
            line = process.stderr.readline()
            assert "steps" in line, line
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    told = re.fullmatch(
        r"gas: training stopped; the last checkpoint is of step (\d+); go on with: gas train --out run .*--resume.*",
        err.splitlines()[-1],
    )
    assert "Traceback" not in err + out
    result = train(out=tmp_path / "run", resume=True, seconds=0.5)
    assert result.step >= int(told[1]) > 0
