"""Training a bank over a space, in a folder: which designs each step has, checkpoints, going on after a stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gas.architecture import Architecture
from gas.banks import FILE, Bank, Moments, Recipe, Record, Step, Trainer, load, save
from gas.data import ImageData
from gas.data import load as load_data
from gas.errors import DesignError, RunError, SettingError
from gas.parts import fidelity_of
from gas.proxies import PROXIES, Fidelity
from gas.proxies.reduce import reduce
from gas.records import take_lock
from gas.settings import Settings
from gas.space import SearchSpace, load_space, space_from_text
from gas.space.document import read_document
from gas.space.tree import Decision
from gas.training import suited_rate

PROXY = "shared_weights"
PLAIN = ("horizon", "augment", "precision", "channels_last", "deterministic", "seeds")
"""Fields of a fidelity that the training of a bank does not read, and so does not take."""
BLOCK, SPARE, TRIES, KEPT = 64, 4, 100, 1024
"""Steps whose designs are drawn at once; draws per design needed; draws for an extreme; reduced designs remembered."""


class StepDesigns:
    """The designs of every step, made small: the largest and the smallest of the space, and others drawn by seed.

    Args:
        space: Whose designs.
        fidelity: At which they are made small.
        count: Designs drawn per step.
        seed: Of the drawing: a step's designs follow from it and from the step's number alone.

    Raises:
        SettingError: No design of the space can be made that small.
    """

    def __init__(self, space: SearchSpace, fidelity: Fidelity, count: int, seed: int) -> None:
        self.space, self.fidelity, self.count, self.seed = space, fidelity, count, seed
        self.shrunk = lru_cache(maxsize=KEPT)(self._shrunk)
        self._drawn = lru_cache(maxsize=2)(self._draw)

    def __call__(self, step: int) -> list[Architecture]:
        """The largest, the smallest, then the drawn ones."""
        block, place = divmod(step, BLOCK)
        drawn = self._drawn(block)[place * self.count : (place + 1) * self.count] if self.count else []
        return [self.extreme(step, largest=True), self.extreme(step, largest=False), *drawn]

    def extreme(self, step: int, *, largest: bool) -> Architecture:
        """A design whose numbers are all at their largest (or smallest), bounds left aside; its patterns are drawn.

        Within the bounds no design is large everywhere, and what no step trains whole is ranked too low.
        """
        rng = np.random.default_rng([self.seed, 0, step, int(largest)])

        def choose(decision: Decision, allowed: tuple) -> Any:
            if decision.ordered:
                return allowed[-1 if largest else 0]
            return allowed[rng.integers(len(allowed))]

        for _ in range(TRIES):
            small = self.shrunk(self.space.realise(choose, feasible=False).architecture)
            if small is not None:
                return small
        raise SettingError(f"fidelity: no design of {self.space.name} was found at {self.fidelity.to_json()}")

    def cover(self) -> list[Architecture]:
        """Designs that between them need every tensor of the space at its largest, bounds left aside.

        Every choice of every decision once, with all other decisions at their largest; then designs that are drawn.
        """
        found = {}
        wishes: list[dict[str, Any]] = [{}]
        wishes += [{**dict(d.when), d.path: choice} for d in self.space.decisions for choice in d.choices]
        for wish in wishes:
            for largest in (True, False):  # what stands first may rule the wish out where all is largest
                design = self.space.realise(_wishing(wish, largest=largest), feasible=False).architecture
                found[design.id] = design
        small = [self.shrunk(design) for design in found.values()]
        return list({design.id: design for design in (*small, *self._drawn(0)) if design is not None}.values())

    def _draw(self, block: int) -> list[Architecture]:
        wanted = self.count * BLOCK
        pool = self.space.sample_feasible(SPARE * wanted, np.random.default_rng([self.seed, 1, block]))
        found = []
        for number in range(len(pool)):
            small = self.shrunk(pool[number])
            if small is not None:
                found.append(small)
            if len(found) == wanted:
                return found
        expected = "designs most of which can be made so small; give another resolution or width"
        raise SettingError(f"fidelity: got {self.fidelity.to_json()}; expected {expected}")

    def _shrunk(self, design: Architecture) -> Architecture | None:
        """The design at the fidelity; None where it does not exist there."""
        try:
            return reduce(design, resolution=self.fidelity.resolution, width=self.fidelity.width)
        except DesignError:
            return None


def _wishing(wish: Mapping[str, Any], *, largest: bool) -> Callable[[Decision, tuple], Any]:
    """Chooses what is wished at a path where it can, elsewhere the last choice (the largest number) or the first."""

    def choose(decision: Decision, allowed: tuple) -> Any:
        wanted = wish.get(decision.path)
        return wanted if wanted in allowed else allowed[-1 if largest else 0]

    return choose


@dataclass(frozen=True)
class Progress:
    """Where the training of a bank stands: the losses are means since the last report."""

    done: int
    total: int
    largest: float
    smallest: float
    seconds_left: float | None


class BankTraining:
    """A bank being trained in a folder; a context manager that holds the folder's lock.

    Args:
        space: A space, or the name or path of one; with `resume`, None or the space that the bank is of.
        out: The folder; must hold no bank yet, unless `resume`.
        resume: Go on with the bank that is there.
        data: Data source; None for the proxy's own.
        fidelity: Fields of the fidelity that differ from the proxy's.
        seed: Of everything.
        designs: Designs drawn for each step, beside the largest and the smallest.
        distillation: See `Recipe`.
        workers: Processes that share the batch; 1 for this one.
        address: Of a running Ray cluster, for the workers.
        every: Steps between checkpoints.
        segments: See `gas.banks.slots`.
        watch: Called with a Progress now and then.

    Raises:
        GasError: Anything the user can put right.
    """

    def __init__(
        self,
        space: SearchSpace | str | Path | None,
        out: str | Path,
        *,
        resume: bool = False,
        data: str | None = None,
        fidelity: Mapping[str, Any] | None = None,
        seed: int | None = None,
        designs: int = 2,
        distillation: float = 1.0,
        workers: int = 1,
        address: str | None = None,
        every: int = 200,
        segments: bool = True,
        watch: Callable[[Progress], None] | None = None,
    ) -> None:
        self.out, self.every = Path(out), every
        self.watch = watch or (lambda progress: None)
        self._open = ExitStack()
        there = (self.out / FILE).exists()
        if resume and not there:
            raise RunError(f"{out}: got no bank; expected the folder of one to resume")
        if there and not resume:
            raise RunError(f"{out}: got a bank that exists already; expected a new folder, or --resume")
        space = load_space(space) if isinstance(space, str | Path) else space
        with ExitStack() as stack:
            self._open = stack
            if there:
                stack.enter_context(take_lock(self.out))
                bank, moments, self.record = load(self.out)
                self.space = self._same(space, data, fidelity, seed)
            else:
                if space is None:
                    raise SettingError("space: got none; expected a search space, such as turbovit.yaml")
                self.space, bank, moments = space, Bank(segments=segments), Moments()
                self.record = _beginning(space, data, fidelity or {}, seed or 0, segments)
                self.record.recipe.update(designs=designs, distillation=distillation)
            self._start(bank, moments, workers, address)
            if not there:
                stack.enter_context(take_lock(self.out))
                self.trainer.hold(self.designs.cover())
                self.save()
            self._open = stack.pop_all()

    def run(self) -> None:
        """Trains to the end. Whatever stops it, a checkpoint is there, mostly of the last step."""
        total, began, first = self.trainer.recipe.steps, time.monotonic(), self.trainer.step
        recent: list[Step] = []
        try:
            while self.trainer.step < total:
                recent.append(self.trainer.advance())
                if self.trainer.step % self.every == 0 or self.trainer.step == total:
                    self._note(recent)
                    recent = []
                    if self.trainer.step < total:
                        self.save()
                done = self.trainer.step - first
                left = (time.monotonic() - began) / done * (total - self.trainer.step)
                last = recent[-1] if recent else None
                losses = (last.largest, last.smallest) if last else tuple(self.record.losses[-1][1:3])
                self.watch(Progress(self.trainer.step, total, *losses, left))
        finally:
            if self.trainer.whole:  # else the last checkpoint stays
                if recent:
                    self._note(recent)
                self.save()

    def save(self) -> None:
        """Writes the bank as it is now."""
        record = {**asdict(self.record), "step": self.trainer.step}
        self.record = Record(**record)
        save(self.out, self.trainer.bank, self.trainer.moments, self.record)

    def close(self) -> None:
        """Lets go of workers and lock; may be called again."""
        self._open.close()

    def __enter__(self) -> BankTraining:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, bank: Bank, moments: Moments, workers: int, address: str | None) -> None:
        record = self.record
        fidelity, recipe = Fidelity(**record.fidelity), Recipe(**record.recipe)
        self.designs = StepDesigns(self.space, fidelity, recipe.designs, record.seed)
        data = images_of(record)
        gradients, strength = None, fidelity.width**-0.5
        if workers > 1 or address:
            from gas.evaluators._data_parallel import DataParallel

            settings = {"seed": record.seed, "strength": strength, "smoothing": recipe.smoothing}
            gradients = self._open.enter_context(DataParallel(data, workers, address, **settings))
        more = {"seed": record.seed, "strength": strength, "step": record.step, "moments": moments}
        self.trainer = Trainer(bank, data, self.designs, recipe, gradients=gradients, **more)

    def _same(
        self, space: SearchSpace | None, data: str | None, fidelity: Mapping[str, Any] | None, seed: int | None
    ) -> SearchSpace:
        """The space of the bank that is resumed; SettingError where what was given is not what it was begun with."""
        record = self.record
        own = load_text(record)
        if space is not None:
            check_space(record, space)
        had = Fidelity(**record.fidelity)
        given = Fidelity.of(fidelity or {}, had)
        changes = [("data", data, record.data), ("seed", seed, record.seed)]
        changes += [(f"fidelity.{name}", getattr(given, name), value) for name, value in had]
        for name, got, begun in changes:
            if got is not None and got != begun:
                raise SettingError(f"{name}: got {got!r}; this bank was begun with {begun!r}, which cannot be changed")
        return own

    def _note(self, steps: Sequence[Step]) -> None:
        means = [
            sum(values) / len(steps) for values in zip(*((s.largest, s.smallest, s.drawn) for s in steps), strict=True)
        ]
        self.record.losses.append([steps[-1].number + 1, *(round(mean, 6) for mean in means)])


def images_of(record: Record) -> ImageData:
    """The images that a bank was trained and is validated on."""
    wanted = {name: record.fidelity[name] for name in ("resolution", "images", "validation", "classes", "noise")}
    return load_data(record.data, seed=record.seed, **wanted)


def load_text(record: Record) -> SearchSpace:
    """The space that a bank is of; RunError where the bank was made of designs alone."""
    if not record.text:
        raise RunError("bank: got one that was made of no space; expected one of gas train-bank")
    return space_from_text(record.text, record.space)


def check_space(record: Record, space: SearchSpace) -> None:
    """SettingError where a bank is of a space with other designs; objectives and constraints may differ."""
    own = read_document(record.text, record.space).tree if record.text else None
    if own != space.document.tree:
        raise SettingError(f"bank: got one of the space {record.space}; expected one of {space.name}, as it is now")


def _beginning(space: SearchSpace, data: str | None, fidelity: Mapping[str, Any], seed: int, segments: bool) -> Record:
    """The record of a bank that is about to be trained."""
    cls = PROXIES.get(PROXY)
    source = cls.default_data if data is None else data
    changes = fidelity_of(Settings.of(proxy=PROXY, fidelity=dict(fidelity)), space)
    at = Fidelity.of({**cls.fidelity_on.get(source, {}), **changes}, cls.default_fidelity)
    plain = Fidelity()
    for name in PLAIN:
        got, expected = getattr(at, name), getattr(plain, name)
        if got != expected:
            raise SettingError(f"fidelity.{name}: got {got!r}; expected {expected!r}: a bank is trained without")
    if isinstance(at.rate, tuple):
        raise SettingError(f"fidelity.rate: got {list(at.rate)}; expected one number: a bank is trained once")
    largest = StepDesigns(space, at, 0, seed).extreme(0, largest=True)
    rate = suited_rate(largest, at.rate)
    more = {name: getattr(at, name) for name in ("smoothing", "decay", "warm_up")}
    recipe = Recipe(at.steps, at.batch, rate, **more)
    return Record(space.name, space.document.text, at.model_dump(), source, seed, asdict(recipe), 0, [], segments)
