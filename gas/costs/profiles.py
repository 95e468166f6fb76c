"""A profile: the latencies of a space's pieces and of some whole designs on one target, and the predictor they give.

Made once per machine, target and library versions (`gas profile`), kept as one JSON file that stands by itself. What is
measured is entered in the latency table as it comes, so a profile that was cut off goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gas.architecture import Architecture, Spec
from gas.costs.pieces import Piece, design_pieces, digest, pieces, text_of, whole
from gas.costs.predictor import Correction, Fit, Prediction, fit
from gas.costs.table import LatencyTable
from gas.data.cache import cache_folder
from gas.disk import write_whole
from gas.errors import SettingError, describe
from gas.patterns import Flow
from gas.plan import plan
from gas.space import SearchSpace

FORMAT = 1
DESIGNS = 96  # measured whole
LEAST_DESIGNS = 16
TRIED = 8  # pieces that are measured before the time of the others is estimated
BESIDE = 7  # designs that a reference takes turns with
REPEATED = 12  # of the designs, measured a second time: no prediction can be better than that


@dataclass(frozen=True)
class Work:
    """What a profile has to measure.

    Args:
        every: Every different piece of the space's designs.
        pieces: Those that are not in the table yet.
        designs: Designs to measure whole.
    """

    every: list[Piece]
    pieces: list[Piece]
    designs: list[Architecture]


@dataclass(frozen=True)
class Profile:
    """Latency on one target, predicted from pieces.

    Args:
        label: What its numbers must not be compared across (target, batch, threads, processor, versions, clock).
        space: Name of the space whose designs it was learned from.
        designs: (design, measured ms, predicted ms without it, sum over its pieces) of those that were measured whole.
        correction: What was learned from them.
        known: Milliseconds per piece.
        repeats: (first, second) ms of designs that were measured twice.
        table: Measures pieces that the profile lacks; None where it is another machine's.
    """

    label: dict[str, str | int]
    space: str
    designs: list[tuple[Architecture, float, float, float]] = field(repr=False)
    correction: Correction
    known: dict[str, float] = field(repr=False)
    repeats: list[tuple[float, float]] = field(default_factory=list, repr=False)
    table: LatencyTable | None = field(default=None, repr=False, compare=False)

    def ms(self, piece: Piece) -> float:
        """Milliseconds that a piece takes alone."""
        if piece.key not in self.known:
            if self.table is None:
                expected = "one that the profile holds; only the machine that it was made on can measure others"
                raise SettingError(
                    f"profile of {self.space}: got a piece ({piece.kind}, {piece.shape}); expected {expected}"
                )
            self.known[piece.key] = self.table.ms(piece)
        return self.known[piece.key]

    def price(self, spec: Spec, flow: Flow) -> float:
        """What a part adds to a design's predicted latency, ms: a design's is the sum over its parts."""
        return self._sum(pieces(spec, flow))

    def predict(self, architecture: Architecture) -> Prediction:
        """Predicted latency for one batch, with its 90% interval."""
        return self.correction.interval(self._sum(design_pieces(architecture)))

    def reference(self, architecture: Architecture) -> float:
        """Milliseconds of a design that others are held against, measured as those were that the profile learned from.

        In turns with some of them, that is; where the profile is another machine's, what it predicts has to do.
        """
        if self.table is None:
            return self.predict(architecture).ms
        return self.table.measured([architecture], beside=[design for design, *_ in self.designs[:BESIDE]])[0]

    def lacking(self, architectures: Iterable[Architecture]) -> int:
        """Number of different pieces of designs that it does not know yet."""
        return len({p.key for design in architectures for p in design_pieces(design)} - self.known.keys())

    def _sum(self, found: Iterable[Piece]) -> float:
        return math.fsum(self.correction(piece, self.ms(piece)) for piece in found)

    def save(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all."""
        designs = [
            {"design": design.to_dict(), "ms": ms, "left_out_ms": left_out, "sum_ms": plain}
            for design, ms, left_out, plain in self.designs
        ]
        data = {"format": FORMAT, "label": self.label, "space": self.space, "correction": self.correction.to_dict()}
        text = json.dumps({**data, "repeats": self.repeats, "designs": designs, "pieces": self.known})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"{path}: cannot be written: {error.strerror}") from error
        write_whole(path, text)

    @classmethod
    def load(cls, path: Path, table: LatencyTable, *, foreign: bool = False) -> Profile:
        """Reads a profile.

        Args:
            path: The file.
            table: Of the target that latencies are wanted for: the profile must be of the same machine and versions.
            foreign: Take it all the same; pieces that it lacks are not measured then, but refused.

        Raises:
            SettingError: No profile, or one of another target, machine or version (and not `foreign`).
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise SettingError(
                    f"{path}: format: {describe(data['format'], f'{FORMAT}; make it anew: gas profile')}"
                )
            designs = [
                (Architecture.from_dict(row["design"]), row["ms"], row["left_out_ms"], row["sum_ms"])
                for row in data["designs"]
            ]
            correction = Correction(**data["correction"])
            label, space, known = data["label"], data["space"], dict(data["pieces"])
            repeats = [(first, second) for first, second in data["repeats"]]
        except OSError as error:
            raise SettingError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SettingError(f"{path}: is no profile; expected a file that gas profile wrote") from error
        other = [
            f"{name} {label.get(name, 'not said')} (here: {table.label.get(name, 'not said')})"
            for name in dict.fromkeys([*label, *table.label])
            if label.get(name) != table.label.get(name)
        ]
        if other and not foreign:
            raise SettingError(f"{path}: got a profile of {', '.join(other)}; expected one made here: gas profile")
        return cls(label, space, designs, correction, known, repeats, None if other else table)


def profile_path(space: SearchSpace, table: LatencyTable) -> Path:
    """Where the profile of a space on a target is kept: other versions or settings have another file."""
    which = digest(text_of([table.label, space.document.text]))[:10]
    return cache_folder() / "profiles" / f"{space.name}-{table.target.name}-{which}.json"


def space_pieces(space: SearchSpace) -> list[Piece]:
    """Every different piece of a space's designs."""
    parts = {(s, f) for rows in space.arrays.layers for row in rows.parts() for s, f, _ in row}
    return list({piece.key: piece for spec, flow in parts for piece in pieces(spec, flow)}.values())


