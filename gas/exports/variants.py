"""What an exported file offers beside the network itself: maps alone, and a check of the image's side.

Shapes: B batch, C channels, H and W sides of a map, R side of the image.

Every exported file carries the source of these.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from gas.model import Network


class FeatureMaps(Network):
    """A network without its head, up to the last map that is wanted; parameters keep their names.

    Args:
        network: Whose stem and stages it takes.
        out_indices: The stages whose maps are given, counted from 0; from the end where negative.
    """

    def __init__(self, network: Network, out_indices: Sequence[int]) -> None:
        count = len(network.stages)
        wrong = [i for i in out_indices if not -count <= i < count]
        if wrong or not out_indices:
            raise ValueError(f"out_indices: got {tuple(out_indices)}; expected stages from 0 to {count - 1}")
        wanted = tuple(i % count for i in out_indices)
        last = max(wanted) + 1
        info = [network.feature_info[i] for i in wanted]
        stages, maps = list(network.stages[:last]), list(network.maps[:last])
        super().__init__(network.stem, stages, maps, nn.Identity(), info, network.resolution)
        self.out_indices = wanted

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, R, R) -> one map (B, C, H, W) for each of `out_indices`."""
        maps = self.forward_features(x)
        return [maps[i] for i in self.out_indices]


def check_arguments(num_classes: int, img_size: int, sides: Sequence[int]) -> None:
    """ValueError where there cannot be as many classes, or the design does not stand at a side."""
    if not isinstance(num_classes, int) or num_classes < 0:
        raise ValueError(f"num_classes: got {num_classes!r}; expected a whole number from 0")
    if img_size not in sides:
        near = min(sides, key=lambda side: abs(side - img_size))
        known = ", ".join(map(str, sides))
        raise ValueError(f"img_size: got {img_size}; expected one of {known}; did you mean {near}?")
