"""A target by its name, for the machine at hand; and what PyTorch's targets make of the memory format."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from gas.costs import TARGETS, Target
from gas.costs.targets import TorchTarget, base, create
from gas.errors import SettingError, UnknownNameError


class Elsewhere(Target):
    """An engine that this machine does not have."""

    name = "elsewhere"

    @classmethod
    def unavailable(cls) -> str:
        return "it is made of unobtainium"

    def prepare(self, module: nn.Module, input_shape: tuple[int, ...]) -> Callable[[], object]:
        raise AssertionError("an engine that is not here was used")


def test_what_is_asked_for_is_what_comes() -> None:
    target = create("cpu_eager", batch=3, threads=1, channels_last=True)
    assert (target.name, target.batch, target.threads, target.channels_last) == ("cpu_eager", 3, 1, True)
    assert isinstance(target, TARGETS.get("cpu_eager"))


def test_a_target_that_is_not_here_names_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    here = [name for name in TARGETS if not TARGETS.get(name).unavailable()]
    assert "cpu_eager" in here
    monkeypatch.setitem(TARGETS._table, "elsewhere", Elsewhere)
    with pytest.raises(SettingError) as caught:
        create("elsewhere")
    named = ", ".join(here)
    expected = (
        f"target: got elsewhere; expected one that this machine has: {named} (elsewhere: it is made of unobtainium)"
    )
    assert str(caught.value) == expected


def test_an_unknown_target() -> None:
    with pytest.raises(UnknownNameError, match=r"target: got 'cpu_eagre'.*did you mean 'cpu_eager'"):
        create("cpu_eagre")


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "cores", lambda: 3)
    assert create("cpu_eager", threads=3).threads == 3
    with pytest.raises(SettingError, match="threads: got 4; expected at most 3, the cores that this process may use"):
        create("cpu_eager", threads=4)


@pytest.mark.parametrize("options", [{"batch": 0}, {"threads": 0}])
def test_sizes_below_one(options: dict) -> None:
    name = next(iter(options))
    with pytest.raises(SettingError, match=f"{name}: got 0; expected a whole number of at least 1"):
        create("cpu_eager", **options)


def test_a_layout_that_a_target_does_not_have() -> None:
    with pytest.raises(SettingError, match="channels_last: got True; expected False, because cpu_onnxruntime lays"):
        create("cpu_onnxruntime", channels_last=True)
    assert not create("cpu_onnxruntime", channels_last=False).channels_last


class Probe(nn.Module):
    """Gives back what came in; has a weight of each shape that layouts are about."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(4, 6, 3), nn.Linear(4, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize("last", [False, True])
def test_channels_last_is_asked_of_maps_alone(last: bool) -> None:
    target = TARGETS.get("cpu_eager")(batch=2, channels_last=last)
    assert isinstance(target, TorchTarget)
    module, images = target.placed(Probe(), (4, 5, 6))
    assert images.is_contiguous(memory_format=torch.channels_last) is last
    assert images.is_contiguous() is not last
    assert module.conv.weight.is_contiguous(memory_format=torch.channels_last) is last
    assert module.linear.weight.is_contiguous()
    _, tokens = target.placed(Probe(), (5, 4))
    assert tokens.shape == (2, 5, 4)
    assert tokens.is_contiguous()
    other = TARGETS.get("cpu_eager")(batch=2).placed(Probe(), (4, 5, 6))[1]
    assert torch.equal(images, other)  # the same numbers, only laid out in another way


def test_the_label_speaks_of_the_layout_only_where_it_is_not_the_usual_one() -> None:
    usual, last = (TARGETS.get("cpu_eager")(channels_last=last).describe() for last in (False, True))
    assert list(usual) == ["target", "batch", "threads", "cpu", "torch"]
    assert last == {**usual, "memory_format": "channels_last"}


def test_the_batch_is_drawn_the_same_in_every_process() -> None:
    one, other = (
        TARGETS.get("cpu_eager")(batch=2).images((3, 4)),
        TARGETS.get("cpu_onnxruntime")(batch=2).images((3, 4)),
    )
    assert torch.equal(one, other)
    assert torch.equal(one, torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)))
