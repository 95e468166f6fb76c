"""How differently an untrained network's non-linearities answer to different images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gas.passes import Passes
from gas.proxies.base import register
from gas.proxies.training_free import TrainingFree


@register("naswot")
class Naswot(TrainingFree):
    """log |det K| / N, where K_ij counts the non-linearities that are on for both of images i and j, or off for both.

    With N images and A non-linearities it is near log A: mostly a count of activations, so never trust it alone.

    Source: Mellor et al., Neural Architecture Search without Training, arXiv 2006.04647, section 3. Differs: a GELU,
    SiLU or hard swish is on where its input is above 0; images are Gaussian noise. Not all designs exist for equally
    small images, and those that need larger ones are shown fewer: so the score is per image, and the counts are
    multiplied by the pixels of the design's own image for each pixel of these.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`naswot`."""
        codes = passes.shared.codes
        if codes.shape[1] == 0:
            raise ValueError("no non-linearity was seen")
        return {self.name: log_kernel(codes) / len(codes) + math.log(passes.subject.pixels)}


def log_kernel(codes: Tensor) -> float:
    """(B, A) bool -> log |det K|; ValueError where two images have the same code, so that it is minus infinity."""
    on = codes.double()
    kernel = on @ on.T + (1 - on) @ (1 - on).T  # (B, B)
    sign, value = torch.linalg.slogdet(kernel)
    if sign == 0:
        raise ValueError("two images have the same code")
    return value.item()
