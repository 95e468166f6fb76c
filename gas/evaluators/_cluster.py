"""Connecting to Ray: a Ray of our own on this machine, or a cluster that is running."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gas.errors import SettingError, describe
from gas.evaluators._work import reason_of

SOCKET_PATH = 107
"""Longest path of a socket on Linux, bytes."""

SESSION = "/ray/session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"
"""What Ray puts behind its temporary folder to name its sockets."""

SETTINGS = b"\x04"
"""Type of the frame with which an HTTP/2 server, and so Ray's, must begin (RFC 9113, section 3.4)."""

ANSWER_S = 3.0
"""How long a node may take to take a connection, seconds."""

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + SETTINGS + b"\0\0\0\0\0"
"""With what a client of HTTP/2 must begin: the preface and an empty settings frame."""

OBJECTS_BYTES = 512 * 2**20
"""Shared memory for objects: what trainings leave, a few MB each. Left alone, Ray reserves 30% of the machine."""

ANSWER_S = 9.0
"""Time for a cluster to answer at its address, seconds."""

ASK = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5)"
"""Asks a cluster for its nodes. In a process of its own: nothing else can end the waiting of Ray's core."""


def connect(workers: int, address: str | None, *, threads: int = 1, gpus: float = 0.0, elastic: bool = False) -> bool:
    """Connects this process to Ray; True where it was not connected before, so that it is ours to disconnect.

    Args:
        workers: Workers that are needed.
        address: Of a running cluster (`host:port`, `auto`, `ray://host:port`); None for the Ray that this process is
            connected to already, or else one started on this machine.
        threads: CPUs of a worker.
        gpus: GPUs of a worker, or its share of one.
        elastic: One worker must have room now; the others may wait for nodes that join.

    Raises:
        SettingError: There is no cluster at the address, or it has too few CPUs or GPUs; Ray does not start.
    """
    if address is None:
        # Ray reads these as it is imported. On one machine a token guards nothing, and writing it needs a home folder.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray prints to standard output whenever a worker or a node dies; here such an end is an outcome, and told as one.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    # Its value of 0 says in advance what a later Ray will do by itself, and that it need not warn of it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    connected = ray.is_initialized()
    if connected and address is not None and not address.startswith(("auto", "ray://")):
        here = ray.get_runtime_context().gcs_address
        if here != address:
            raise SettingError(f"ray address: {describe(address, f'{here}, which this process is connected to')}")
    if not connected:
        _start(workers * threads) if address is None else _join(address)
    try:
        _check_room(workers, threads, gpus, elastic)
    except SettingError:
        if not connected:
            ray.shutdown()
        raise
    return not connected


def _check_room(workers: int, threads: int, gpus: float, elastic: bool) -> None:
    """SettingError where the workers, or, where elastic, one of them, could never be placed on what is there now."""
    found = resources()
    here = "the Ray cluster" if elastic else "this machine or its Ray"
    most_gpus = max((node.get("GPU", 0.0) for node in found), default=0.0)
    if gpus > most_gpus:
        raise SettingError(f"worker_gpus: {describe(gpus, f'at most {most_gpus:g}, the GPUs of a node of {here}')}")
    most = int(max((node.get("CPU", 0.0) for node in found), default=0.0))
    # A cluster that shrinks to nothing has nodes without CPUs alone: others are then to be waited for.
    if threads > most and (most or not elastic):
        raise SettingError(f"worker_threads: {describe(threads, f'at most {most}, the CPUs of a node of {here}')}")
    room = sum(fits(node, threads, gpus) for node in found)
    if elastic or workers <= room:
        return
    cpus = int(sum(node.get("CPU", 0.0) for node in found))
    if threads == 1 and not gpus:
        raise SettingError(f"workers: {describe(workers, f'at most {cpus}, the CPUs of the Ray cluster')}")
    total = sum(node.get("GPU", 0.0) for node in found)
    has = f"at most {room}, for which there is room ({cpus} CPUs and {total:g} GPUs)"
    raise SettingError(f"workers: {describe(workers, has)}")


