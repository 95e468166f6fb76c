"""Connecting to Ray: a Ray of our own on this machine, or a cluster that is running."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gas.errors import SettingError, describe
from gas.evaluators._work import reason_of

SOCKET_PATH = 107
"""Longest path of a socket on Linux, bytes."""

SESSION = "/ray/session_2000-01-01_00-00-00_000000_0000000/sockets/plasma_store"
"""What Ray puts behind its temporary folder to name its sockets."""

SETTINGS = b"\x04"
"""Type of the frame with which an HTTP/2 server, and so Ray's, must begin (RFC 9113, section 3.4)."""

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + SETTINGS + b"\0\0\0\0\0"
"""With what a client of HTTP/2 must begin: the preface and an empty settings frame."""

OBJECTS_BYTES = 100 * 2**20
"""Shared memory for objects. Ours are a few kilobytes each; left alone, Ray reserves 30% of the machine."""


def connect(workers: int, address: str | None) -> bool:
    """Connects this process to Ray; True where it was not connected before, so that it is ours to disconnect.

    Args:
        workers: CPUs that are needed.
        address: Of a running cluster (`host:port`, `auto`, `ray://host:port`); None for the Ray that this process is
            connected to already, or else one started on this machine.

    Raises:
        SettingError: There is no cluster at the address, or it has fewer CPUs than workers; Ray does not start.
    """
    if address is None:
        # Ray reads these as it is imported. On one machine a token guards nothing, and writing it needs a home folder.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray prints to standard output whenever a worker dies; here a worker's end is an outcome, and told as one.
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
        _start(workers) if address is None else _join(address)
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < workers:
        if not connected:
            ray.shutdown()
        raise SettingError(f"workers: {describe(workers, f'at most {cpus}, the CPUs of the Ray cluster')}")
    return not connected


def _start(workers: int) -> None:
    import ray

    try:
        with _environment("PYTHONPATH", os.pathsep.join(_import_folders())), _own_sigterm():
            ray.init(
                address="local",
                num_cpus=max(workers, os.cpu_count() or 1),
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

    _knock(address)
    package = str(Path(__file__).parents[1])
    try:
        with _own_sigterm():
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
def _own_sigterm() -> Iterator[None]:
    """Keeps the handler of SIGTERM: Ray would put in its own, which leaves without the search's bookkeeping."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, TypeError):  # not the main thread, or a handler not set from Python
            signal.signal(signal.SIGTERM, before)


def _knock(address: str) -> None:
    """SettingError where no Ray answers at `host:port`; Ray itself would try for minutes, and write of each attempt."""
    if address == "auto":
        return
    expected = "the address of a running Ray cluster, host:port"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise SettingError(f"ray address: {describe(address, expected)}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                connection.sendall(HELLO)
                answer = connection.recv(9)
                if answer[3:4] != SETTINGS:
                    raise ConnectionError("who answers there is not Ray")
    except (OSError, OverflowError) as error:
        raise SettingError(f"ray address: {describe(address, expected)}: {reason_of(error)}") from error


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
