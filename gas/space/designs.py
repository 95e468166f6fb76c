"""Many designs of a space at once: decisions, exact costs and features as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from gas.architecture import Architecture
from gas.errors import SpaceError, describe
from gas.space.arrays import Arrays
from gas.space.codes import whole
from gas.space.features import Features

if TYPE_CHECKING:
    import pandas as pd


class Designs(Sequence):
    """Designs of one space, in the order given; made by `SearchSpace.designs` and `sample_feasible`.

    Args:
        arrays: The array form of their space.
        rows: (n, segments) row numbers that are known to be right.

    Attributes:
        rows: (n, segments) which row of each segment's tables a design takes.
    """

    def __init__(self, arrays: Arrays, rows: NDArray[np.integer]) -> None:
        self.arrays = arrays
        self.rows = np.asfortranarray(rows)  # sums go segment by segment

    @classmethod
    def checked(cls, arrays: Arrays, rows: object) -> Designs:
        """Designs from row numbers of unknown origin; SpaceError where they do not fit one another."""
        numbers = np.asfortranarray(whole(rows, "rows", len(arrays.layers), "segment"))
        state: Any = np.zeros(len(numbers), dtype=np.int32)
        for segment, layer in enumerate(arrays.layers):
            mine = numbers[:, segment]
            fits = (mine >= 0) & (mine < len(layer))
            if fits.all():
                fits = layer.state.take(mine) == state
                state = layer.after.take(mine)
            if not fits.all():
                design = int(np.argmin(fits))
                first = layer.first[state[design] : state[design] + 2]
                expected = f"{first[0]} to {first[1] - 1}, the rows behind the choices before it"
                where = f"designs.rows[{design}, {segment}]"
                raise SpaceError([f"{where}: {layer.segment.path}: {describe(int(mine[design]), expected)}"])
        return cls(arrays, numbers)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, which: int) -> Architecture: ...
    @overload
    def __getitem__(self, which: slice | NDArray) -> Designs: ...
    def __getitem__(self, which: Any) -> Any:
        """One design, or (for a slice, a mask or an array of numbers) some of them."""
        if isinstance(which, int | np.integer):
            layers = self.arrays.layers
            values = [layer.values[row] for layer, row in zip(layers, self.rows[which], strict=True)]
            return self.arrays.chain.architecture(values)
        return Designs(self.arrays, self.rows[which])

    def __iter__(self) -> Iterator[Architecture]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<Designs: {len(self):,}>"

    @cached_property
    def codes(self) -> NDArray[np.int16]:
        """(n, decisions) numbers of the choices, in the order of `space.decisions`; -1 where one does not exist."""
        result = np.full((len(self.arrays.chain.tree.decisions), len(self)), -1, dtype=np.int16)
        for segment, layer in enumerate(self.arrays.layers):
            for column, decision in enumerate(layer.decisions):
                layer.codes[:, column].take(self.rows[:, segment], out=result[decision], mode="clip")
        return result.T

    @cached_property
    def macs(self) -> NDArray[np.int64]:
        """(n,) exact multiply-adds of one image."""
        return self.arrays.total(self.rows, self.arrays.costs["macs"])

    @cached_property
    def params(self) -> NDArray[np.int64]:
        """(n,) exact numbers of learned numbers."""
        return self.arrays.total(self.rows, self.arrays.costs["params"])

    def decisions(self, which: int) -> dict[str, Any]:
        """The decisions of one design, as `SearchSpace.decode` gives them."""
        found = zip(self.arrays.chain.tree.decisions, self[which : which + 1 or None].codes[0], strict=True)
        return {decision.path: decision.choices[code] for decision, code in found if code >= 0}

    def frame(self) -> pd.DataFrame:
        """A row per design: the value of each decision (empty where it does not exist), macs and params."""
        import pandas as pd

        columns: dict[str, Any] = {}
        for decision, codes in zip(self.arrays.chain.tree.decisions, self.codes.T, strict=True):
            choices = np.empty(len(decision.choices) + 1, dtype=object)  # the last one is meant by -1
            for code, choice in enumerate(decision.choices):
                choices[code] = choice
            some = len(codes) == 0 or codes.min() >= 0
            columns[decision.path] = pd.Series(choices[codes], dtype=None if some else object).infer_objects()
        return pd.DataFrame({**columns, "macs": self.macs, "params": self.params})

    def features(self) -> Features:
        """Numbers that describe the designs (gas/space/features.py); those in which none can differ are left out."""
        return self.arrays.features.of(self.rows)
