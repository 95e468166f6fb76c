from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import gas
from gas.architecture import Architecture, Group, Spec, Stage
from gas.archive import FILE, Archive
from gas.errors import RunError, UnknownNameError
from gas.evaluation import UNITS, Candidate, Constraint, Evaluation, Objective, Status

OBJECTIVES = [Objective("score", maximise=True), Objective("macs")]


def design(dim: int) -> Architecture:
    block = Spec.of("transformer", mixer=Spec.of("global_attention", heads=2))
    return Architecture(Spec.of("conv_embed"), (Stage(dim, (Group(block, 2),)),), Spec.of("classifier"))


def candidate(number: int, dim: int | None = None, **decisions: object) -> Candidate:
    return Candidate(number, design(dim or 8 * number + 8), f"mutation of {number}", decisions)


def evaluation(of: Candidate, status: Status = Status.OK, reason: str = "", **metrics: float) -> Evaluation:
    return Evaluation(of, status, {"macs": 1_000, "params": 10} | metrics, reason, 0.25)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive.create(tmp_path) as archive:
        yield archive


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, for hundreds of archives whose syncing is not what is looked at."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="gas-archive-", dir=shared) as folder:
        yield Path(folder)


def fill(archive: Archive, rows: list[tuple[float, int]]) -> None:
    """Candidates 0, 1, ..., told at once: (score, macs)."""
    for number, (score, macs) in enumerate(rows):
        archive.ask(candidate(number))
        archive.tell(evaluation(candidate(number), score=score, macs=macs))


def test_events_come_back_equal_and_in_the_order_in_which_they_happened(archive: Archive) -> None:
    first, second, third = (candidate(n, depth=n, mixer="a", dims=(8, 16), rate=0.5, wide=True) for n in range(3))
    failed = evaluation(second, Status.FAILED, "ValueError: loss is nan")
    told = evaluation(first, score=0.1 + 0.2)
    archive.ask(first)
    archive.ask(second)
    archive.tell(failed, "host:1", '{"epochs":3}')
    archive.ask(third)
    archive.tell(told)
    expected = [("asked", first), ("asked", second), ("told", failed), ("asked", third), ("told", told)]
    assert list(archive.events()) == expected
    with Archive.open(archive.file) as again:
        events = list(again.events())
    assert events == expected
    assert [dict(e.decisions) for kind, e in events if kind == "asked"] == [
        dict(c.decisions) for c in (first, second, third)
    ]
    assert [type(v) for v in events[0][1].decisions.values()] == [int, str, tuple, float, bool]
    assert archive.candidates() == [first, second, third]
    assert archive.evaluations() == [failed, told]
    assert archive.in_flight() == [third]


def test_metrics_that_are_no_numbers_come_back(archive: Archive) -> None:
    archive.ask(candidate(0))
    archive.tell(evaluation(candidate(0), odd=math.nan, vast=math.inf))
    (told,) = archive.evaluations()
    assert math.isnan(told.metrics["odd"])
    assert told.metrics["vast"] == math.inf


def test_each_number_is_asked_and_told_once(archive: Archive) -> None:
    archive.ask(candidate(0))
    archive.tell(evaluation(candidate(0)))
    before = list(archive.events())
    for call, problem in [
        (lambda: archive.tell(evaluation(candidate(0), score=1.0)), "second evaluation of candidate 0"),
        (lambda: archive.tell(evaluation(candidate(1))), "candidate 1 .*expected one that was asked for"),
        (lambda: archive.tell(evaluation(candidate(0, dim=999))), f"expected {design(8).id}, which was asked for"),
        (lambda: archive.ask(candidate(0, dim=999)), "candidate 0 again"),
    ]:
        with pytest.raises(RunError, match=problem) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert list(archive.events()) == before


def test_a_failed_write_leaves_the_archive_usable(archive: Archive) -> None:
    with pytest.raises(TypeError):
        archive.ask(candidate(0, bad=object()))
    archive._connection.execute("CREATE TRIGGER full BEFORE INSERT ON told BEGIN SELECT RAISE(ABORT, 'disk'); END")
    archive.ask(candidate(0))
    with pytest.raises(RunError, match="cannot be written: disk"):
        archive.tell(evaluation(candidate(0)))
    archive._connection.execute("DROP TRIGGER full")
    archive.tell(evaluation(candidate(0)))
    assert [kind for kind, _ in archive.events()] == ["asked", "told"]


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from test_archive import Archive, candidate, evaluation
with Archive.create({folder!r}) as archive:
    for number in range(100_000):
        archive.ask(candidate(number, depth=number))
        print("asked", number, flush=True)
        archive.tell(evaluation(candidate(number), score=number / 7), "host:1")
        print("told", number, flush=True)
