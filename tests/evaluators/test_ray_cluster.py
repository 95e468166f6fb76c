"""The evaluator on a cluster of several nodes, which join and leave while it works; all on this machine."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gas
from gas.errors import SettingError
from gas.evaluation import Status
from gas.evaluators import Evaluator, Work, create
from gas.evaluators import _slots as slots
from gas.evaluators import ray_actors as module
from gas.evaluators._cluster import fits

WORK = Work((("troubles", {}),), limit_s=30.0, modules=("troubles",), retries=0)
SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """One node of one CPU; its workers find `troubles`."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **SMALL})
    yield cluster
    cluster.shutdown()


class Feed:
    """Keeps an evaluator as full as it wants to be and notes every outcome."""

    def __init__(self, evaluator: Evaluator, candidate: Callable[..., Any]) -> None:
        self.evaluator, self.candidate = evaluator, candidate
        self.submitted, self.reasons = 0, {}
        self.seen: Counter[int] = Counter()
        self.workers: list[str] = []
        self.notes: list[str] = []

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.notes
            while self.evaluator.pending < self.evaluator.capacity:
                self.evaluator.submit(self.candidate(self.submitted, "naps"))
                self.submitted += 1
            self.collect()

    def collect(self) -> None:
        for outcome in self.evaluator.collect(0.25):
            self.seen[outcome.number] += 1
            self.reasons[outcome.number] = outcome.reason
            self.workers.append(outcome.worker)
        self.notes += self.evaluator.notes()

    def finish(self) -> None:
        while self.evaluator.pending:
            self.collect()
        assert self.seen == Counter(range(self.submitted))  # each once, none lost
        assert set(self.reasons.values()) == {""}  # and a node's end is no candidate's fault, with no retries left


@pytest.mark.slow
@pytest.mark.parametrize("graceful", [True, False])
def test_a_node_joins_and_another_leaves_in_mid_search(cluster, troubled, graceful: bool) -> None:
    with create("ray", WORK, workers=2, address=cluster.address) as evaluator:
        assert (evaluator.at_once, evaluator.capacity) == (1, 2)
        assert evaluator.notes() == ["1 worker now; room for 1 more is waited for"]
        feed = Feed(evaluator, troubled)
        feed.until(lambda: len(feed.seen) >= 2)
        node = cluster.add_node(num_cpus=2, **SMALL)
        feed.until(lambda: evaluator.capacity == 4)
        assert evaluator.at_once == 2  # no more than asked for
        assert [note.partition(" at ")[0] for note in feed.notes] == ["2 workers now: one joined"]
        joined = feed.notes[-1].rpartition(" at ")[2]
        feed.until(lambda: joined in feed.workers)
        cluster.remove_node(node, allow_graceful=graceful)
        feed.until(lambda: evaluator.capacity == 2)  # at once; that the node is dead is known later
        left = f"1 worker now: the one at {joined} left: node "
        feed.until(lambda: any(note.startswith(left) for note in feed.notes))
        feed.finish()


@pytest.mark.slow
def test_auto_is_what_the_cluster_has_room_for_at_any_time(cluster, troubled) -> None:
    with create("ray", WORK, workers="auto", address=cluster.address) as evaluator:
        assert (evaluator.at_once, evaluator.workers) == (1, 1)
        feed = Feed(evaluator, troubled)
        node = cluster.add_node(num_cpus=2, **SMALL)
        feed.until(lambda: evaluator.at_once == 3)
        assert evaluator.workers == 3
        cluster.remove_node(node)
        feed.until(lambda: evaluator.at_once == 1 and evaluator.workers == 1)
        feed.until(lambda: len(evaluator._slots) == 1)  # none is asked for that the cluster has no room for
        feed.finish()


@pytest.mark.slow
def test_what_no_node_has_is_an_error_at_once_and_what_is_taken_is_one_later(cluster, troubled, monkeypatch) -> None:
    with pytest.raises(SettingError, match=r"worker_gpus: got 1.0; expected at most 0, the GPUs of a node"):
        create("ray", Work((), gpus=1.0), address=cluster.address)
    with pytest.raises(SettingError, match=r"worker_threads: got 2; expected at most 1, the CPUs of a node"):
        create("ray", Work((), threads=2), address=cluster.address)
    with create("ray", WORK, address=cluster.address):
        monkeypatch.setattr(module, "START_S", 3.0)
        with pytest.raises(SettingError, match=r"got no room for a worker in 3 s; expected 1 CPU on one node \(0 CPUs"):
            create("ray", WORK, address=cluster.address)


@pytest.mark.slow
def test_a_search_goes_on_while_nodes_come_and_go(cluster, tmp_path: Path) -> None:
    nodes, most = [], [0]

    def watch(progress: Any) -> None:
        if progress.done >= 4 and not nodes:
            nodes.append(cluster.add_node(num_cpus=1, **SMALL))
        if most[0] == 4 and len(nodes) == 1:
            cluster.remove_node(nodes[0], allow_graceful=False)
            nodes.append(None)
        most[0] = max(most[0], progress.in_flight)

    settings = {"generator": "random", "proxy": "short_training", "fidelity": {"steps": 30}, "profile": "none"}
    settings |= {"workers": 2, "address": cluster.address, "budget": 80}
    run = gas.search("tiny.yaml", out=tmp_path / "run", watch=watch, **settings)
    frame = run.frame()
    finished = frame[frame.status.isin([Status.OK, Status.FAILED])]
    assert len(finished) == 80
    assert finished.number.is_unique
    assert set(finished.status) == {Status.OK}
    assert len(nodes) == 2
    assert most[0] == 4  # both workers had what they wanted, and the second was lost with it


@pytest.mark.parametrize(
    ("node", "threads", "gpus", "workers"),
    [
        ({"CPU": 8.0}, 1, 0.0, 8),
        ({"CPU": 8.0}, 3, 0.0, 2),
        ({"CPU": 8.0}, 1, 0.5, 0),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 0.0, 8),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 0.4, 4),
        ({"CPU": 3.0, "GPU": 2.0}, 1, 0.4, 3),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 1 / 3, 6),
        ({"CPU": 8.0, "GPU": 5.0}, 1, 2.0, 2),
        ({}, 1, 0.0, 0),
    ],
)
def test_how_many_workers_a_node_has_room_for(node: dict, threads: int, gpus: float, workers: int) -> None:
    assert fits(node, threads, gpus) == workers


def test_a_worker_is_counted_in_words() -> None:
    assert [slots.counted(n) for n in (0, 1, 2)] == ["0 workers", "1 worker", "2 workers"]


def test_the_environment_is_left_as_it_was() -> None:
    assert os.environ.get("RAY_ADDRESS") is None
