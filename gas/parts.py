"""The parts of a search, made from its settings: fidelity, profile, bounds, generator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gas.architecture import Architecture
from gas.costs import LatencyTable, Profile, memory
from gas.errors import SettingError, describe
from gas.evaluation import Constraint
from gas.finalists import check_of
from gas.generators import GENERATORS, Generator, create
from gas.goals import Goals
from gas.pricing import Pricing, find_profile
from gas.proxies import PROXIES, Fidelity, Proxy
from gas.proxies import create as create_proxy
from gas.settings import ESTIMATE, LATENCY, MEMORY, PROXY, Settings
from gas.space import SearchSpace
from gas.space.document import said

# Designs that are as small as the reduced ones are not made as thin, and a try-out shall end in seconds. Those that are
# trained less still: at a quarter of the width, designs of 3 M macs at 64 pixels come out in an order that means
# nothing (experiments/proxy_validation, medium).
SMALL = {"width": 0.5}


def fidelity_of(settings: Settings, space: SearchSpace) -> dict[str, Any]:
    """The fidelity asked for; what is not asked for is cut to the size of the images that the designs are for."""
    # A bank's designs are as small as they were when it was trained.
    fitted = {} if settings.bank else fitted_to(PROXIES.get(settings.proxy), max(space.resolutions))
    return fitted | settings.fidelity


def fitted_to(proxy: type[Proxy], side: int) -> dict[str, Any]:
    """Fields of a proxy's fidelity that differ where designs are for images of no more than its own side; of no more
    than twice that where it trains them."""
    own = proxy.default_fidelity.resolution
    return SMALL | {"resolution": min(side, own)} if side <= own * (1 + proxy.needs_training) else {}


def rungs_of(settings: Settings, proxy: Proxy) -> tuple[dict[str, Any], ...]:
    """Fields of the fidelity that differ at each rung, the last one included; none where there is no ladder.

    The rungs below the last stop early in one and the same training: their learning rate follows its schedule.

    Raises:
        SettingError: The proxy cannot go on from a rung, or a rung does not train longer than the one below.
    """
    if not settings.ladder:
        return ()
    if not proxy.resumable:
        names = ", ".join(name for name in PROXIES if PROXIES.get(name).resumable)
        raise SettingError(f"ladder: got the proxy {proxy.name}; expected one that can train on ({names})")
    full = proxy.fidelity
    rungs: list[dict[str, Any]] = []
    steps = 0
    for index, changes in enumerate(settings.ladder):
        rung = Fidelity.of(changes, full)
        if not steps < rung.steps < full.steps:
            expected = f"more than {steps}, the steps of the rung below, and fewer than {full.steps}, those of the last"
            raise SettingError(f"ladder[{index}].steps: got {rung.steps}; expected {expected}")
        steps = rung.steps
        rungs.append({"horizon": full.steps, **changes})
    return (*rungs, {})


def scored_of(settings: Settings, goals: Goals, proxy: Proxy) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Name and settings of every proxy that designs are scored with: what `proxy` stands for, unless nothing is wanted
    of it and something is of another score; and those that the goals name.

    Raises:
        SettingError: There is a ladder, which scores without training have no place on.
    """
    others = [name for name in goals.scores if name != proxy.name]
    if others and settings.ladder:
        listed = ", ".join(said(name) for name in others)
        raise SettingError(f"ladder: got one with {listed}, which trains nothing; expected none")
    wanted = not others or PROXY in goals.spoken
    scored = [(proxy.name, proxy.settings())] if wanted else []
    return (*scored, *((name, create_proxy(name, {"seed": settings.seed}).settings()) for name in others))


