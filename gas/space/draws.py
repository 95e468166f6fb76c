"""Uniform draws from all designs of a space, row by row in proportion to the designs behind each."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gas.space.tables import Chain, Table


def walks(chain: Chain, n: int, rng: np.random.Generator) -> Iterator[list[tuple[Table, int]]]:
    """`n` designs as (table, row) per segment."""
    for _ in range(n):
        state, walk = 0, []
        for number, layer in enumerate(chain.layers):
            table = layer.tables[state]
            row = rng.choice(len(table.values), p=shares(chain, number, state))
            walk.append((table, row))
            state = table.after[row]
        yield walk


def costs_of_draws(chain: Chain, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n, 2) macs and params of designs."""
    costs, states = np.zeros((n, 2), dtype=np.int64), np.zeros(n, dtype=np.int64)
    for number, layer in enumerate(chain.layers):
        following = np.empty_like(states)
        for state in np.unique(states):
            here = np.flatnonzero(states == state)
            table = layer.tables[state]
            rows = rng.choice(len(table.values), size=len(here), p=shares(chain, number, state))
            costs[here] += table.costs[rows]
            following[here] = table.after[rows]
        states = following
    return costs


def shares(chain: Chain, number: int, state: int) -> NDArray[np.float64]:
    """Share of a state's completions that goes through each row of its table."""
    if number + 1 == len(chain.layers):
        count = len(chain.layers[number].tables[state].values)
        return np.full(count, 1.0 / count)
    ways = chain.layers[number + 1].ways
    total = chain.layers[number].ways[state]
    # Python integers divide exactly, however large.
    return np.array([ways[s] / total for s in chain.layers[number].tables[state].after])


def wilson(inside: NDArray[np.bool_]) -> tuple[float, float, float]:
    """(share, low, high) of what is True, at 95%: Wilson's interval, which is sound at shares near 0 and 1."""
    n, share, z = len(inside), float(inside.mean()), 1.96
    middle, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return share, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
