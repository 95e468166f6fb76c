"""A validation in a folder: designs of a space are scored, then trained in full, and held against one another."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from gas.disk import write_whole
from gas.errors import RunError, SettingError, describe
from gas.evidence.assessing import LEAST, TRAINED, TRAINING_FREE, assess, recommend
from gas.evidence.bands import Bands, bands_of, narrowed
from gas.evidence.files import number
from gas.evidence.noise import Noise, ceiling
from gas.evidence.scoring import Scores, sorted_out
from gas.evidence.truth import TRAINING, Truth, Watch, draw, full_fidelity, jobs, read_truth, summed
from gas.parts import fitted_to
from gas.proxies import PROXIES, create
from gas.records import check_free, take_lock, versions
from gas.space import SearchSpace, load_space

if TYPE_CHECKING:
    import pandas as pd

FILE = "validation.json"
DATA = "digits"
SCORING = 0.4
"""Share of the time that scoring takes at most, where designs are trained too."""
KNOWN = 0.9
"""Share of the designs that must have a score, for a combination or a fit of all scores to take it in."""


@dataclass(frozen=True)
class Report:
    """What a validation found.

    Args:
        summary: See `assess`, with the median `seconds` of each score.
        table: A row per design: its truth and its scores.
        truth: Column of the truth.
        noise: Between seeds; None where it is not known.
        ceiling: Kendall that a score which knew the truth without noise would reach in bands; NaN where not known.
        recommended: The score that the evidence speaks for; empty where none can be told.
        reason: Why.
        trained: What the truth is, in words.
        missing: Why designs have no score: per proxy, how many for which reason.
        left_out: Why proxies are not among those assessed, by name.
    """

    summary: pd.DataFrame
    table: pd.DataFrame
    truth: str
    noise: Noise | None
    ceiling: float
    recommended: str
    reason: str
    trained: str
    missing: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


class Validation:
    """A validation; a context manager that holds its folder's lock.

    A folder that holds one already is gone on with: designs, repeats and proxies may be more, all else must be equal.

    Args:
        space: A space, or the name or path of one; None with `truth`.
        out: The folder.
        designs: Designs drawn from the space.
        data: Data source that they are trained on, or a folder; None for the digits.
        fidelity: Fields in which their training differs from `full_fidelity`.
        again: Designs trained with further seeds, for the noise.
        proxies: Proxies to assess; none for all.
        band: See `narrowed`; empty for the space as it is.
        truth: A table of trainings that exists already, in place of training.
        column: Its column of the truth.
        seed: Of the designs, the data and the scores.

    Raises:
        GasError: Anything the user can put right.
    """

    def __init__(
        self,
        space: SearchSpace | str | Path | None,
        out: str | Path,
        *,
        designs: int = 60,
        data: str | None = None,
        fidelity: Mapping[str, Any] | None = None,
        again: int = 10,
        proxies: Sequence[str] = (),
        band: str = "",
        truth: str | Path | None = None,
        column: str = "accuracy",
        seed: int = 0,
    ) -> None:
        self.out, self.column, self.seed = Path(out), column, seed
        self.kinds, self.left_out = sorted_out(proxies)
        self.given = None if truth is None else read_truth(Path(truth), column)
        space = load_space(space) if isinstance(space, str | Path) else space
        for name, value, least in (("designs", designs, LEAST), ("seeds-again", again, 0)):
            if value < least:
                raise SettingError(f"{name}: {describe(value, f'{least} or more')}")
        if self.given is None:
            if space is None:
                raise SettingError("space: got none; expected a search space, or a table of designs with --truth")
            self.space = narrowed(space, band, seed) if band else space
            self.designs = draw(self.space, designs, seed)
            self.again = min(again, len(self.designs))
            data = DATA if data is None else data
            side = max(self.space.resolutions)
            full = full_fidelity(data, side, fidelity or {})
            self.training = {"data": data, "fidelity": full.model_dump(mode="json"), "seed": seed}
            self.name = self.space.name
        else:
            for name, got in (("data", data), ("fidelity", fidelity), ("band", band)):
                if got:
                    raise SettingError(f"{name}: got {got!r}; expected none, because nothing is trained with --truth")
            self.space, self.designs, self.training, self.again = space, self.given[0], {}, 0
            self.name = Path(str(truth)).stem
        self.record = self._record(band, truth)
        self._open = ExitStack()
        self._begin()

    def run(
        self,
        *,
        seconds: float | None = None,
        workers: int = 1,
        address: str | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Scores the designs, then trains them: the scores are worked out before the truth is known.

        Args:
            seconds: Time for all of it; when it is up, nothing new is begun. None for no limit.
            workers: Trainings at once.
            address: Of a running Ray cluster.
            watch: Told how far it has come.

        Raises:
            GasError: The data or a setting cannot be used; a file cannot be written.
        """
        began = time.monotonic()
        until = math.inf if seconds is None else began + seconds
        first = until if self.given is not None or seconds is None else began + SCORING * seconds
        more = {"workers": workers, "address": address, "watch": watch}
        if self.given is None and "images" not in self.record:
            proxy = create(TRAINING, self.training)
            proxy.prepare()  # what is wrong with the data is told before anything is spent
            counts = {"images": len(proxy.images.train_labels), "validation": len(proxy.images.val_labels)}
            self._write(self.record | counts | {"classes": proxy.images.classes})
        settings = {name: self._settings(name) for name in self.kinds}
        Scores(self.out / "scores.csv").score(self.designs, settings, until=first, **more)
        if self.given is None:
            Truth(self.out).train(jobs(self.designs, self.again), self.training, until=until, **more)

    def report(self, *, bands: Bands = None, combine: Sequence[Sequence[str]] = ()) -> Report:
        """What the trainings and scores that are there tell.

        Args:
            bands: See `assess`.
            combine: Scores to combine; see `assess`.

        Raises:
            RunError: Too few designs have been trained.
            SettingError: A combination names what is no score.
        """
        truth, noise = self._truth()
        scores = Scores(self.out / "scores.csv")
        told = {"trained": self._words(truth, noise), "left_out": self.left_out}
        options = {"bands": bands, "combine": combine, "seed": self.seed}
        return put_together(truth, noise, scores, self.kinds, column=self.column, **options, **told)

    def close(self) -> None:
        """Lets go of the lock; may be called again."""
        self._open.close()

    def __enter__(self) -> Validation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _settings(self, name: str) -> dict[str, Any]:
        """Of a proxy, at the fidelity that a search over the space would run it at."""
        proxy = PROXIES.get(name)
        side = max((design.resolution for design in self.designs), default=0)
        return {"data": proxy.default_data, "fidelity": fitted_to(proxy, side), "seed": self.seed}

    def _truth(self) -> tuple[pd.DataFrame, Noise | None]:
        if self.given is not None:
            return self.given[1], self.given[2]
        truth = Truth(self.out)
        _, frame, noise = summed(truth.table.rows, self.column, where=str(truth.table.file))
        if len(frame) < LEAST:
            told = f"got {len(frame)} designs trained; expected {LEAST} or more"
            if truth.failures.rows:
                told += f"; {len(truth.failures.rows)} failed, the first with: {truth.failures.rows[0]['reason']}"
            raise RunError(f"{self.out}: {told}; the same command goes on, for longer with --time")
        return frame, noise

    def _words(self, truth: pd.DataFrame, noise: Noise | None) -> str:
        values = truth[self.column]
        spread = f"{self.column} {values.min():.4g} to {values.max():.4g}"
        spread += f", {noise.deviation:.2g} from seed to seed" if noise is not None else ""
        if self.given is not None:
            return f"{len(truth)} designs of {self.record['truth']}, not trained here; {spread}"
        trainings = Truth(self.out)
        each = [number(row["seconds"], "truth.csv: seconds") for row in trainings.table.rows]
        at = self.training["fidelity"]
        images = f"{self.record['images']:,} images of {self.record['classes']} classes at {at['resolution']} px"
        recipe = f"{at['steps']:,} steps of batch {at['batch']} on {images}, {median(each):.3g} s each"
        failed = len(trainings.failures.rows)
        return (
            f"{len(truth)} designs of {self.name} trained on {self.training['data']} ({recipe}): "
            f"{len(each)} trainings, {failed} failed; {spread}"
        )

    def _record(self, band: str, truth: str | Path | None) -> dict[str, Any]:
        text = "" if self.space is None else self.space.document.text
        facts = {"space": self.name, "text": text, "band": band, "seed": self.seed}
        return facts | {"truth": "" if truth is None else str(truth), "training": self.training}

    def _begin(self) -> None:
        """Takes the folder: a new one, or that of the same validation."""
        file = self.out / FILE
        if not file.exists():
            check_free(self.out, ("lock", FILE))
            with ExitStack() as stack:
                stack.enter_context(take_lock(self.out))
                self._write(self.record | {"versions": versions()})
                self._open = stack.pop_all()
            return
        try:
            had = json.loads(file.read_text(encoding="utf-8"))
            different = [name for name in self.record if had[name] != self.record[name]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{file}: damaged: {type(error).__name__}: {error}") from error
        for name in different:
            if name == "training" and had[name] and self.training:
                for part in ("data", "seed"):
                    self._refuse(part, self.training[part], had[name][part])
                for part, value in self.training["fidelity"].items():
                    self._refuse(f"fidelity.{part}", value, had[name]["fidelity"].get(part))
            elif name == "text":
                raise SettingError(f"space: got {self.name} with another text than {self.out} was begun with")
            self._refuse(name, self.record[name], had[name])
        self._open.enter_context(take_lock(self.out))
        self.record = had

    def _refuse(self, name: str, got: Any, had: Any) -> None:
        if got != had:
            raise SettingError(f"{name}: got {got!r}; {self.out} was begun with {had!r}, which cannot be changed")

    def _write(self, record: dict[str, Any]) -> None:
        self.record = record
        write_whole(self.out / FILE, json.dumps(record, indent=1) + "\n")


def put_together(
    truth: pd.DataFrame,
    noise: Noise | None,
    scores: Scores,
    kinds: Mapping[str, str],
    *,
    column: str = "accuracy",
    bands: Bands = None,
    combine: Sequence[Sequence[str]] = (),
    seed: int = 0,
    trained: str = "",
    left_out: Mapping[str, str] | None = None,
) -> Report:
    """The report on scores of designs whose truth is known.

    Args:
        truth: A row per design, as `read_truth` gives it.
        noise: Between seeds; None where it is not known.
        scores: The scores.
        kinds: Kind of each proxy that is assessed, by its name.
        column: Of the truth.
        bands: See `assess`.
        combine: Scores to combine; where there are none, all training-free ones that nearly every design has.
        seed: Of the bootstrap samples and the folds.
        trained: See `Report`.
        left_out: See `Report`.

    Raises:
        SettingError: See `assess`.
    """
    table = truth.merge(scores.frame(), on="id", how="left")
    kinds = {name: kind for name, kind in kinds.items() if name in table and table[name].notna().any()}
    free = [name for name in kinds if kinds[name] != TRAINED and table[name].notna().mean() >= KNOWN]
    if not combine and sum(kinds[name] == TRAINING_FREE for name in free) > 1:
        combine = [[name for name in free if kinds[name] == TRAINING_FREE]]
    deviation = None if noise is None else noise.deviation
    options: dict[str, Any] = {"bands": bands, "combine": combine, "fit": free, "seed": seed}
    summary = assess(table, truth=column, proxies=kinds, noise=deviation, **options)
    summary["seconds"] = summary["proxy"].map(scores.seconds())
    recommended, reason = recommend(summary)
    top = math.nan
    if noise is not None:
        top = ceiling(table[column], table["seeds"], bands_of(table["macs"], bands), noise.deviation)
    missing = scores.reasons()
    return Report(summary, table, column, noise, top, recommended, reason, trained, missing, left_out or {})
