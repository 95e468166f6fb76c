"""How many directions the hidden states of a fresh network's MLPs spread over, times its size."""

from __future__ import annotations

from gas.passes import Passes
from gas.passes.forward import Features
from gas.passes.scatter import components
from gas.proxies.base import register
from gas.proxies.pca_count import SHARE
from gas.proxies.training_free import TrainingFree


@register("w_pca")
class WPca(TrainingFree):
    """Principal components that hold 99% of the variance of a hidden state, summed over all of them, times the params.

    A hidden state is what comes into a non-linearity from a linear layer or an ungrouped convolution (perhaps through
    a norm) at more than one place of an image: the inside of an MLP, of an inverted bottleneck, or of two convolutions
    in a row. Of a block that has none, what it gives out is counted in its stead. Counts are at most the features, and
    at most the places of all the images shown, twice `fidelity.batch`.

    Source: W-PCA, arXiv 2504.15983 (ICLR 2025), and its public code. Differs: noise images in place of text; blocks
    without an MLP.
    """

    def read(self, passes: Passes) -> dict[str, float]:
        """`w_pca`, and `w_pca_components`: their number, without the params."""
        total = 0
        for index, block in enumerate(passes.forward.blocks):
            passes.check(f"the components of block {index + 1} of {len(passes.forward.blocks)}")
            total += block_components(block)
        return {self.name: float(total * passes.subject.params), f"{self.name}_components": float(total)}


def block_components(block: Features, share: float = SHARE) -> int:
    """Components of a block's hidden states; of what it gives out where it has none."""
    return sum(components(scatter.variances(), share) for scatter in block.hidden or [block.after])
