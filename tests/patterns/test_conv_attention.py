from __future__ import annotations

from types import ModuleType

import pytest
import torch

from gas.errors import DesignError
from gas.model import fuse
from gas.patterns import PATTERNS, Flow

PATTERN = PATTERNS.get("conv_attention")


def test_equals_the_public_code_of_next_vit(timm: ModuleType) -> None:
    from timm.models.nextvit import ConvAttention

    theirs = ConvAttention(12, 4, act_layer=torch.nn.ReLU).double().eval()
    ours = PATTERN.part(PATTERN.Options(head_dim=4), Flow(12, (5, 7), target=12)).build().double().eval()
    for tensor in theirs.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    for mine, source in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        mine.copy_(source)
    x = torch.randn(2, 12, 5, 7, dtype=torch.float64)
    with torch.inference_mode():
        wanted = theirs(x)
        torch.testing.assert_close(ours(x), wanted)
        torch.testing.assert_close(fuse(ours)(x), wanted)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"head_dim": 8}, "head_dim: got 8; expected a divisor of the width 12"),
        ({"head_dim": 4, "kernel": 2}, "kernel: got 2; expected an odd number"),
    ],
)
def test_what_cannot_stand_is_refused(options: dict[str, int], problem: str) -> None:
    with pytest.raises(DesignError, match=problem):
        PATTERN.after(PATTERN.Options(**options), Flow(12, (4, 4), target=12))
