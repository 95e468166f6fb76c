"""What every registered latency target must hold. No time is judged: a fast machine and a slow one both pass."""

from __future__ import annotations

import json
import time

import torch
from torch import nn

from gas.costs import TARGETS, Target
from gas.costs.measure import CLOCKS, SelfTimed, conditions
from gas.errors import SettingError
from gas.model import build
from gas.testing.cases import small_design
from gas.testing.claims import claim, documented, is_file_of, run_checks, same

CHANNELS, SIDE = 2, 8
WORK_S = 0.05  # CPU seconds in which the clock is looked at


def check_target(name: str, *only: str) -> list[str]:
    """Checks a registered target: what it runs, on what batch, and the label of its latencies.

    Args:
        name: Its registered name.
        only: Names of TARGET_CHECKS to run; all where none is given.

    Returns:
        One line for each check that could not be made, because it runs designs and this machine lacks the target.

    Raises:
        AssertionError: One line for each check that fails: what is wrong, where, and what was expected.
        UnknownNameError: No target, or no check, has the name.
    """
    cls = TARGETS.get(name)
    lacking = cls.unavailable()
    left_out = [check for check in only or TARGET_CHECKS if check in RUNNING] if lacking else []
    wanted = [check for check in only or TARGET_CHECKS if check not in left_out]
    if wanted:
        run_checks(f"target {name}", cls, TARGET_CHECKS, wanted)
    return [f"target {name}: {check}: not made, because {lacking}" for check in left_out]


class Mirror(nn.Module):
    """(B, 2, H, W) -> the same numbers, by way of a convolution that any engine knows; in training some become 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)
        self.conv.weight = nn.Parameter(torch.eye(CHANNELS)[:, :, None, None])
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.dropout(self.conv(x))


def _name(cls: type[Target]) -> None:
    """Registered name and file agree; the class says what it is."""
    is_file_of(cls, "gas.costs.targets", cls.name)
    documented(cls)
    claim(cls.clock in CLOCKS, f"clock: got {cls.clock!r}; expected one of {', '.join(CLOCKS)}")
    lacking = cls.unavailable()
    claim(isinstance(lacking, str), f"unavailable: got {lacking!r}; expected a reason, or an empty text")
    claim("\n" not in lacking, f"unavailable: got {lacking!r}; expected one line, for it stands in an error")


def _batch(cls: type[Target]) -> None:
    """Each call runs the module, in inference form, on one fixed random batch, and gives its output back."""
    with torch.random.fork_rng(devices=[]):
        module = Mirror()
    first, second = _outputs(cls(batch=3, threads=1), module, (CHANNELS, SIDE, SIDE), times=2)
    same("shape of the output at batch 3", tuple(first.shape), (3, CHANNELS, SIDE, SIDE), "the module's own")
    claim(torch.equal(first, second), "outputs of two calls: got different ones; expected one fixed batch")
    claim((first != 0).all(), "output: got zeros from a dropout; expected the module in evaluation mode")
    mean, std = first.mean().item(), first.std().item()
    usual = abs(mean) < 0.3 and 0.7 < std < 1.3
    claim(usual, f"batch: got numbers of mean {mean:.2f} and deviation {std:.2f}; expected a standard normal batch")
    claim(not torch.equal(first[0], first[1]), "batch: got equal images; expected different ones")


def _layouts(cls: type[Target]) -> None:
    """What comes out does not depend on the layout in memory."""
    with torch.random.fork_rng(devices=[]):
        outputs = [
            _outputs(cls(batch=2, channels_last=last), Mirror(), (CHANNELS, SIDE, SIDE), times=1)[0]
            for last in dict.fromkeys((False, *cls.channels_last_is))
            if last in cls.channels_last_is
        ]
    for other in outputs[1:]:
        claim(torch.allclose(other, outputs[0], atol=1e-5), "channels_last: got other outputs; expected the same")


def _clock(cls: type[Target]) -> None:
    """A CPU clock sees the work: with one thread, the calling thread does all of it."""
    if cls.clock != "cpu":
        return
    with torch.random.fork_rng(devices=[]):
        run = cls(batch=4).prepare(Mirror(), (CHANNELS, 32, 32))
    with conditions(1):
        run()
        begin, here = time.process_time(), time.thread_time()
        while time.process_time() - begin < WORK_S:
            run()
        share = (time.thread_time() - here) / (time.process_time() - begin)
    text = f"clock cpu: got {share:.0%} of the work in the calling thread; expected all of it with one thread"
    claim(share > 0.5, f"{text}, or clock = 'wall'")


def _design(cls: type[Target]) -> None:
    """It runs whole designs."""
    for batch in (1, 2):
        (scores,) = _outputs(cls(batch=batch), build(small_design(), seed=0), (3, 32, 32), times=1)
        same(f"shape of a design's scores at batch {batch}", tuple(scores.shape), (batch, 10))
        claim(scores.isfinite().all(), f"scores: got {scores.tolist()}; expected finite numbers")


def _outputs(target: Target, module: nn.Module, shape: tuple[int, ...], times: int) -> list[torch.Tensor]:
    """What `times` calls give, as `gas.costs.measure` makes them."""
    run = target.prepare(module, shape)
    claim(callable(run), f"prepare: got {run!r}; expected a callable that runs the module once")
    if isinstance(run, SelfTimed):
        with torch.inference_mode():
            took = run.elapsed_ms()
        claim(isinstance(took, float) and took > 0, f"elapsed_ms: got {took!r}; expected milliseconds above 0")
    with torch.inference_mode():
        outputs = [run() for _ in range(times)]
    claim(all(out is not None for out in outputs), "call: got None; expected the module's output")
    return [torch.as_tensor(out).detach().float().cpu().clone() for out in outputs]


def _label(cls: type[Target]) -> None:
    """The label is plain data and holds what latencies must not be compared across."""
    label = cls(batch=4, threads=2).describe()
    for key, expected in (("target", cls.name), ("batch", 4), ("threads", 2)):
        same(f"describe: {key}", label.get(key), expected)
    claim(label.get("cpu"), f"describe: cpu: got {label.get('cpu')!r}; expected the processor's name")
    same("describe, by way of JSON", json.loads(json.dumps(label)), label, "because it is a key of the latency table")
    same("describe of an equal target", cls(batch=4, threads=2).describe(), label)
    other = cls(batch=5, threads=2).describe()
    claim(other != label, "describe: got the same at batch 4 and 5; expected others, for latencies differ")


def _settings(cls: type[Target]) -> None:
    """Batches and threads below 1 are refused, and layouts that the target does not have."""
    wrong: list[dict[str, int]] = [{"batch": 0}, {"batch": -1}, {"threads": 0}]
    wrong += [{"channels_last": last} for last in (False, True) if last not in cls.channels_last_is]
    for options in wrong:
        ((name, value),) = options.items()
        try:
            cls(**options)
        except SettingError as error:
            claim(name in str(error), f"{name}={value}: got the error {str(error)!r}; expected one that names it")
        else:
            raise AssertionError(f"{name}={value}: got accepted; expected SettingError")


TARGET_CHECKS = {
    "name": _name,
    "batch": _batch,
    "design": _design,
    "label": _label,
    "settings": _settings,
    "layouts": _layouts,
    "clock": _clock,
}
"""The checks by name, in the order in which they run."""

RUNNING = frozenset({"batch", "design", "layouts", "clock"})
"""The checks that run a design, and so need the machine that the target is for."""
