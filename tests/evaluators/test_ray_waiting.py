"""Candidates that lie waiting at a worker; what local Ray listens on; one Ray for the file."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from gas.evaluators import Work, create
from gas.evaluators._cluster import connect
from gas.evaluators._work import _packed

pytestmark = pytest.mark.slow
WORK = Work((("troubles", {}),), limit_s=1.5, modules=("troubles",), retries=0)


@pytest.fixture(scope="module")
def shared_ray(troubles: None) -> Iterator[None]:
    assert connect(2, None)
    yield
    import ray

    ray.shutdown()


def test_a_worker_goes_on_with_the_next_while_the_search_is_busy(shared_ray: None, troubled) -> None:
    with create("ray", WORK) as evaluator:
        assert evaluator.notes() == ["1 worker now"]
        assert evaluator.notes() == []
        for number in range(evaluator.capacity):
            evaluator.submit(troubled(number, "naps"))
        time.sleep(3.0)  # a search that proposes meanwhile; 0.3 s each would have done
        outcomes = []
        while evaluator.pending and (found := evaluator.collect(0.1)):
            outcomes += found
    assert [outcome.number for outcome in outcomes] == [0, 1]
    assert {outcome.reason for outcome in outcomes} == {""}


def test_the_time_limit_does_not_run_while_a_candidate_waits(shared_ray: None, troubled, collect_all) -> None:
    with create("ray", WORK) as evaluator:
        for number in range(8):  # 2.4 s of naps at a limit of 1.5
            evaluator.submit(troubled(number, "naps"))
        assert {outcome.reason for outcome in collect_all(evaluator).values()} == {""}


def test_no_candidate_is_blamed_for_what_another_did_to_their_worker(shared_ray: None, troubled, collect_all) -> None:
    with create("ray", WORK) as evaluator:  # without retries
        for number, what in enumerate(["naps", "exits", "naps", "killed", "fine", "hangs", "fine"]):
            evaluator.submit(troubled(number, what))
        reasons = {number: outcome.reason.partition(",")[0] for number, outcome in collect_all(evaluator).items()}
        notes = evaluator.notes()
    killed = "its worker was killed or crashed"
    slow = reasons.pop(5)
    assert reasons == {0: "", 1: killed, 2: "", 3: killed, 4: "", 6: ""}
    assert slow.startswith("over its time limit of 1.5 s")
    assert sum("died" in note for note in notes) >= 2


def test_what_a_training_left_travels_and_is_let_go_of(shared_ray: None, troubled, collect_all) -> None:
    import ray

    with create("ray", WORK) as evaluator:
        free = ray.available_resources()["object_store_memory"]
        for number in range(6):
            evaluator.submit(troubled(number), 0, _packed({"0": bytes([number]) * 2**24}))
        assert {outcome.reason for outcome in collect_all(evaluator).values()} == {""}
        end = time.monotonic() + 20.0
        while ray.available_resources()["object_store_memory"] < free:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_ray_of_our_own_listens_on_loopback_alone_and_reports_nothing(shared_ray: None) -> None:
    import ray

    assert ray.nodes()[0]["NodeManagerAddress"] == "127.0.0.1"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    session = ray._private.worker._global_node.get_session_dir_path()
    processes = subprocess.run(
        ["ps", "-wweo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    ours = {line.split()[0] for line in processes if session in line} | {str(os.getpid())}
    found = [line.split()[3] for line in listening if any(f"pid={pid}," in line for pid in ours)]
    assert len(found) >= 3  # gcs_server, raylet and this process at least
    assert all(address.startswith(("127.0.0.1:", "[::ffff:127.0.0.1]:")) for address in found), found
    assert not any(":8265" in line for line in listening if any(f"pid={pid}," in line for pid in ours))