def profile_designs(space: SearchSpace, n: int = DESIGNS, seed: int = 0) -> list[Architecture]:
    """Designs to measure whole: one half drawn from all designs, one half from those within the budgets."""
    drawn = [*space.sample(n - n // 2, seed), *space.sample(n // 2, seed + 1, feasible=True)]
    return list({design.id: design for design in drawn}.values())


def work(space: SearchSpace, table: LatencyTable, n: int = DESIGNS, seed: int = 0) -> Work:
    """What there is to measure for a profile; SettingError for too few designs."""
    if n < LEAST_DESIGNS:
        raise SettingError(f"designs: {describe(n, f'a whole number of at least {LEAST_DESIGNS}')}")
    every = space_pieces(space)
    return Work(every, table.lacking(every), profile_designs(space, n, seed))


def estimate(todo: Work, table: LatencyTable) -> float:
    """Seconds that the work will take: measures a few pieces, which stay measured, and a design of middle size."""
    rng = np.random.default_rng(0)
    tried = [todo.pieces[i] for i in rng.permutation(len(todo.pieces))[:TRIED]]
    began = time.perf_counter()
    for piece in tried:
        table.ms(piece)
    each = (time.perf_counter() - began) / max(len(tried), 1)
    unknown = [design for design in todo.designs if table.lacking([whole(design)])]
    began = time.perf_counter()
    table.measured(
        [sorted(todo.designs, key=lambda design: plan(design).cost.macs)[len(todo.designs) // 2]], again=True
    )
    whole_s = time.perf_counter() - began
    return each * len(table.lacking(todo.pieces)) + whole_s * (len(unknown) + REPEATED)


def make_profile(
    space: SearchSpace,
    table: LatencyTable,
    todo: Work | None = None,
    *,
    progress: Callable[[str, int, int], object] = lambda what, done, total: None,
) -> Profile:
    """Measures what is to be measured and learns the predictor.

    Args:
        space: The space.
        table: Measures, and keeps what it measured.
        todo: See `work`, which it is where None.
        progress: Called with what is measured (`pieces`, `designs`, `repeats`), how many are done, how many there are.
    """
    todo = todo or work(space, table)
    table.fill(todo.pieces, lambda done, total: progress("pieces", done, total))
    measured = table.measured(todo.designs, progress=lambda done, total: progress("designs", done, total))
    twice = range(0, len(todo.designs), max(len(todo.designs) // REPEATED, 1))[:REPEATED]
    second = table.measured(
        [todo.designs[i] for i in twice], again=True, progress=lambda done, total: progress("repeats", done, total)
    )
    repeats = [(measured[i], ms) for i, ms in zip(twice, second, strict=True)]
    known = {piece.key: table.ms(piece) for piece in todo.every}
    learned = learn(todo.designs, measured, table)
    rows = zip(todo.designs, measured, learned.predicted.tolist(), learned.sums.tolist(), strict=True)
    return Profile(table.label, space.name, list(rows), learned.correction, known, repeats, table)


def learn(designs: Sequence[Architecture], measured: Sequence[float], table: LatencyTable) -> Fit:
    """Learns the correction from designs that were measured whole."""
    return fit([[(p, table.ms(p)) for p in design_pieces(d)] for d in designs], measured)


def accuracy(measured: Sequence[float], predicted: Sequence[float]) -> dict[str, Any]:
    """How well predictions do: rank correlation, relative errors, share within 5% and 10%."""
    from scipy.stats import spearmanr

    errors = np.abs(np.asarray(predicted) / np.asarray(measured) - 1)
    return {
        "designs": len(errors),
        "spearman": float(spearmanr(measured, predicted).statistic),
        "median_error": float(np.median(errors)),
        "worst_error": float(errors.max()),
        "within_5%": float((errors <= 0.05).mean()),
        "within_10%": float((errors <= 0.10).mean()),
    }
