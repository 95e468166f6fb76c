"""Q-pooling: a stage is entered by max-pooling the queries (and the shortcut) of its first block."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gas.errors import DesignError
from gas.patterns.base import Cost, Flow, Options, Part, Pattern, register


class QPoolOptions(Options):
    """Options of q_pool."""

    lag: Annotated[
        bool, Field(description="the pooling block keeps the attention scope of the stage it leaves (Hiera's lag)")
    ] = True


@register("q_pool")
class QPoolPattern(Pattern):
    """The first block of the stage pools its queries over 2 x 2 tokens; keys and values stay at full resolution.

    The pooling is carried out inside that block, so the entry has no module and no cost of its own. With `lag` the
    pooling block still attends as the stage before did (mask units stay mask units), while its width and heads are
    already the new stage's.

    Source: Hiera, arXiv 2306.00989, section 3; the lag is in its public code ("Lag by 1 block").
    """

    kind = "entry"
    Options = QPoolOptions
    fused = True

    def after(self, options: QPoolOptions, flow: Flow) -> Flow:
        """Leaves a pooling by 2 to the next block."""
        for side in flow.grid:
            if side % 2:
                raise DesignError("", f"a Q-pooling over 2 x 2 tokens needs an even grid; got side {side}")
        return flow.but(pool=2, lag=options.lag)

    def cost(self, options: QPoolOptions, flow: Flow) -> Cost:
        """Nothing: the next block bears it."""
        return Cost()

    def part(self, options: QPoolOptions, flow: Flow) -> Part:
        """There is none."""
        raise DesignError("", "q_pool has no module of its own")