"""


def writer(folder: Path) -> subprocess.Popen[str]:
    code = WRITER.format(tests=str(Path(__file__).parent), folder=str(folder))
    environment = os.environ | {"PYTHONPATH": str(Path(gas.__path__[0]).parent)}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def test_all_that_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    process = writer(tmp_path)
    try:
        lines = [process.stdout.readline() for _ in range(61)]
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    acknowledged = [(kind, int(number)) for kind, number in (line.split() for line in lines if line.endswith("\n"))]
    assert len(acknowledged) >= 61
    assert (tmp_path / f"{FILE}-wal").stat().st_size > 0  # the kill came before the log was folded into the file
    with Archive.open(tmp_path) as archive:
        events = [
            (kind, event.number if kind == "asked" else event.candidate.number) for kind, event in archive.events()
        ]
        assert events[: len(acknowledged)] == acknowledged
        assert len(events) <= len(acknowledged) + 1
        for told in archive.evaluations():
            assert told == evaluation(told.candidate, score=told.candidate.number / 7)
        for lost in archive.in_flight():
            archive.tell(evaluation(lost))
        assert archive.in_flight() == []


def test_reading_beside_a_writer(tmp_path: Path) -> None:
    process = writer(tmp_path)
    try:
        for _ in range(4):
            process.stdout.readline()
        counts = []
        with Archive.open(tmp_path, readonly=True) as archive:
            for _ in range(3):
                frame = archive.frame()
                counts.append(len(frame))
                assert frame["number"].tolist() == list(range(len(frame)))
                assert len(archive.front(OBJECTIVES)) == 1
                for _ in range(8):
                    assert process.stdout.readline()
            with pytest.raises(RunError, match="cannot be written"):
                archive.ask(candidate(1_000_000))
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert 2 <= counts[0] < counts[1] < counts[2]


def test_what_is_read_is_of_one_moment(archive: Archive) -> None:
    archive.ask(candidate(0))
    with Archive.open(archive.file, readonly=True) as reader, reader._snapshot():
        assert list(reader.events()) == [("asked", candidate(0))]
        archive.tell(evaluation(candidate(0)))
        assert list(reader.events()) == [("asked", candidate(0))]
    assert len(archive.evaluations()) == 1


def test_an_archive_is_not_made_twice_nor_in_no_folder(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="exists already"):
        Archive.create(tmp_path)
    with pytest.raises(RunError, match="cannot be made"):
        Archive.create(tmp_path / "nowhere" / FILE)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".sqlite") == [FILE]


def damage(file: Path, how: str) -> None:
    if how == "missing":
        file.unlink()
    elif how == "text":
        file.write_text("these are notes, not a database\n" * 100)
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "overwritten":
        data = bytearray(file.read_bytes())
        data[4096:] = b"\xa5" * (len(data) - 4096)
        file.write_bytes(data)
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:6000])
    else:
        with sqlite3.connect(file) as connection:
            connection.execute(how)
        connection.close()


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("missing", "got no such file; expected the archive of a run"),
        ("text", "damaged: file is not a database"),
        ("empty", "damaged: it is no archive"),
        ("overwritten", "damaged: "),
        ("cut", "damaged: "),
        ("PRAGMA application_id = 7", "damaged: it is no archive"),
        ("PRAGMA user_version = 99", "got schema version 99; expected 1"),
        ("DROP TABLE measurements", "damaged: table measurements is missing"),
    ],
)
def test_what_is_no_sound_archive_is_refused_in_one_line(tmp_path: Path, how: str, problem: str) -> None:
    with Archive.create(tmp_path) as archive:
        fill(archive, [(0.5, 100)] * 20)
    damage(tmp_path / FILE, how)
    for readonly in (False, True):
        with pytest.raises(RunError, match=problem) as caught:
            Archive.open(tmp_path, readonly=readonly)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("UPDATE told SET metrics = '{' WHERE number = 1", "table told, candidate 1: metrics is no JSON"),
        ("UPDATE told SET metrics = '[]' WHERE number = 1", "table told, candidate 1: metrics is no mapping"),
        ("UPDATE told SET status = 'fine' WHERE number = 1", "table told, candidate 1: status is 'fine'"),
        ("UPDATE asked SET decisions = 'x' WHERE number = 2", "table asked, candidate 2: decisions is no JSON"),
        (
            "UPDATE asked SET architecture = '{}' WHERE number = 2",
            "table asked, candidate 2: architecture: got a design",
        ),
        ("DELETE FROM asked WHERE number = 0", "candidate 0 is in table told and not in table asked"),
    ],
)
def test_a_damaged_row_is_named(tmp_path: Path, how: str, problem: str) -> None:
    with Archive.create(tmp_path) as archive:
        fill(archive, [(0.5, 100)] * 3)
    damage(tmp_path / FILE, how)
    with Archive.open(tmp_path) as archive:
        for read in (archive.frame, archive.evaluations, archive.in_flight):
            with pytest.raises(RunError, match=f"damaged: {problem}") as caught:
                read()
            assert "\n" not in str(caught.value)


def test_a_design_is_found_by_number_id_and_the_beginning_of_its_id(archive: Archive) -> None:
    fill(archive, [(0.5, 100)] * 30)
    for wanted in (7, "7", design(64).id, design(64).id[:8]):
        assert archive.architecture(wanted) == design(64)
    with pytest.raises(RunError, match=r"got 99; expected the id or number of one of the run's 30 candidates"):
        archive.architecture(99)
    typo = design(64).id[:11] + ("0" if design(64).id[11] != "0" else "1")
    with pytest.raises(RunError, match=f"did you mean '{design(64).id}'"):
        archive.architecture(typo)


def test_a_beginning_that_several_ids_share_is_refused(archive: Archive) -> None:
    fill(archive, [(0.5, 100)] * 2)
    archive._connection.execute("UPDATE asked SET id = 'abcd' || number")
    assert archive.architecture("abcd1") == design(16)
    with pytest.raises(RunError, match="expected more of it, to tell abcd0 from abcd1"):
        archive.architecture("abcd")


def test_the_frame_has_typed_columns(archive: Archive) -> None:
    archive.ask(candidate(0, **{"stages[0].dim": 8, "mixer": "a", "ratio": 2, "wide": True}))
    archive.ask(candidate(1, **{"stages[0].dim": 16, "mixer": "b", "mixer(b).heads": 4, "ratio": 2.5}))
    archive.ask(candidate(2))
    archive.tell(evaluation(candidate(1), score=0.5), "host:1", '{"epochs":3}')
    archive.tell(evaluation(candidate(0), Status.FAILED, "killed"), "host:2")
    frame = archive.frame()
    assert list(frame.columns) == [
        *("id", "number", "status", "reason", "origin", "macs", "params", "score"),
        *("mixer", "mixer(b).heads", "ratio", "stages[0].dim", "wide"),
        *("seconds", "worker", "fidelity", "architecture"),
    ]
    assert frame.dtypes.astype(str).to_dict() == {
        **dict.fromkeys(("id", "status", "reason", "origin", "mixer", "worker", "fidelity", "architecture"), "str"),
        **dict.fromkeys(("macs", "params", "mixer(b).heads", "stages[0].dim"), "Int64"),
        **dict.fromkeys(("score", "ratio", "seconds"), "float64"),
        "number": "int64",
        "wide": "boolean",
    }
    assert frame["number"].tolist() == [1, 0]
    assert frame["status"].tolist() == ["ok", "failed"]
    assert frame["mixer(b).heads"].isna().tolist() == [False, True]
    assert frame["score"].isna().tolist() == [False, True]
    assert frame["worker"].tolist() == ["host:1", "host:2"]
    assert [Architecture.from_json(text).id for text in frame["architecture"]] == frame["id"].tolist()
    assert frame.attrs["units"] == {name: UNITS[name] for name in ("macs", "params", "seconds")}


def test_choices_that_no_plain_type_holds_are_text(archive: Archive) -> None:
    archive.ask(candidate(0, sizes=(3, 5), mixed="x", switched=True))
    archive.ask(candidate(1, sizes=(7,), mixed=3, switched=2))
    for number in (0, 1):
        archive.tell(evaluation(candidate(number), score=0.5))
    frame = archive.frame()
    assert frame["sizes"].tolist() == ["[3, 5]", "[7]"]
    assert frame["mixed"].tolist() == ["x", "3"]
    assert frame["switched"].tolist() == ["true", "2"]
    assert [name for name in frame if frame[name].dtype == object] == []
    assert frame.attrs["decisions"] == ["mixed", "sizes", "switched"]


def test_an_empty_frame_has_its_columns_and_types(archive: Archive) -> None:
    frame = archive.frame()
    assert len(frame) == 0
    assert frame.dtypes.astype(str)["number"] == "int64"
    assert frame.dtypes.astype(str)["id"] == "str"
    front = archive.front(OBJECTIVES)
    assert list(front.columns) == list(frame.columns)
    assert len(front) == 0


def test_names_that_clash_with_a_column_get_a_prefix(archive: Archive) -> None:
    archive.ask(candidate(0, score=3, worker=4))
    archive.tell(evaluation(candidate(0), score=0.5, seconds=9.0))
    frame = archive.frame()
    assert frame.columns.is_unique
    assert frame.loc[0, ["score", "decisions.score", "decisions.worker", "metrics.seconds", "seconds"]].tolist() == [
        *(0.5, 3, 4, 9.0, 0.25)
    ]


def test_measured_latencies_are_joined_by_design_and_never_mixed_over_settings(archive: Archive) -> None:
    fill(archive, [(0.5, 100), (0.6, 200), (0.7, 300)])
    setting = {"target": "cpu_eager", "batch": 1, "threads": 1, "repeats": 30}
    archive.measure(design(8).id, **setting, median_ms=5.0, q1_ms=4.0, q3_ms=6.0)
    archive.measure(design(8).id, **setting | {"batch": 8}, median_ms=50.0, q1_ms=40.0, q3_ms=60.0)
    archive.measure(design(8).id, **setting, median_ms=7.0, q1_ms=6.5, q3_ms=8.0, reference="turbovit", ratio=0.9)
    archive.measure(design(24).id, **setting, median_ms=9.0, q1_ms=8.5, q3_ms=9.5)
    names = ["latency_ms", "latency_ms_q1", "latency_ms_q3", "latency_ratio"]
    frame = archive.frame()
    assert frame.columns.tolist()[5:12] == ["macs", "params", *names, "score"]
    assert frame.loc[0, names].tolist() == [7.0, 6.5, 8.0, 0.9]
    assert frame.loc[1, names].isna().all()
    assert frame.loc[2, names].isna().tolist() == [False, False, False, True]
    assert frame.attrs["latency"] == {"target": "cpu_eager", "batch": 1, "threads": 1}
    assert frame.attrs["units"]["latency_ms_q3"] == UNITS["latency_ms"]
    other = archive.frame(("cpu_eager", 8, 1))
    assert other["latency_ms"].tolist()[:1] == [50.0]
    assert other["latency_ms"].isna().tolist() == [False, True, True]
    assert [kind for kind, _ in archive.events()] == ["asked", "told"] * 3


def test_a_measured_latency_stands_before_one_that_was_told(archive: Archive) -> None:
    for number in range(2):
        archive.ask(candidate(number))
        archive.tell(evaluation(candidate(number), latency_ms=3.0))
    archive.measure(
        design(16).id, target="t", batch=1, threads=1, median_ms=5.0, q1_ms=4.0, q3_ms=6.0, repeats=9
    )  # fmt: skip
    assert archive.frame()["latency_ms"].tolist() == [3.0, 5.0]


def test_the_front_is_what_no_other_dominates_by_definition(archive: Archive) -> None:
    rows = [(0.5, 100), (0.7, 300), (0.6, 400), (0.7, 300), (0.9, 900), (0.5, 99), (0.4, 50)]
    fill(archive, rows)
    archive.ask(candidate(7))
    archive.tell(evaluation(candidate(7), Status.FAILED, "killed", score=1.0, macs=1))
    archive.ask(candidate(8))
    archive.tell(evaluation(candidate(8), macs=1))
    expected = [
        number
        for number, (score, macs) in enumerate(rows)
        if not any(s >= score and m <= macs and (s, m) != (score, macs) for s, m in rows)
    ]
    front = archive.front(OBJECTIVES)
    assert sorted(front["number"]) == expected == [1, 3, 4, 5, 6]
    assert front["number"].tolist() == [4, 1, 3, 5, 6]
    assert front.index.tolist() == list(range(5))
    assert front.attrs["units"]["macs"] == UNITS["macs"]
    assert archive.front(OBJECTIVES[::-1])["number"].tolist() == [6, 5, 1, 3, 4]


def test_the_front_keeps_constraints_and_leaves_out_what_is_unknown(archive: Archive) -> None:
    fill(archive, [(0.9, 900), (0.7, 300), (0.5, 100)])
    assert archive.front(OBJECTIVES, [Constraint("macs", high=300)])["number"].tolist() == [1, 2]
    assert archive.front(OBJECTIVES, [Constraint("macs", high=1)]).empty
    archive.measure(design(24).id, target="t", batch=1, threads=1, median_ms=5.0, q1_ms=4.0, q3_ms=6.0, repeats=9)
    assert archive.front(OBJECTIVES, [Constraint("latency_ms", high=6.0)])["number"].tolist() == [2]
    with pytest.raises(UnknownNameError, match=r"metric: got 'scores'.*did you mean 'score'"):
        archive.front([Objective("scores")])
    with pytest.raises(ValueError, match="relative constraint"):
        archive.front(OBJECTIVES, [Constraint("macs", high=1.0, of="turbovit")])
    with pytest.raises(ValueError, match="no objective"):
        archive.front([])


def test_frames_survive_a_round_trip_through_csv(archive: Archive, tmp_path: Path) -> None:
    fill(archive, [(0.1 + 0.2, 100), (1 / 3, 300)])
    archive.frame().to_csv(tmp_path / "a.csv", index=False)
    back = pd.read_csv(tmp_path / "a.csv")
    assert back["score"].tolist() == archive.frame()["score"].tolist()
    assert [json.loads(text) for text in back["architecture"]] == [design(8).to_dict(), design(16).to_dict()]


def test_every_write_is_synced(archive: Archive) -> None:
    assert archive._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert archive._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_block_that_a_signal_left_behind_is_torn_down_in_silence(tmp_path: Path, recwarn) -> None:
    """As where Ctrl-C comes between a block's beginning and its body: Python tears it down when nobody holds it."""
    archive = Archive.create(tmp_path)
    for begin in (Archive.together, Archive._snapshot):
        block = begin(archive)
        block.__enter__()
        archive.close()
        block.gen.close()  # an error here would be printed and go nowhere
        archive = Archive.open(tmp_path)
    assert archive.candidates() == []
    archive.close()


