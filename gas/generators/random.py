"""Random search: the least a generator needs, and what every other one has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gas.generators.base import GENERATORS, Generator

if TYPE_CHECKING:
    from gas.space import Realised


@GENERATORS.register("random")
class RandomGenerator(Generator):
    """Draws each decision uniformly over what is allowed at that point; learns nothing.

    So it is uniform decision by decision, not over designs: a branch that holds few designs is drawn as often as its
    neighbour that holds many.
    """

    def propose(self) -> tuple[Realised, str]:
        """A uniform draw."""
        return self.draw()
