"""What runs in the process of a Ray worker."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from gas.errors import GasError, SettingError, describe
from gas.evaluators._work import Outcome, Prepared, Work, gpu_here, prepare, run_work, worker_name

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables by which libraries learn how many threads to start, each as it is loaded."""


class Worker:
    """Made into an actor by `RayActors`.

    It is made at once and loads nothing, so that its first answer says that it has a place, and where.

    Args:
        work: What is done to every candidate.
    """

    def __init__(self, work: Work) -> None:
        # Ctrl-C in a terminal goes to every process there; what becomes of the workers is for the search to say.
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.environ.update(dict.fromkeys(THREADS, str(work.threads)))
        self._work = work
        self._prepared: Prepared | None = None

    def hello(self) -> tuple[str, str]:
        """The worker's name, and the id of its node."""
        import ray

        return worker_name(), ray.get_runtime_context().get_node_id()

    def ready(self, banks: Mapping[str, bytes] = MappingProxyType({})) -> tuple[tuple[str, ...], GasError | None]:
        """What the proxies have to say once they have loaded their data, and what is wrong with them.

        Args:
            banks: Content of the banks of shared weights that proxies name, by the paths by which they do.
        """
        try:
            self._prepared = prepare(with_banks(self._work, banks))
            self._set_up_torch()
        except GasError as error:
            return (), error
        return tuple(self._prepared.notes()), None

    def score(self, number: int, architecture: str, rung: int, state: bytes) -> Outcome:
        """See `run_work`."""
        return run_work(self._prepared, number, architecture, rung, state)

    def _set_up_torch(self) -> None:
        torch = sys.modules.get("torch")  # a worker whose proxies have no use for it is spared the loading
        if torch is not None:
            torch.set_num_threads(self._work.threads)
        if self._work.gpus and not gpu_here():
            expected = f"0, because torch sees no GPU on {worker_name()}"
            raise SettingError(f"worker_gpus: {describe(self._work.gpus, expected)}")


def with_banks(work: Work, banks: Mapping[str, bytes]) -> Work:
    """The work with banks' contents in place of their paths."""
    proxies = []
    for name, settings in work.proxies:
        bank = banks.get(settings.get("bank") or "")
        proxies.append((name, settings if bank is None else {**settings, "bank": bank}))
    return replace(work, proxies=tuple(proxies))
