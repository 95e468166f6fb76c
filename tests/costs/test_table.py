from __future__ import annotations

import linecache
import sqlite3
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from export_designs import folding
from hiera_parity import hierarchical, tiny
from random_designs import random_designs
from torch import nn

from gas.architecture import Architecture
from gas.costs import LatencyTable, Target, Timing, cost, count_module, folded_count, pieces, table
from gas.costs.pieces import design_pieces
from gas.errors import SettingError
from gas.model import fuse
from gas.patterns import Cost, Part


class Counting(Target):
    """Runs nothing, and notes what it was asked to prepare."""

    name = "counting"

    def __init__(self, *, batch: int = 1, threads: int = 1) -> None:
        super().__init__(batch=batch, threads=threads)
        self.prepared = 0
        self.modules: list[nn.Module] = []
        self.hook: Callable[[], object] = lambda: None

    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        self.prepared += 1
        self.modules.append(module)
        self.hook()
        work = [0.0] * (1000 * self.prepared)
        return lambda: sum(work)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "latency.sqlite"


def keys_of(design: Architecture) -> list[str]:
    return [piece.key for piece in design_pieces(design)]


def forget() -> None:
    pieces.pieces.cache_clear()
    pieces._branch.cache_clear()


def runs(design: Architecture) -> list[tuple[Part, tuple[int, ...]]]:
    return [(piece.part, piece.shape) for piece in design_pieces(design)]


def make(path: Path, **options: int) -> LatencyTable:
    return LatencyTable(Counting(**options), path, seconds=0.0)


def test_entries_are_the_whole_design_in_order() -> None:
    for design in random_designs(12, seed=41):
        x = torch.zeros(1, 3, design.resolution, design.resolution, device="meta")
        total = Cost()
        for part, shape in runs(design):
            assert tuple(x.shape[1:]) == shape
            with torch.device("meta"):
                module = part.build()
            total += count_module(module, (1, *shape)).cost
            x = module(x)
        assert x.shape == (1, design.head.options["classes"])
        assert total == cost(design)


def test_a_prediction_is_the_sum_over_the_parts() -> None:
    known = LatencyTable(path=Path("/dev/null/nowhere"), seconds=0.0)
    prediction = known.predict(tiny())
    assert prediction == pytest.approx(sum(known._known[piece.key] for piece in design_pieces(tiny())))
    assert prediction > 0


def test_each_part_is_measured_once(path: Path) -> None:
    known = make(path)
    different = len({piece.key for piece in design_pieces(tiny())})
    assert known.missing(tiny()) == different > 5
    first = known.predict(tiny())
    assert known.missing(tiny()) == 0
    assert known.predict(tiny()) == first
    assert known.target.prepared == different + 1  # and the yardstick, once


def test_parts_are_measured_folded(path: Path) -> None:
    known = make(path)
    known.predict(folding())
    assert len(known.target.modules) > 5
    norms = {type(m) for module in known.target.modules for m in module.modules() if "Norm" in type(m).__name__}
    assert norms == {nn.LayerNorm}  # the yardstick's


def test_the_parts_folded_are_the_design_folded() -> None:
    x = torch.zeros(1, 3, 32, 32, device="meta")
    total = Cost()
    for part, shape in runs(folding()):
        with torch.device("meta"):
            module = fuse(part.build())
        total += count_module(module, (1, *shape)).cost
        x = module(x)
    assert x.shape == (1, 10)
    assert total == folded_count(folding()).cost


def test_designs_share_their_blocks(path: Path) -> None:
    shallow = hierarchical(16, (16, 32), (1, 2), 16, resolution=32, classes=10, mask_unit=4)
    deep = hierarchical(16, (16, 32), (1, 5), 16, resolution=32, classes=10, mask_unit=4)
    known = make(path)
    a = known.predict(shallow)
    assert known.missing(deep) == 0
    mixer, mlp = keys_of(deep)[-3:-1]  # the last block
    assert known.predict(deep) == pytest.approx(a + 3 * (known._known[mixer] + known._known[mlp]))


def test_a_slower_machine_gives_the_same_numbers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slowness = 1.0

    def timed(runs: dict[str, object], **settings: object) -> dict[str, Timing]:
        usual = {"piece": 3.0, "yardstick": 2.0, "": 2.0}
        return {name: Timing.of([slowness * usual[name]] * 5) for name in runs}

    known = make(path)
    monkeypatch.setattr(table, "measure", timed)
    parts = design_pieces(tiny())
    assert known.ms(parts[0]) == pytest.approx(3.0)
    slowness = 1.7
    assert known.ms(parts[1]) == pytest.approx(3.0)
    assert make(path).ms(parts[2]) == pytest.approx(3.0)  # the yardstick's usual speed is remembered too


