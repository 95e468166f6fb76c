"""Half precision where it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = frozenset(
    getattr(torch, f"conv{transposed}{n}d") for n in (1, 2, 3) for transposed in ("", "_transpose")
)


@contextmanager
def autocast(device: str) -> Iterator[None]:
    """Autocast to bfloat16; on a CPU all but the convolutions.

    With torch 2.13 (oneDNN 3.12, AVX-512 BF16) the weights' gradient of a bfloat16 convolution is what lay in memory
    before where the map is smaller than the kernel (3 x 3, stride 2, on a single pixel), and some others do not repeat
    themselves in channels-last format. experiments/training has the case.
    """
    with torch.autocast(device, dtype=torch.bfloat16):
        if device != "cpu":
            yield
            return
        with _FullConvolutions():
            yield


class _FullConvolutions(TorchFunctionMode):
    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function not in _CONVOLUTIONS:
            return function(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return function(*map(_full, args), **{name: _full(value) for name, value in kwargs.items()})


def _full(value: Any) -> Any:
    half = isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16
    return value.float() if half else value
