from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gas.model import fuse
from gas.patterns import PATTERNS, Flow

PATTERN = PATTERNS.get("conv_stem")


@pytest.mark.parametrize("norm_last", [False, True])
def test_norm_and_activation_come_in_the_order_that_is_asked_for(norm_last: bool) -> None:
    options = PATTERN.Options(dim=4, hidden=3, strides=(2, 1), act="relu", norm_last=norm_last, bias=True)
    module = PATTERN.part(options, Flow(3, (8, 8))).build().double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if name.endswith("running_var") else torch.randn_like(tensor))
    convs = [m for m in module.modules() if isinstance(m, torch.nn.Conv2d)]
    norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    x = wanted = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    with torch.inference_mode():
        for conv, norm, stride in zip(convs, norms, (2, 1), strict=True):
            y = F.conv2d(wanted, conv.weight, conv.bias, stride, 1)
            wanted = norm(y.relu()) if norm_last else norm(y).relu()
        torch.testing.assert_close(module(x), wanted)
        torch.testing.assert_close(fuse(module)(x), wanted)