@pytest.mark.parametrize(
    "change",
    [{"mask_unit": 2}, {"head_dim": 8}, {"resolution": 64}, {"classes": 11}, {"dims": (16, 48)}, {"local": 2}],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_a_part_changes_its_key(change: dict) -> None:
    base = {"stem": 16, "dims": (16, 32), "depths": (1, 2), "head_dim": 16, "resolution": 32, "classes": 10}
    base |= {"mask_unit": 4, "local": 1}
    keys = keys_of(hierarchical(**base))
    changed = keys_of(hierarchical(**(base | change)))
    assert keys != changed


def test_a_second_run_gets_the_same_numbers(path: Path) -> None:
    first, second = make(path), None
    prediction = first.predict(tiny())
    second = make(path)
    assert second.missing(tiny()) == 0
    assert second.predict(tiny()) == prediction
    assert second.target.prepared == 0


def test_another_machine_or_clock_has_numbers_of_its_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(path).predict(tiny())
    assert make(path, batch=2).missing(tiny()) > 0
    assert make(path, batch=2).predict(tiny()) != make(path).predict(tiny())
    assert LatencyTable(Counting(), path, clock="wall").missing(tiny()) > 0
    with monkeypatch.context() as patch:
        patch.setattr("gas.costs.targets.base.cpu_model", lambda: "another CPU")
        assert make(path).missing(tiny()) > 0
    assert make(path).missing(tiny()) == 0


def test_changed_code_is_measured_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(path).predict(tiny())
    monkeypatch.setattr(pieces, "_code", lambda cls: "changed")
    forget()
    assert make(path).missing(tiny()) > 0
    monkeypatch.undo()
    forget()
    assert make(path).missing(tiny()) == 0


def test_a_digest_knows_the_code_that_a_class_uses() -> None:
    source = "class Inner:\n    side = 3\n\n\nclass Base:\n    pass\n\n\nclass Outer(Base):\n"
    source += "    def make(self):\n        return [Inner() for _ in range(2)]\n"
    digests = set()
    for changed in (source, source.replace("side = 3", "side = 5"), source.replace("pass", "ready = True")):
        digests.add(digest_of(changed))
    assert len(digests) == 3
    assert digest_of(source) in digests


def digest_of(source: str) -> str:
    """The digest of the class Outer of a module of ours with this source."""
    name = "gas.of_a_test"
    module = types.ModuleType(name)
    module.__file__ = f"<{hash(source)}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[module.__file__] = (len(source), None, lines, module.__file__)
    sys.modules[name] = module
    try:
        exec(compile(source, module.__file__, "exec"), vars(module))
        return pieces._code.__wrapped__(module.Outer)
    finally:
        del sys.modules[name]


def test_the_first_of_two_processes_decides(path: Path) -> None:
    first, second = make(path), make(path)
    assert second.missing(tiny()) > 0
    prediction = first.predict(tiny())
    assert second.predict(tiny()) == prediction
    assert second.target.prepared == 0  # it looked again before it measured


def test_the_first_to_finish_decides_where_both_measure(path: Path) -> None:
    first, second = make(path), make(path)
    second.target.hook = lambda: first.predict(tiny())  # the other overtakes while this one prepares its first part
    assert second.predict(tiny()) == first.predict(tiny())
    assert second.target.prepared == 2  # the part and the yardstick


def test_many_writers_agree(path: Path) -> None:
    tables = [make(path) for _ in range(4)]

    def enter(number: int) -> list[float]:
        timings = [Timing(float(100 * number + i), 0.0, 0.0, 1) for i in range(25)]
        return [tables[number]._keep(f"part {i}", timing) for i, timing in enumerate(timings)]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(enter, range(4)))
    assert results[0] == results[1] == results[2] == results[3]
    assert not any(each.problem for each in tables)


def test_many_at_once_with_progress(path: Path) -> None:
    designs = list(random_designs(5, seed=42))
    known, calls = make(path), []
    predicted = known.predict_many(designs, lambda done, total: calls.append((done, total)))
    total = len({key for design in designs for key in keys_of(design)})
    assert calls == [(i, total) for i in range(1, total + 1)]
    assert predicted == [known.predict(design) for design in designs]
    calls.clear()
    assert known.predict_many(designs, lambda done, total: calls.append(done)) == predicted
    assert not calls
    assert known.predict_many([]) == []


