"""Ways of proposing designs: one file each, over one interface and the one walk of a search space."""

from gas.generators.base import GENERATORS, Generator, create

__all__ = ["GENERATORS", "Generator", "create"]