def checker_of(settings: Settings, space: SearchSpace) -> Proxy | None:
    """The proxy that looks at the finalists, on the search's own data where it reads any; None for none.

    Raises:
        UnknownNameError: There is no such proxy.
        SettingError: It cannot look at finalists, because it needs a bank.
    """
    name = check_of(settings.check, settings.proxy)
    if not name:
        return None
    cls = PROXIES.get(name)
    if cls.needs_bank:
        raise SettingError(f"check: got {name!r}, which needs a bank; expected a proxy without one")
    given = {"proxy": name, "fidelity": {}, "bank": ""}
    fidelity = fidelity_of(settings.model_copy(update=given), space)
    data = settings.data if cls.needs_training else None
    return create_proxy(name, {"data": data, "fidelity": fidelity, "seed": settings.seed})


def profile_of(settings: Settings, space: SearchSpace, table: LatencyTable | None, kept: Path | None) -> Profile | None:
    """What latency is predicted from; None where it is the sum over pieces, or nothing.

    Args:
        settings: Of the search.
        space: Of the search.
        table: Of the target; None where latency does not bear on the search.
        kept: For a run that is resumed: the file of the profile that it began with, if it did.
    """
    if table is None:
        return None
    if kept is not None:
        return Profile.load(kept, table, foreign=True) if kept.exists() else None
    return find_profile(settings.profile, space, table, foreign=settings.foreign_profile)


def bounds_of(
    settings: Settings,
    space: SearchSpace,
    references: Mapping[str, Architecture],
    pricing: Pricing,
    note: Callable[[str], None],
) -> tuple[Constraint, ...]:
    """The bounds that are known before an evaluation, absolute and in recorded names.

    Args:
        settings: Of the search.
        space: Of the search.
        references: Designs by name, those among them that a bound is relative to.
        pricing: Measures and predicts.
        note: Takes words on what takes a while.
    """
    bounds = []
    for constraint in space.constraints:
        if constraint.metric in (PROXY, ESTIMATE):
            continue  # it decides on the front, not before the score is known
        reference = references[constraint.of] if constraint.of else None
        if constraint.metric == MEMORY and reference is not None:
            constraint = constraint.resolved(memory(reference, pricing.memory_batch).mib)
        if constraint.metric == LATENCY:
            note(f"timing {constraint.of}" if constraint.of else "looking up latencies")
            constraint = pricing.latency_bound(constraint, reference)
        bounds.append(settings.constraint(constraint))
    return tuple(bounds)


def generator_of(
    settings: Settings,
    space: SearchSpace,
    goals: Goals,
    prototypes: Mapping[str, Architecture],
    bounds: Sequence[Constraint] = (),
) -> Generator:
    """The generator, with what it may know of what is wanted.

    Args:
        settings: Name it, and its options.
        space: What it proposes from.
        goals: What is wanted.
        prototypes: Designs to propose first, by name.
        bounds: Absolute bounds on costs, in recorded names; those that the space keeps by itself are left out.

    Raises:
        SettingError: An option is none of its own, or has an impossible value.
        UnknownNameError: There is no such generator.
    """
    name, options = settings.generator, settings.generator_options
    own = inspect.signature(GENERATORS.get(name)).parameters.keys() - {"space", "objectives", "seed"}
    for option in sorted(inspect.signature(create).parameters.keys() & options.keys() - own):
        # `create` takes these itself, so it could not tell them from options.
        expected = f"one of {', '.join(sorted(own))}" if own else "no options"
        raise SettingError(f"generator {name}: {describe(option, expected)}")
    learned = tuple(c for c in bounds if c.metric not in space.exact_metrics)
    bearing = {"requirements": (*goals.requirements, *learned), "utility": goals.utility, "prototypes": prototypes}
    return create(name, space, goals.objectives, settings.seed, **bearing, **options)


def check_budget(settings: Settings, generator: Generator) -> None:
    """SettingError where a search would end before its generator has proposed all that it begins with."""
    first = generator.first_batch
    if settings.budget < first:
        listed = len(settings.prototypes)
        raise SettingError(
            f"budget: got {settings.budget}; expected at least {first}, the designs that the generator "
            f"{settings.generator} begins with (prototypes among them: {listed}), or "
            + ("fewer prototypes" if listed > settings.budget else "a generator that needs none, such as evolution")
        )
