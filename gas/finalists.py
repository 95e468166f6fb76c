"""After the search: the designs of the front are scored once more, by another proxy than the one that led there.

A search finds, among other things, what its proxy is wrong about. A second opinion on the few designs that are left
costs little, and shows where the two disagree.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping

from gas.architecture import Architecture
from gas.checks import Checks
from gas.evaluation import Candidate
from gas.evaluators import Evaluator, Work
from gas.proxies import Proxy
from gas.run import Run
from gas.settings import AUTO

CHECKS = {"imagenet_top1_estimate": "pca_count"}
"""Proxy that leads a search -> the one that looks at its finalists, where nobody says otherwise: of those that know
nothing of what the lead knows, the one that ranked best where the lead can (experiments/proxy_validation)."""


def check_of(asked: str, proxy: str) -> str:
    """Name of the proxy that looks at the finalists of a search led by `proxy`; empty for none."""
    name = CHECKS.get(proxy, "") if asked == AUTO else asked
    return "" if name in ("none", proxy) else name


def check_front(
    run: Run,
    proxy: Proxy,
    work: Work,
    make: Callable[[Work], Evaluator],
    *,
    deadline: float,
    note: Callable[[str], None] = lambda text: None,
) -> None:
    """Scores the designs of a run's front that have not been, best in the first objective first.

    Args:
        run: The run; its `checks` grow by each score as it comes.
        proxy: What scores them.
        work: The search's own, for its limits and workers.
        make: Makes an evaluator.
        deadline: `time.monotonic()` after which nothing new is started.
        note: Takes words on how far it is.
    """
    checks, settings = run.checks, json.loads(json.dumps(proxy.settings()))  # as the file has them
    if (checks.proxy, checks.settings) != (proxy.name, settings):
        checks = Checks(proxy.name, settings)
    waiting = {id: run.architecture(id) for id in run.front()["id"] if id not in checks.done}
    if not waiting or time.monotonic() >= deadline:
        return
    note(f"checking {len(waiting)} designs of the front by {proxy.name}")

    def watch(done: int) -> None:
        checks.write(run.path)
        note(f"{proxy.name} has looked at {done} of {len(waiting)} designs of the front")

    given = dataclasses.replace(work, proxies=((proxy.name, proxy.settings()),), probes=(), rungs=())
    with make(given) as evaluator:
        _score(evaluator, waiting, checks, deadline, watch)


def _score(
    evaluator: Evaluator,
    waiting: Mapping[str, Architecture],
    checks: Checks,
    deadline: float,
    watch: Callable[[int], None],
) -> None:
    ids, looked = list(waiting), 0
    candidates = [Candidate(number, waiting[id], "finalist") for number, id in enumerate(ids)]
    for outcomes in evaluator.outcomes(candidates, until=deadline):
        for outcome in outcomes:
            if outcome.reason:
                checks.reasons[ids[outcome.number]] = outcome.reason
            else:
                checks.scores[ids[outcome.number]] = dict(outcome.metrics)
        if outcomes:
            looked += len(outcomes)
            watch(looked)
