"""In how many ways an untrained network's non-linearities answer to a batch of images.

Shapes: B images, A non-linearities' inputs per image.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from gas.passes import Passes
from gas.proxies.base import register
from gas.proxies.training_free import TrainingFree


@register("swap")
class Swap(TrainingFree):
    """Different patterns of signs: each input of a non-linearity has one, over the images; equal ones count once.

    It is at most the number of such inputs, and 2 to the power of the images, of which twice `fidelity.batch` are
    shown: with 16, designs of ImageNet's size have nearly all of the 65,536 patterns there are, whatever they look
    like.

    Source: SWAP-NAS, arXiv 2403.04161, section 3, and its public code. Differs: a GELU, SiLU or hard swish is on where
    its input is above 0; images are Gaussian noise; what is counted on images smaller than the design's own is
    multiplied by the pixels of that for each of theirs, because not all designs exist for equally small images. The
    regularised form is left out: its factor exp(-(params - mu)^2 / sigma) has no mu and sigma but those that one
    chooses for a space.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`swap`, and `swap_share`: different patterns per pattern."""
        codes = passes.forward.codes
        if codes.shape[1] == 0:
            raise ValueError("no non-linearity was seen")
        found = patterns(codes)
        return {self.name: found * passes.subject.pixels, f"{self.name}_share": found / codes.shape[1]}


def patterns(codes: Tensor) -> int:
    """(B, A) bool -> how many of the A columns differ."""
    packed = np.packbits(codes.numpy(), axis=0)  # (bytes, A)
    packed = np.pad(packed, ((0, -len(packed) % 8), (0, 0)))
    keys = np.ascontiguousarray(packed.T).view(np.uint64)  # (A, words)
    return len(np.unique(keys[:, 0]) if keys.shape[1] == 1 else np.unique(keys, axis=0))
