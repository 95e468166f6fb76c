"""Both evaluators under one contract, and what only Ray workers must stand; one Ray for the whole file."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import gas
from gas.errors import GasError, SettingError
from gas.evaluators import Work, create
from gas.evaluators import ray_actors as module
from gas.evaluators._cluster import HELLO, SESSION, SOCKET_PATH, _ask, _knock, _short_folder, connect

WORK = Work((("troubles", {"seed": 5}),), limit_s=2.0, memory_mib=256, modules=("troubles",))

GOOD = {"troubles": 1.0, "troubles_seed": 5.0, "troubles_threads": 1.0}
OUTCOMES = {
    "fine": "",
    "raises": r"KeyError: 'two\\nlines'",
    "leaves": "SystemExit: 3",
    "nan": "ValueError: troubles: got nan; expected a finite number",
    "allocates": "MemoryError: .* allocate .*",
    "grows": "MemoryError",
    "watches": "over its time limit of 2 s: TimeoutError: out of time at step 7",
    "hangs": "over its time limit of 2 s.*",
}
DEADLY = "its worker was killed or crashed, 2 times: .+"


@pytest.fixture(scope="module")
def shared_ray(troubles: None) -> Iterator[None]:
    assert connect(3, None)  # two CPUs for the evaluator below and one for the others
    yield
    import ray

    ray.shutdown()


@pytest.fixture(scope="module", params=["in_process", "ray"])
def evaluator(request: pytest.FixtureRequest) -> Iterator:
    if request.param == "ray":
        request.getfixturevalue("shared_ray")
    with create(request.param, WORK, workers=1 if request.param == "in_process" else 2) as evaluator:
        yield evaluator
    evaluator.close()  # a second time


def test_every_candidate_has_one_outcome_whatever_it_does_to_its_worker(evaluator, troubled, collect_all) -> None:
    deadly = {} if evaluator.workers == 1 else {"exits": DEADLY, "killed": DEADLY}
    expected = dict(enumerate((OUTCOMES | deadly | {"again": ""}).items()))
    for number, (what, _) in expected.items():
        evaluator.submit(troubled(number, what))
    with pytest.raises(ValueError, match="candidate 3 is pending"):
        evaluator.submit(troubled(3))
    assert evaluator.pending == len(expected)
    outcomes = collect_all(evaluator)
    assert sorted(outcomes) == sorted(expected)
    for number, (_, reason) in expected.items():
        assert re.fullmatch(reason, outcomes[number].reason), outcomes[number]
        assert outcomes[number].metrics == ({} if reason else GOOD)
        assert re.fullmatch(r".+:\d+", outcomes[number].worker)
        assert outcomes[number].seconds > 0
    assert evaluator.collect(60.0) == []  # and waits for nothing
    assert evaluator.capacity == (1 if evaluator.workers == 1 else 2 * max(evaluator.at_once, 1))


def test_after_all_that_as_many_workers_are_there_as_before(evaluator, troubled, collect_all) -> None:
    seen = set()
    for number in range(100):  # a new worker takes its time; the others work on meanwhile
        evaluator.submit(troubled(2 * number, "naps"))
        evaluator.submit(troubled(2 * number + 1, "naps"))
        seen |= {outcome.worker for outcome in collect_all(evaluator).values()}
        if len(seen) == evaluator.workers:
            break
    assert len(seen) == evaluator.workers


def test_collecting_gives_up_at_its_timeout_and_goes_on_later(shared_ray: None, troubled, collect_all) -> None:
    with create("ray", WORK, workers=1) as evaluator:
        evaluator.submit(troubled(0, "watches"))
        assert evaluator.collect(0.0) == []
        assert evaluator.pending == 1
        assert list(collect_all(evaluator)) == [0]
        evaluator.submit(troubled(0))  # the number is free again
        assert collect_all(evaluator)[0].reason == ""
    assert evaluator.pending == 0
    with pytest.raises(ValueError, match="closed"):
        evaluator.submit(troubled(1))


@pytest.mark.slow
def test_a_candidate_whose_worker_was_killed_by_another_is_scored_by_the_next(
    shared_ray: None, troubled, collect_all, tmp_path: Path
) -> None:
    with create("ray", WORK, workers=1) as evaluator:
        (slot,) = evaluator._slots
        before = slot.name
        evaluator.submit(troubled(0, "watches"))
        evaluator.submit(troubled(1, file=str(tmp_path / "scored")))
        os.kill(int(before.rpartition(":")[2]), signal.SIGKILL)
        outcomes = collect_all(evaluator)
    assert "over its time limit" in outcomes[0].reason
    assert outcomes[1].metrics == GOOD
    assert outcomes[0].worker != before
    assert (tmp_path / "scored").read_text().splitlines() == [gas.__file__]


def test_work_that_cannot_be_done_is_an_error_at_once(shared_ray: None) -> None:
    work = Work((("troubles", {"data": "missing"}),), modules=("troubles",))
    with pytest.raises(SettingError, match="cannot be made ready: ValueError: cannot be read"):
        create("ray", work, workers=1)


def test_a_cluster_that_is_too_small_or_another_is_refused(shared_ray: None) -> None:
    cpus = max(3, os.cpu_count() or 1)
    with pytest.raises(SettingError, match=f"workers: got {cpus + 1}; expected at most {cpus}, the CPUs"):
        create("ray", WORK, workers=cpus + 1)
    with pytest.raises(SettingError, match=r"ray address: got '10.0.0.1:1'; expected .*which this process"):
        create("ray", WORK, address="10.0.0.1:1")


@pytest.mark.slow
def test_the_search_ends_where_no_worker_can_be_started_any_more(
    shared_ray: None, troubled, collect_all, monkeypatch
) -> None:
    with create("ray", WORK, workers=1) as evaluator:
        monkeypatch.setattr(module, "START_S", 0.0)  # as if each new worker took for ever
        evaluator.submit(troubled(0, "exits"))
        with pytest.raises(GasError, match="got a worker that is not ready after 0 s"):
            collect_all(evaluator)
        assert evaluator.pending == 1
        with pytest.raises(GasError, match="no worker"):
            evaluator.collect(60.0)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "host:", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_nobody_answers(address: str) -> None:
    with pytest.raises(
        SettingError, match=f"ray address: got {address!r}; expected the address of a running"
    ) as caught:
        _knock(address)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_an_address_where_something_else_answers(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(SettingError, match="ConnectionError: who answers there is not Ray"):
            _knock(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


@pytest.mark.slow
def test_an_address_where_another_server_of_http_2_answers() -> None:
    """It greets as Ray does, and says nothing more: Ray's own core would wait for minutes."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    held[-1].sendall(HELLO[-9:])

        threading.Thread(target=serve, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        _knock(address)
        with pytest.raises(SettingError, match=f"ray address: got {address!r}; .*: TimeoutError: no answer in 3 s"):
            _ask(address, 3.0)
        server.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


def test_a_long_temporary_folder_is_not_used_for_sockets(monkeypatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp/" + "x" * (SOCKET_PATH - len("/tmp/" + SESSION)))
    assert _short_folder() is None
    monkeypatch.setenv("TMPDIR", "/tmp/" + "x" * (SOCKET_PATH - len("/tmp/" + SESSION) + 1))
    folder = Path(_short_folder())
    try:
        assert len(str(folder) + SESSION) <= SOCKET_PATH
    finally:
        folder.rmdir()


def environment(**more: str) -> dict[str, str]:
    """The environment without PYTHONPATH: gas must be found by where it is."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | more


DRIVER = """
import signal, sys, time
sys.path[:0] = {paths!r}
from gas.architecture import Architecture, Spec
from gas.evaluation import Candidate
from gas.evaluators import Work, create
def candidate(number, what):
    return Candidate(number, Architecture(Spec.of("conv_embed", what=what), (), Spec.of("classifier")))
work = Work((("troubles", {{}}),), limit_s=5.0, modules=("troubles",))
with create("ray", work, workers=1, address={address!r}) as evaluator:
    evaluator.submit(candidate(0, "watches"))
    evaluator.submit(candidate(1, "exits"))
    evaluator.submit(candidate(2, "fine"))
    print("ready", flush=True)
    try:
        while True:
            evaluator.collect(60.0)
            time.sleep(0.1)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("interrupted", evaluator.pending, flush=True)
    while evaluator.pending:
        for outcome in evaluator.collect(60.0):
            print(outcome.number, outcome.reason.partition(",")[0], flush=True)
"""


@pytest.mark.slow
def test_another_folder_and_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    """From a folder without gas; the interrupt goes to the whole process group, as a terminal's does."""
    paths = [str(Path(gas.__path__[0]).parent), str(Path(__file__).parent)]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", DRIVER.format(paths=paths, address=None)],
        cwd=tmp_path,
        env=environment(HOME=str(tmp_path / "no-home")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert out.splitlines() == [
        "interrupted 3",
        "0 over its time limit of 5 s: TimeoutError: out of time at step 7",
        "1 its worker was killed or crashed",
        "2 ",
    ]
    assert err == ""
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


CLUSTER = """
import sys
sys.path.insert(0, {path!r})
from gas.architecture import Architecture, Spec
from gas.errors import SettingError
from gas.evaluation import Candidate
from gas.evaluators import Work, create
work = Work((("troubles", {{}}),), modules=("troubles",))
stem = Spec.of("conv_embed", what="fine", file={file!r})
try:
    create("ray", Work((), threads=3), address={address!r})
except SettingError as error:
    print(error)
with create("ray", work, workers=2, address={address!r}) as evaluator:
    evaluator.submit(Candidate(0, Architecture(stem, (), Spec.of("classifier"))))
    print(evaluator.collect(60.0)[0].metrics["troubles"])
"""


@pytest.mark.slow
def test_a_running_cluster_gets_the_code_and_is_left_running(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    port = address.rpartition(":")[2]
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=100000000"]
    quiet = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    cluster = subprocess.Popen(command, env=environment(PYTHONPATH=str(Path(__file__).parent)), **quiet)
    code = CLUSTER.format(path=str(Path(gas.__path__[0]).parent), address=address, file=str(tmp_path / "scored"))
    try:
        while cluster.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=1):
                break
            time.sleep(0.2)
        for _ in range(2):
            command = [sys.executable, "-W", "error", "-c", code]
            result = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
            assert result.stderr == ""
            assert result.stdout.splitlines() == [
                "worker_threads: got 3; expected at most 2, the CPUs of a node of the Ray cluster",
                "1.0",
            ]
        assert cluster.poll() is None
    finally:
        cluster.terminate()
        cluster.wait()
    sources = (tmp_path / "scored").read_text().splitlines()
    assert len(sources) == 2
    assert all("runtime_resources" in source for source in sources), sources  # not from this checkout
