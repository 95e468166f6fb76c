"""Generators that are wrong in one way each, with what the checks must say of them."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import replace

from gas.evaluation import Candidate, Evaluation
from gas.generators.random import RandomGenerator


class Stubborn(RandomGenerator):
    """Wants the last choice, whatever is allowed."""

    def propose(self) -> tuple:
        return self.space.realise(lambda decision, allowed: decision.choices[-1]), "last"


class Spendthrift(RandomGenerator):
    """Leaves the budgets out of account."""

    def draw(self) -> tuple:
        return self.space.realise(lambda decision, allowed: self.rng.choice(allowed), feasible=False), "any"


class Forgetful(RandomGenerator):
    """Proposes the same design over and over."""

    def ask(self, n: int = 1) -> list[Candidate]:
        asked = super().ask(n)
        self.first = getattr(self, "first", None) or asked[0]
        same = [replace(self.first, number=c.number) for c in asked]
        self._pending |= {c.number: c for c in same}
        return same


class Clocked(RandomGenerator):
    """Draws by the clock."""

    def propose(self) -> tuple:
        self.rng.seed(time.perf_counter_ns())
        return self.draw()


class Careless(RandomGenerator):
    """Draws from the generator that everybody shares."""

    def propose(self) -> tuple:
        return self.space.realise(lambda decision, allowed: random.choice(allowed)), "shared"


class Orderly(RandomGenerator):
    """Believes that candidates come back in order."""

    def learn(self, evaluation: Evaluation) -> None:
        self.expected = getattr(self, "expected", -1) + 1
        if evaluation.candidate.number != self.expected:
            raise RuntimeError("out of order")


class Headstrong(RandomGenerator):
    """Begins where it likes."""

    def start_from(self, prototypes: Mapping) -> None:
        super().start_from(dict(reversed(prototypes.items())))


class Hopeful(RandomGenerator):
    """Takes for granted that every metric is there."""

    def learn(self, evaluation: Evaluation) -> None:
        self.best = max(getattr(self, "best", -math.inf), evaluation.metrics["score"])


class Credulous(RandomGenerator):
    """Believes whatever it is told."""

    def tell(self, evaluation: Evaluation) -> None:
        self.learn(evaluation)


class Idler(RandomGenerator):
    """Gives up early."""

    def ask(self, n: int = 1) -> list[Candidate]:
        return super().ask(n) if self._count < 20 else []


class Loud(RandomGenerator):
    """Talks."""

    def propose(self) -> tuple:
        print("hm")
        return self.draw()


class Liar(RandomGenerator):
    """Notes other decisions than it made."""

    def draw(self) -> tuple:
        realised, origin = super().draw()
        path, value = next(iter(realised.decisions.items()))
        other = next(c for d in self.space.decisions if d.path == path for c in d.choices if c != value)
        return replace(realised, decisions={**realised.decisions, path: other}), origin


# Check that fails, the class, and what it says.
BROKEN = {
    "stubborn": ("proposals", Stubborn, r"ValueError: [\w\[\].]+: got .*; expected one of \["),
    "spendthrift": ("proposals", Spendthrift, r"candidate \d+: (macs|params): got [\d,]+; expected (macs|params) <= "),
    "forgetful": ("proposals", Forgetful, r"different designs: got 1; expected 60; candidate 1 repeats one"),
    "clocked": (
        "seed",
        Clocked,
        r"candidate \d+ with seed 1: got .*; expected .*the same twice: the seed and what was",
    ),
    "careless": (
        "proposals",
        Careless,
        r"random state: got draws from the global generators of random, numpy or torch",
    ),
    "orderly": ("late", Orderly, r"RuntimeError: out of order"),
    "headstrong": (
        "prototypes",
        Headstrong,
        r"origins of the first candidates: got \['prototype 2', .*; expected \['prototype 0', .* names",
    ),
    "hopeful": ("failures", Hopeful, r"KeyError: 'score'"),
    "credulous": ("once", Credulous, r"tell of candidate 0, told before: got no error; expected ValueError"),
    "idler": ("exhausts", Idler, r"candidates left of \d+ designs after 20: got 0; expected 1"),
    "loud": ("quiet", Loud, r"text printed: got 'hm\\n"),
    "liar": ("proposals", Liar, r"candidate 0: d.*: got "),
}