def resources() -> list[dict[str, Any]]:
    """What each living node of the cluster has in all, in use or not."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def fits(node: Mapping[str, float], threads: int, gpus: float) -> int:
    """How many workers have room on an empty node.

    A share of a GPU is of one and the same: of two GPUs, four workers of 0.4 can be fed, not five.
    """
    room = int(node.get("CPU", 0.0) // threads)
    if gpus:
        whole = int(node.get("GPU", 0.0))
        room = min(room, whole * int(1 / gpus + 1e-9) if gpus < 1 else whole // int(gpus))
    return room


def _start(cpus: int) -> None:
    import ray

    try:
        with _environment("PYTHONPATH", os.pathsep.join(_import_folders())), own_handler(signal.SIGTERM), _loopback():
            ray.init(
                address="local",
                num_cpus=max(cpus, os.cpu_count() or 1),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECTS_BYTES,
                _temp_dir=_short_folder(),
            )
    except Exception as error:
        with contextlib.suppress(Exception):
            ray.shutdown()
        raise SettingError(f"ray: cannot be started on this machine: {reason_of(error)}") from error


def _join(address: str) -> None:
    import ray

    begin = time.monotonic()
    # Ray means by `auto` what this variable says, where it says something.
    asked = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    _knock(asked)
    _ask(asked, ANSWER_S - (time.monotonic() - begin))
    package = str(Path(__file__).parents[1])
    try:
        with own_handler(signal.SIGTERM):
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                # The cluster's machines need not have gas: it travels there.
                runtime_env={"py_modules": [package], "excludes": ["__pycache__"]},
            )
    except Exception as error:
        with contextlib.suppress(Exception):
            ray.shutdown()
        expected = "the address of a running Ray cluster"
        raise SettingError(f"ray address: {describe(address, expected)}: {reason_of(error)}") from error


@contextlib.contextmanager
def own_handler(number: int) -> Iterator[None]:
    """Keeps the handler of a signal: Ray would put in its own, which leaves without our bookkeeping."""
    before = signal.getsignal(number)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, TypeError):  # not the main thread, or a handler not set from Python
            signal.signal(number, before)


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Lets a Ray that is started within listen on loopback alone, as it does by itself on macOS and Windows.

    Ray asks this of an environment variable once, as it is imported, when a cluster may yet be joined later: the
    variable would stay, and that cluster be given 127.0.0.1 as this machine's address.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _knock(address: str) -> None:
    """SettingError where no Ray answers at `host:port`; Ray itself would try for minutes, and write of each attempt."""
    if address == "auto":
        return
    expected = "the address of a running Ray cluster, host:port"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise SettingError(f"ray address: {describe(address, expected)}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S / 3) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                connection.sendall(HELLO)
                answer = connection.recv(9)
                if answer[3:4] != SETTINGS:
                    raise ConnectionError("who answers there is not Ray")
    except (OSError, OverflowError) as error:
        raise SettingError(f"ray address: {describe(address, expected)}: {reason_of(error)}") from error


def _ask(address: str, seconds: float) -> None:
    """SettingError where who answers at `host:port` speaks HTTP/2 and is no Ray: its core would try for minutes."""
    if address == "auto" or address.startswith("ray://"):
        return
    expected = "the address of a running Ray cluster"
    try:
        asked = subprocess.run([sys.executable, "-c", ASK, address], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        problem = f"TimeoutError: no answer in {seconds:.0f} s"
        raise SettingError(f"ray address: {describe(address, expected)}: {problem}") from error
    if asked.returncode:
        said = (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]
        raise SettingError(f"ray address: {describe(address, expected)}: {said[:300]}")


def answers(node: Mapping[str, Any]) -> bool:
    """Whether somebody listens at the port of a node (an entry of `ray.nodes()`)."""
    try:
        with socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), timeout=ANSWER_S):
            return True
    except OSError:
        return False


def _import_folders() -> list[str]:
    """Where a worker on this machine imports from: gas's own folder, then wherever this process does."""
    own = str(Path(__file__).parents[2])
    return list(dict.fromkeys([own, *(os.path.abspath(folder) for folder in sys.path)]))


def _short_folder() -> str | None:
    """A temporary folder for Ray where its own choice makes paths too long for sockets; else None."""
    usual = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if len(os.fsencode(usual + SESSION)) <= SOCKET_PATH:
        return None
    return tempfile.mkdtemp(prefix="gas-ray-", dir="/tmp")


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Sets an environment variable for the processes started within."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
