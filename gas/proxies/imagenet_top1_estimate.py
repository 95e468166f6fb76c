"""An estimate of ImageNet top-1 from what published networks reached."""

from __future__ import annotations

from gas.architecture import Architecture
from gas.estimates import estimate
from gas.estimates.estimating import LEAST_RESOLUTION
from gas.proxies.base import Proxy, check_deadline, register


@register("imagenet_top1_estimate")
class ImagenetTop1Estimate(Proxy):
    """ImageNet-1k top-1, percent, estimated from the design's structure for a plain training without a teacher.

    The design is counted at its own size and neither built in full nor trained: `data`, `fidelity` and the seed are not
    read. It is no measurement: `_low` and `_high` hold 90% of networks of families that the estimate has not seen, and
    two designs whose intervals overlap widely are not told apart. `_distance` says how far the design is from all known
    networks; beyond 1 no published network could be held against the interval, and beyond 2 there is no score.

    Source: none; see gas.estimates, and experiments/imagenet_estimate for how it was checked.
    """

    least_resolution = LEAST_RESOLUTION

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """`imagenet_top1_estimate`, its `_low` and `_high`, and `_distance`; see `Proxy.score`."""
        check_deadline(deadline, "the estimate")
        found = estimate(architecture)
        return {
            self.name: found.top1,
            f"{self.name}_low": found.low,
            f"{self.name}_high": found.high,
            f"{self.name}_distance": found.distance,
        }