def in_a_file(folder: Path) -> Path:
    (folder / "file").write_text("not a folder")
    return folder / "file" / "latency.sqlite"


def is_a_folder(folder: Path) -> Path:
    (folder / "latency.sqlite").mkdir()
    return folder / "latency.sqlite"


def is_no_database(folder: Path) -> Path:
    (folder / "latency.sqlite").write_text("this is not a database, and long enough to be seen for what it is" * 20)
    return folder / "latency.sqlite"


@pytest.mark.parametrize("spoil", [in_a_file, is_a_folder, is_no_database])
def test_without_a_usable_file_numbers_are_kept_in_memory(spoil: Callable[[Path], Path], tmp_path: Path) -> None:
    path = spoil(tmp_path)
    content = path.read_bytes() if path.is_file() else None
    known = make(path)
    assert str(path) in known.problem
    assert known.predict(tiny()) == known.predict(tiny())
    assert known.missing(tiny()) == 0
    assert content is None or path.read_bytes() == content


def test_a_file_removed_meanwhile_is_no_disaster(path: Path) -> None:
    known = make(path)
    prediction = known.predict(tiny())
    path.unlink()
    assert known.predict(tiny(classes=3)) > 0
    assert known.predict(tiny()) == prediction


def test_it_lives_in_the_cache_folder(gas_cache: Path) -> None:
    known = LatencyTable(Counting(), seconds=0.0)
    known.predict(tiny())
    assert not known.problem
    with sqlite3.connect(gas_cache / "latency.sqlite") as file:
        rows = file.execute("SELECT machine, median_ms, repeats FROM pieces").fetchall()
    file.close()
    assert rows
    assert all("counting" in machine and ms > 0 and repeats >= 5 for machine, ms, repeats in rows)


def test_measuring_parts_leaves_the_random_state_alone(path: Path) -> None:
    before = torch.random.get_rng_state()
    make(path).predict(tiny())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_cpu_clock_sees_one_thread() -> None:
    with pytest.raises(SettingError, match="threads: got 2"):
        LatencyTable(Counting(threads=2))
    assert LatencyTable(Counting(threads=2), clock="wall").target.threads == 2


def test_whole_designs_are_measured_in_turns_and_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[list[str]] = []
    slow = 2.0

    def timed(runs: dict[str, object], **settings: object) -> dict[str, Timing]:
        rounds.append([name for name in runs if not name.startswith("yardstick")])
        # The machine is half as fast in every other round; so is the yardstick then.
        speeds = np.array([1.0, slow] * 3)
        series = {name: 5.0 if name.startswith("yardstick") or not name else 30.0 for name in runs}
        return {name: Timing.of(list(ms * speeds)) for name, ms in series.items()}

    monkeypatch.setattr(table, "measure", lambda runs, **_: timed(runs) if runs else {})
    monkeypatch.setattr(table, "TOGETHER", 4)
    designs = [tiny(classes=n) for n in range(2, 8)]
    known = make(path)
    _, usual_ms = known.yardstick()
    rounds.clear()
    calls: list[tuple[int, int]] = []
    told = known.measured([*designs, designs[0]], progress=lambda done, total: calls.append((done, total)))
    assert told == pytest.approx([30.0 * usual_ms / 5.0] * 7)
    assert [len(names) for names in rounds] == [4, 2]
    assert calls == [(4, 6), (6, 6)]
    # What is kept is found again, in another process too; what takes turns beside is not kept.
    assert make(path).measured(designs) == told[:6]
    assert len(rounds) == 2
    other = tiny(classes=9)
    assert known.measured([other], beside=designs[:3]) == pytest.approx(told[:1])
    assert len(rounds[-1]) == 4
    assert known.measured(designs[:2], again=True) == pytest.approx(told[:2])
    assert len(rounds) == 4


def test_the_yardstick_has_run_before_it_is_timed() -> None:
    runs: list[float] = []
    clock = iter(range(100))
    stick = table.Warmed(lambda: runs.append(next(clock)), lambda: float(next(clock)))
    assert stick.elapsed_ms() == 2000.0  # two ticks: the end of the timed run, and the run itself
    assert len(runs) == 2
    assert stick() is None
    assert len(runs) == 3
