"""Eigenvalues of covariances, gathered row by row so that no pass has to be kept.

Shapes: S rows, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Scatter:
    """The covariance of features that come in portions.

    Where there are fewer rows than channels the rows are kept, for their products are the smaller matrix with the same
    eigenvalues; else only the (C, C) sums are.

    Args:
        count: How many rows there will be in all.

    Attributes:
        added: How many there were so far.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.added = 0
        self._kept: list[Tensor] = []
        self._shift = self._sum = self._products = torch.zeros(0)

    def add(self, rows: Tensor) -> None:
        """The next rows, (s, C)."""
        self.added += len(rows)
        if self.count < rows.shape[1]:
            self._kept.append(rows)
            return
        if not len(self._shift):
            # Products of numbers near 0 keep what single precision has; the mean is taken off exactly at the end.
            self._shift = rows.mean(dim=0)
            self._sum = torch.zeros(rows.shape[1], dtype=torch.float64)
            self._products = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
        rows = rows - self._shift
        self._sum += rows.sum(dim=0, dtype=torch.float64)
        self._products += rows.T @ rows

    def variances(self) -> Tensor:
        """Eigenvalues of the covariance, float64, descending: the C, or the S that may differ from 0; not below 0.

        Raises:
            ValueError: Not so many rows were added, or a feature is not finite.
        """
        if self.added != self.count or not self.count:
            raise ValueError(f"got {self.added} rows; expected {self.count or 'some'}")
        if self._kept:
            rows = torch.cat(self._kept).double()
            rows = rows - rows.mean(dim=0)
            matrix = rows @ rows.T / self.count
        else:
            mean = self._sum / self.count
            matrix = self._products / self.count - mean.outer(mean)
        if not matrix.isfinite().all():
            raise ValueError("got features that are not finite")
        return torch.linalg.eigvalsh(matrix).clamp_min(0).flip(0)


def components(variances: Tensor, share: float) -> int:
    """(C,) variances, descending -> the least number of them that hold `share` of their sum; 0 where that is 0."""
    total = variances.sum()
    if total <= 0:
        return 0
    # The tolerance keeps a share met exactly from being missed by rounding.
    return int((variances.cumsum(0) < total * (share - 1e-9)).sum()) + 1


def entropy(variances: Tensor) -> float:
    """Of the shares that (C,) variances have in their sum, nats; 0 where that is 0."""
    total = variances.sum()
    if total <= 0:
        return 0.0
    shares = variances / total
    return torch.special.entr(shares).sum().item()
