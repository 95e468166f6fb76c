"""Designs trained in full: which, how, and what is read from a table of trainings."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gas.errors import GasError, RunError, SettingError
from gas.evidence.truth import Job, Truth, draw, full_fidelity, jobs, read_truth
from gas.plan import plan
from gas.proxies import create
from gas.space import load_space

QUICK = {"steps": 2, "batch": 8, "images": 32, "validation": 32}


def training(**changes: object) -> dict:
    """Settings of a training that takes no time."""
    return {"data": "digits", "fidelity": full_fidelity("digits", 32, QUICK | changes).model_dump(mode="json")}


def test_different_designs_are_drawn_and_more_of_them_begin_with_the_fewer() -> None:
    space = load_space("tiny.yaml")
    many = draw(space, 70, 0)
    assert len({d.id for d in many}) == 70
    assert draw(space, 9, 0) == many[:9]
    assert draw(space, 9, 1) != many[:9]
    assert all(design in space for design in many)
    assert len(draw(load_space("zoo/hiera_tiny"), 9, 0)) == 1


def test_the_fidelity_of_the_truth_takes_all_images_at_full_width() -> None:
    digits, folder = full_fidelity("digits", 224, {}), full_fidelity("some/folder", 224, {"steps": 7})
    assert (digits.width, digits.images, digits.validation, digits.resolution) == (1.0, None, None, 32)
    assert (folder.width, folder.images, folder.resolution, folder.steps) == (1.0, None, 64, 7)
    assert full_fidelity("procedural", 48, {}).resolution == 48
    with pytest.raises(SettingError, match="did you mean 'steps'"):
        full_fidelity("digits", 32, {"step": 3})


def test_trainings_are_those_of_the_proxy_and_are_made_once(tmp_path: Path) -> None:
    designs = draw(load_space("tiny.yaml"), 3, 0)
    wanted = jobs(designs, 1)
    assert [(job.design.id, job.seed) for job in wanted[3:]] == [(designs[0].id, 1), (designs[0].id, 2)]
    told = []
    Truth(tmp_path).train(wanted[:2], training(), watch=lambda *state: told.append(state))
    Truth(tmp_path).train(wanted, training(), watch=lambda *state: told.append(state))
    assert [state[:2] for state in told] == [(1, 2), (2, 2), (1, 3), (2, 3), (3, 3)]
    rows = Truth(tmp_path).table.rows
    proxy = create("short_training", training())
    for row, job in zip(rows, wanted, strict=True):
        score = proxy.score(job.design, seed=job.seed)
        assert (row["id"], row["seed"]) == (job.design.id, str(job.seed))
        assert float(row["accuracy"]) == score["short_training"]
        assert float(row["loss"]) == score["short_training_loss"]
        assert int(row["macs"]) == plan(job.design).cost.macs
    assert rows[0]["loss"] != rows[3]["loss"]  # another seed
    read, frame, noise = read_truth(tmp_path / "truth.csv", "loss")
    assert read == designs
    assert list(frame["seeds"]) == [3, 1, 1]
    losses = [float(row["loss"]) for row in rows]
    assert list(frame["loss"]) == pytest.approx([np.mean([losses[0], *losses[3:]]), *losses[1:3]])
    assert noise is None


def test_a_failed_training_is_kept_with_its_reason_and_not_tried_again(tmp_path: Path) -> None:
    designs = draw(load_space("tiny.yaml"), 2, 0)
    for _ in range(2):
        truth = Truth(tmp_path)
        truth.train(jobs(designs, 0), training(resolution=20))
    assert truth.table.rows == []
    assert [row["id"] for row in truth.failures.rows] == [d.id for d in designs]
    assert truth.failures.rows[0]["reason"].startswith("DesignError: ")


def test_no_training_begins_after_the_time(tmp_path: Path) -> None:
    truth = Truth(tmp_path)
    truth.train(jobs(draw(load_space("tiny.yaml"), 2, 0), 2), training(), until=time.monotonic())
    assert truth.done() == set()


def test_each_seed_has_its_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    for module in ("gas.evidence.truth", "gas.evaluators.base"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=lambda: now[0]))

    def later(done: int, total: int, what: str) -> None:
        now[0] += 2.0
        assert total == 8

    truth = Truth(tmp_path)
    truth.train(jobs(draw(load_space("tiny.yaml"), 4, 0), 2), training(), until=10.0, watch=later)
    # Half of the trainings have until 5, half of the rest have half of what is left, the last ones have the rest.
    assert [row["seed"] for row in truth.table.rows] == ["0", "0", "0", "1", "2"]


@pytest.mark.slow
def test_trainings_on_ray_are_those_of_this_process(tmp_path: Path) -> None:
    wanted = [Job(design, 1) for design in draw(load_space("tiny.yaml"), 4, 0)]
    found = []
    for name, workers in (("here", 1), ("ray", 2)):
        (tmp_path / name).mkdir()
        truth = Truth(tmp_path / name)
        truth.train(wanted, training(), workers=workers)
        found.append({(r["id"], r["seed"]): r["loss"] for r in truth.table.rows})
    assert found[0] == found[1]
    assert len(found[0]) == 4


def test_a_table_of_trainings_may_have_little_more_than_designs(tmp_path: Path) -> None:
    designs = draw(load_space("tiny.yaml"), 3, 0)
    lines = [
        f'{value},"{d.to_json().replace(chr(34), chr(34) * 2)}"' for d, value in zip(designs, (1, "", 3), strict=True)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["top1,design", *lines, ""]))
    read, frame, noise = read_truth(tmp_path / "a.csv", "top1")
    assert read == [designs[0], designs[2]]
    assert list(frame["top1"]) == [1.0, 3.0]
    assert list(frame["params"]) == [plan(d).cost.params for d in read]
    assert noise is None


def test_a_table_may_say_which_designs_are_kin(tmp_path: Path) -> None:
    designs = draw(load_space("tiny.yaml"), 3, 0)
    quoted = ['"' + design.to_json().replace('"', '""') + '"' for design in designs]
    rows = [f"{top1},{family},{text}" for top1, family, text in zip((1, 2, 3), ("a", "", "a"), quoted, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["accuracy,family,design", *rows, ""]))
    assert list(read_truth(tmp_path / "a.csv")[1]["family"]) == ["a", designs[1].id, "a"]


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("design\n{}\n", RunError, "columns: got 'design'; expected accuracy among them"),
        ("acuracy,design\n1,{}\n", RunError, "expected accuracy among them"),
        ("accuracy,desing\n1,{}\n", RunError, "expected design among them"),
        ("", RunError, "columns: got 'none'"),
        ("accuracy,design\nhigh,{}\n", RunError, "row 2: accuracy: got 'high'; expected a number"),
        ("accuracy,design\n1,[\n", SettingError, r"row 2: design: got '\['; expected the JSON of a design"),
        ("accuracy,design\n1,{}\n", SettingError, "row 2: design: got '{}'"),
        ("accuracy,design\n1,7\n", SettingError, "row 2: design: got '7'"),
    ],
)
def test_a_table_that_cannot_be_read_is_told(tmp_path: Path, text: str, kind: type[GasError], problem: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(kind, match=problem):
        read_truth(tmp_path / "a.csv")