@contextlib.contextmanager
def struck(moment: int) -> Iterator[None]:
    """Ctrl-C at this call (of C's functions, too), counted from the beginning of the block."""
    seen = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal seen
        if event in ("return", "c_exception"):  # where Python itself looks for no signal
            return
        seen += 1
        if seen == moment:
            raise KeyboardInterrupt

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)


def written_under(folder: Path, moment: int) -> bool:
    """Two candidates asked for and told together, with Ctrl-C at a call; whether it came before the end."""
    folder.mkdir()
    archive = Archive.create(folder)
    try:
        with struck(moment), archive.together():
            for number in range(2):
                archive.ask(candidate(number))
                archive.tell(Evaluation(candidate(number), Status.OK, {"macs": 1}))
    except KeyboardInterrupt:
        return True
    finally:
        archive.close()
    return False


def whole_events(folder: Path) -> list[tuple[str, int]]:
    with Archive.open(folder) as archive:  # which refuses the half of an event
        return [(kind, event.number if kind == "asked" else event.candidate.number) for kind, event in archive.events()]


ALL = [("asked", 0), ("told", 0), ("asked", 1), ("told", 1)]


def test_ctrl_c_at_any_call_of_a_group_of_writes_leaves_whole_events(memory: Path) -> None:
    found, moment = [], 0
    while written_under(memory / str(moment), moment := moment + 1):
        found.append(whole_events(memory / str(moment - 1)))
    assert len(found) > 200
    assert all(events == ALL[: len(events)] for events in found)
    assert {len(events) for events in found} == {0, 1, 2, 3, 4}


def test_ctrl_c_again_while_the_first_one_is_seen_to_leaves_whole_events(memory: Path) -> None:
    def half(archive: Archive, moment: int) -> None:
        with contextlib.ExitStack() as stack, archive.together():

            def write(seq: int) -> None:
                stack.enter_context(struck(moment))
                raise KeyboardInterrupt

            archive.ask(candidate(0))
            archive._write("asked", write)

    kept = set()
    for moment in range(1, 40):
        folder = memory / str(moment)
        folder.mkdir()
        with Archive.create(folder) as archive, pytest.raises(KeyboardInterrupt):
            half(archive, moment)
        events = whole_events(folder)
        assert events == ALL[: len(events)]
        kept.add(len(events))
    assert kept == {0, 1}  # what was whole is kept, unless the second one came before it was on the disk


def test_an_event_that_is_refused_within_a_group_takes_none_with_it(archive: Archive) -> None:
    def group() -> None:
        with archive.together():
            with pytest.raises(RunError, match="expected one that was asked for"):
                archive.tell(Evaluation(candidate(0), Status.OK, {"macs": 1}))
            archive.ask(candidate(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        group()
    assert [found.number for found in archive.candidates()] == [0]
