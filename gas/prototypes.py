"""Designs that a search starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gas.architecture import Architecture
from gas.errors import DesignError, SettingError
from gas.pricing import PREDICTED, Pricing
from gas.run import open_run
from gas.space import SearchSpace, load


def find_prototypes(names: Sequence[str], space: SearchSpace) -> dict[str, Architecture]:
    """The designs that names mean, by name.

    Args:
        names: Each a name of the zoo, a file, or RUN:ID, a run's directory and what `gas show` takes behind it.
        space: What they must be members of; its bounds are not looked at.

    Raises:
        GasError: There is no such design.
        DesignError: One is no member; names it, the decision in which it departs and the nearest value there.
    """
    found = {}
    for name in names:
        found[name] = _find(name)
        try:
            space.decode(found[name])
        except DesignError as error:
            raise DesignError(f"{name}: {error.where}", f"{error.problem} in the space {space.name}") from error
    return found


def outside(prototypes: Mapping[str, Architecture], pricing: Pricing) -> dict[str, str]:
    """Which bounds a prototype breaks, in words, for those that the search cannot begin with as they are.

    Of the bounds, those that generators keep to: on macs, params and (with a profile) predicted latency.
    """
    broken = {}
    for name, design in prototypes.items():
        metrics = pricing.exact(design)
        metrics = {metric: metrics[metric] for metric in ("macs", "params")}
        if pricing.profile is not None:
            metrics[PREDICTED] = pricing.predicted(design)
        if refusal := pricing.refusal(metrics):
            broken[name] = refusal
    return broken


def _find(name: str) -> Architecture:
    folder, colon, which = name.rpartition(":")
    if colon and Path(folder).is_dir():
        return open_run(folder).architecture(which)
    if Path(name).is_dir():
        raise SettingError(f"{name}: got a folder; expected a design, or RUN:ID such as {name}:best")
    return load(name)
