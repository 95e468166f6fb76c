"""Which score leads a search where nobody says: the best-evidenced one that the designs can have.

The evidence stands in experiments/proxy_validation; `gas validate-proxies` makes it for a space of one's own.
"""

from __future__ import annotations

from gas.estimates import LEAST_RESOLUTION, MOST_RESOLUTION
from gas.goals import reads_accuracy
from gas.proxies import PROXIES
from gas.settings import AUTO, ESTIMATE, Settings
from gas.space import SearchSpace

LEAD = ESTIMATE
"""Where designs are of a size that networks with a published top-1 have."""
SMALL = "short_training"
"""Where images are smaller (or larger) than that."""
TRAINED = "blend"
"""Where they are of that size, and something is asked for that only a training has."""
BANKED = "shared_weights"
BUDGETS = {True: 40, False: 300}
"""Evaluations in all where nobody says, by whether the score trains: what some five minutes on two cores hold."""


def led(settings: Settings, space: SearchSpace) -> tuple[Settings, str]:
    """The settings with their lead and budget named where they were `auto`; and why this lead, in words.

    Args:
        settings: As they were given.
        space: Of the search.
    """
    name, why = settings.proxy, "as asked for"
    if name == AUTO:
        name, why = _lead(settings, space)
    budget = BUDGETS[PROXIES.get(name).needs_training] if settings.budget == AUTO else settings.budget
    return settings.model_copy(update={"proxy": name, "budget": budget}), why


def _lead(settings: Settings, space: SearchSpace) -> tuple[str, str]:
    """The lead, and what decided."""
    if settings.bank:
        return BANKED, "there is a bank"
    small, large = min(space.resolutions), max(space.resolutions)
    estimable = small >= LEAST_RESOLUTION and large <= MOST_RESOLUTION
    other = TRAINED if estimable else SMALL
    trained = [word for word in ("data", "fidelity", "ladder") if getattr(settings, word)]
    if trained:
        return other, f"{' and '.join(trained)} given, so designs shall be trained"
    if reads_accuracy(settings.utility):
        return other, "the utility reads an accuracy"
    if LEAD in {goal.metric for goal in (*space.objectives, *space.constraints)}:
        return other, "the space speaks of the estimate besides"
    if estimable:
        return LEAD, f"designs for {small if small == large else f'{small} to {large}'} pixels can be estimated"
    return SMALL, f"an estimate needs images of {LEAST_RESOLUTION} to {MOST_RESOLUTION} pixels"
