"""A process that has imported all that a search needs and forks one at each request, so that a kill costs 0.1 s.

`Nursery` is the side of the tests; run as a script, this file is the process. A child is the command `gas` as its user
has it, with the proxies of `small_search` and `stairs` known, and ends without Python's own end (`os._exit`).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
LONG_S = 100.0  # a search here takes a second; one that has not ended by then hangs, and is killed
HUNG = 1000
HEARD = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Blow:
    """How a search is cut off: by a signal, at the n-th call of a function or after a time.

    Args:
        signum: The signal.
        call: At which event of Python's profiler (a call begun, or one of C ended) it is sent; the same in every run
            with the same seed. None: by the clock.
        after_s: Seconds after the search's beginning at which another process sends it.
    """

    signum: int
    call: int | None = None
    after_s: float | None = None

    def __str__(self) -> str:
        when = f"call {self.call}" if self.call is not None else f"{self.after_s:.4f} s"
        return f"{signal.Signals(self.signum).name} at {when}"


@dataclass(frozen=True)
class Order:
    """One search to run.

    Args:
        words: Arguments of the command.
        folder: Where `stdout`, `stderr` and `acked` are written.
        blow: What cuts it off; None for nothing.
        environment: Variables that it finds beside those there are.
        largest: Bytes that no file may grow beyond (RLIMIT_FSIZE); None for no limit.
        start_s: `time.monotonic()` before which it does not begin, so that several begin at the same instant.
    """

    words: tuple[str, ...]
    folder: str
    blow: Blow | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    largest: int | None = None
    start_s: float = 0.0


@dataclass(frozen=True)
class Ended:
    """What became of a search.

    Args:
        status: Exit code; minus the signal that ended it; HUNG.
        seconds: Wall time.
        calls: Events of the profiler, where the blow counted them and the search lived to tell.
        struck: Whether the blow fell while it ran.
        errors: What it wrote to standard error.
        pid: Its process.
    """

    status: int
    seconds: float
    calls: int
    struck: bool
    errors: str
    pid: int


class Nursery:
    """The forking process, from outside; a context manager."""

    def __enter__(self) -> Nursery:
        folders = [str(TESTS), str(TESTS.parent)]
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def run(self, *orders: Order) -> list[Ended]:
        """Runs searches beside one another, and waits for all."""
        self._process.stdin.write(json.dumps([asdict(order) for order in orders]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the forking process has ended: {self._process.wait()}")
        return [Ended(**told) for told in json.loads(line)]


def main() -> None:
    """Takes a line of orders from standard input, and answers with a line of how they ended; until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed by mistake shall not be taken for an answer
    _warm_up()
    for line in sys.stdin:
        answers.write(json.dumps(_serve(json.loads(line))) + "\n")
        answers.flush()


def _warm_up() -> None:
    """Makes the proxies known, and imports what a search imports by running one to its end and resuming it."""
    import small_search
    import torch
    from faults import stairs

    import gas.cli

    torch.set_num_threads(1)  # a pool of threads does not live on in a child
    small_search.PROXIES.names()
    small_search.PROXIES.register("quick")(small_search.Quick)
    stairs.enter()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        space = small_search.written(Path(folder))
        out = str(Path(folder, "run"))
        words = ["--space", str(space), "--out", out, "--budget", "6", "--workers", "1", "--proxy", "quick"]
        for how in ((*words, "--generator", "evolution", "--option", "start=4"), ("--resume", out)):
            code = gas.cli.main(["search", *how, "--quiet"])
            assert code == 0, code
    assert threading.active_count() == 1


def _serve(orders: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    begin = time.monotonic()
    pipes = [os.pipe() for _ in orders]
    pids = []
    for order, (reader, writer) in zip(orders, pipes, strict=True):
        Path(order["folder"], "stderr").write_text("")
        # Python's own work after a fork is no part of the search, and hears no signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _child(order, writer)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        pids.append(pid)
        os.close(writer)
    statuses, seconds, struck = _watch(orders, pids, begin)
    ended = []
    for index, (order, (reader, _)) in enumerate(zip(orders, pipes, strict=True)):
        with os.fdopen(reader) as pipe:
            told = pipe.read().split()
        calls = next((int(word) for word in told if word.isdigit()), 0)
        errors = Path(order["folder"], "stderr").read_text(errors="replace")
        hit = struck[index] or "struck" in told
        ended.append(asdict(Ended(statuses[index], seconds[index], calls, hit, errors, pids[index])))
    return ended


def _watch(
    orders: Sequence[dict[str, Any]], pids: Sequence[int], begin: float
) -> tuple[list[int], list[float], list[bool]]:
    """Sends the signals that are due by the clock, and waits for all."""
    statuses: list[int | None] = [None] * len(pids)
    seconds, struck = [0.0] * len(pids), [False] * len(pids)
    while None in statuses:
        time.sleep(0.0005)
        now = time.monotonic() - begin
        for index, pid in enumerate(pids):
            if statuses[index] is not None:
                continue
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                statuses[index], seconds[index] = os.waitstatus_to_exitcode(status), now
                continue
            blow = orders[index]["blow"] or {}
            if blow.get("after_s") is not None and now >= blow["after_s"] and not struck[index]:
                struck[index] = True
                os.kill(pid, blow["signum"])  # not waited for yet, so the number is still its own
            if now > LONG_S:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                statuses[index], seconds[index] = HUNG, now
    return statuses, seconds, struck


def _child(order: Mapping[str, Any], pipe: int) -> None:
    code = 70  # what no search ends with
    try:
        from gas.cli import main

        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        folder = Path(order["folder"])
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.environ.update(order["environment"])
        _limit_files(order["largest"])
        _acknowledge(folder / "acked")
        while time.monotonic() < order["start_s"]:
            pass
        with _counted(order["blow"], pipe):
            code = main(order["words"])
    except KeyboardInterrupt:  # it came before or after the command's own handler stood
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _limit_files(largest: int | None) -> None:
    if largest is not None:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))  # Python ignores SIGXFSZ: a write fails


@contextlib.contextmanager
def _counted(blow: Mapping[str, Any] | None, pipe: int) -> Iterator[None]:
    """Counts calls, and sends this process the blow's signal at its own."""
    if blow is None or blow["call"] is None:
        yield
        return
    left, signum, seen = blow["call"], blow["signum"], 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal seen
        if event == "return" or event == "c_exception":  # where Python itself looks for no signal
            return
        seen += 1
        if seen == left:
            os.write(pipe, b"struck ")
            os.kill(os.getpid(), signum)

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)
        os.write(pipe, f"{seen} ".encode())


def _acknowledge(file: Path) -> None:
    """Whenever the archive says that something is on the disk, the last event's number is added to a file."""
    from gas.archive import files

    plain = files.together
    told = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @contextlib.contextmanager
    def together(path: Path, connection: Any) -> Iterator[None]:
        with plain(path, connection):
            yield
        (last,) = connection.execute("SELECT max(seq) FROM events").fetchone()
        if last is not None:
            os.write(told, f"{last}\n".encode())

    files.together = together


if __name__ == "__main__":
    main()
