"""Every proxy's score of every design, on the disk as it comes; where there is none, a reason and never a number."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.architecture import Architecture
from gas.costs import pinned
from gas.errors import SettingError
from gas.evaluators import Work
from gas.evidence.assessing import BASELINE, BASELINES, TRAINED, TRAINING_FREE
from gas.evidence.files import Table, number
from gas.evidence.truth import Watch, evaluated
from gas.passes import Passes
from gas.proxies import PROXIES, TrainingFree, create, score_together

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("id", "proxy", "score", "seconds", "metrics", "reason")
LIMIT_S = 600.0
"""Of the scoring of one design."""


def sorted_out(names: Sequence[str] = ()) -> tuple[dict[str, str], dict[str, str]]:
    """Which proxies are assessed: their kinds by name; and why others are not, by name.

    Args:
        names: The proxies wished for; none for all.

    Raises:
        UnknownNameError: There is no proxy of a name.
        SettingError: One is wished for that cannot be assessed.
    """
    kinds, out = {}, {}
    for name in names or PROXIES.names():
        proxy = PROXIES.get(name)
        reason = "it needs a bank of shared weights" if proxy.needs_bank else ""
        if reason and names:
            raise SettingError(f"proxies: got {name!r}; expected others: {reason}")
        if reason:
            out[name] = reason
        elif proxy.needs_training:
            kinds[name] = TRAINED
        else:
            kinds[name] = BASELINE if name in BASELINES else TRAINING_FREE
    return kinds, out


class Scores:
    """The scores of a folder: `scores.csv`, a row per design and proxy.

    `seconds` is what a search would pay for the score of one design with this proxy alone, at most: for those that
    share passes, building the network and the shared passes are counted for each.

    Args:
        file: Where they are, or will be.
    """

    def __init__(self, file: Path) -> None:
        self.table = Table(file, COLUMNS)

    def done(self) -> set[tuple[str, str]]:
        """Ids and proxies of all scores that were tried."""
        return {(row["id"], row["proxy"]) for row in self.table.rows}

    def score(
        self,
        designs: Sequence[Architecture],
        proxies: Mapping[str, Mapping[str, Any]],
        *,
        until: float = math.inf,
        workers: int = 1,
        address: str | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Scores what is not done yet.

        Those that look at an untrained network come first, a design at a time and in this process; then the others,
        a proxy at a time.

        Args:
            designs: The designs.
            proxies: Settings of each proxy (`data`, `fidelity`, `seed`) by its name.
            until: Value of `time.monotonic()` after which no further score is begun.
            workers: Scores at once, for those that train.
            address: Of a running Ray cluster.
            watch: Told of every score.

        Raises:
            GasError: The data or a setting cannot be used; a file cannot be written.
        """
        done = self.done()
        rest = [(d, name) for d in designs for name in proxies if (d.id, name) not in done]
        told = 0

        def tell(name: str) -> None:
            nonlocal told
            told += 1
            if watch is not None:
                watch(told, len(rest), name)

        made = {name: create(name, proxies[name]) for name in dict.fromkeys(name for _, name in rest)}
        for design in {design.id: design for design, _ in rest}.values():
            if time.monotonic() >= until:
                break
            mine = [made[name] for one, name in rest if one.id == design.id]
            for row in together([proxy for proxy in mine if isinstance(proxy, TrainingFree)], design):
                self.table.add(row)
                tell(row["proxy"])
        for name, proxy in made.items():
            if isinstance(proxy, TrainingFree):
                continue
            mine = [design for design, other in rest if other == name]
            some = {"workers": workers, "address": address} if proxy.needs_training else {}
            work = Work(((name, dict(proxies[name])),), limit_s=LIMIT_S)
            for design, outcome in evaluated(work, mine, until=until, **some):
                self.table.add(_row(design, name, outcome.metrics, outcome.seconds, outcome.reason))
                tell(name)

    def frame(self) -> pd.DataFrame:
        """A row per design (`id`), a column per proxy; NaN where there is no score."""
        import pandas as pd

        columns: dict[str, dict[str, float]] = {}
        for row in self.table.rows:
            columns.setdefault(row["proxy"], {})[row["id"]] = number(row["score"], f"{self.table.file}: score")
        return pd.DataFrame(columns).rename_axis("id").reset_index() if columns else pd.DataFrame({"id": []})

    def seconds(self) -> dict[str, float]:
        """Median seconds per proxy."""
        from statistics import median

        spent: dict[str, list[float]] = {}
        for row in self.table.rows:
            if not row["reason"]:
                spent.setdefault(row["proxy"], []).append(number(row["seconds"], f"{self.table.file}: seconds"))
        return {name: median(values) for name, values in spent.items()}

    def reasons(self) -> dict[str, dict[str, int]]:
        """Why designs have no score: per proxy, how many for which reason."""
        found: dict[str, dict[str, int]] = {}
        for row in self.table.rows:
            if row["reason"]:
                counts = found.setdefault(row["proxy"], {})
                counts[row["reason"]] = counts.get(row["reason"], 0) + 1
        return found


def together(proxies: Sequence[TrainingFree], design: Architecture) -> list[dict[str, Any]]:
    """Rows of scores that share the passes over one design; those of one fidelity at a time."""
    rows = []
    for fidelity in dict.fromkeys(proxy.fidelity for proxy in proxies):
        timed = [_Timed(proxy) for proxy in proxies if proxy.fidelity == fidelity]
        first = _First(fidelity=fidelity)
        began, limit = time.perf_counter(), time.monotonic() + LIMIT_S
        try:
            with pinned(1):  # as many threads as on a worker: the same scores, and seconds that can be compared
                # All proxies of one call are made with one seed.
                found: Mapping[str, Any] = score_together([first, *timed], design, seed=timed[0].seed, deadline=limit)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            found = {one.name: reason for one in timed}
        shared = time.perf_counter() - began - sum(one.seconds for one in timed)
        for one in timed:
            metrics = found[one.name]
            failed = isinstance(metrics, str)
            spent = shared + one.seconds
            rows.append(_row(design, one.name, {} if failed else metrics, spent, metrics if failed else ""))
    return rows


class _First(TrainingFree):
    """Has the shared pass made before any score is timed; scores nothing."""

    def read(self, passes: Passes) -> dict[str, float]:
        """See `TrainingFree.read`."""
        _ = passes.shared
        return {}


class _Timed(TrainingFree):
    """Another proxy, with the seconds that its own reading takes, over all networks of a design."""

    def __init__(self, proxy: TrainingFree) -> None:
        super().__init__(proxy.data, proxy.fidelity, seed=proxy.seed)
        self.name, self._proxy, self.seconds = proxy.name, proxy, 0.0  # type: ignore[misc]

    def read(self, passes: Passes) -> dict[str, float]:
        """See `TrainingFree.read`."""
        began = time.perf_counter()
        try:
            return self._proxy.read(passes)
        finally:
            self.seconds += time.perf_counter() - began


def _row(design: Architecture, proxy: str, metrics: Mapping[str, float], seconds: float, reason: str) -> dict[str, Any]:
    extras = {name: value for name, value in metrics.items() if name != proxy}
    words = json.dumps(extras, separators=(",", ":")) if extras else ""
    return {
        "id": design.id,
        "proxy": proxy,
        "score": metrics.get(proxy),
        "seconds": round(seconds, 4),
        "metrics": words,
        "reason": reason,
    }
