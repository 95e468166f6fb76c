"""What every registered proxy must hold, at a fidelity so low that it takes no time and means nothing."""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gas.architecture import Architecture
from gas.banks import Bank, Moments, Record, save
from gas.data import load
from gas.errors import DesignError
from gas.model import build
from gas.proxies import PROXIES, Fidelity, Proxy, create
from gas.proxies.reduce import reduce
from gas.space import bundled, load_space
from gas.space import load as load_design
from gas.testing.cases import small_design
from gas.testing.claims import claim, documented, is_file_of, run_checks, same

QUICK = {"resolution": 32, "width": 1.0, "images": 64, "validation": 32, "steps": 4, "batch": 16, "seeds": 2}
HASTY = {"images": 32, "validation": 32, "steps": 1, "batch": 8, "seeds": 1}


def check_proxy(name: str, *only: str) -> None:
    """Checks a registered proxy: metrics, determinism, deadline, settings, designs of all bundled spaces.

    Args:
        name: Its registered name.
        only: Names of PROXY_CHECKS to run; all where none is given.

    Raises:
        AssertionError: One line for each check that fails: what is wrong, where, and what was expected.
        UnknownNameError: No proxy, or no check, has the name.
    """
    run_checks(f"proxy {name}", PROXIES.get(name), PROXY_CHECKS, only)


def _quick(cls: type[Proxy]) -> Proxy:
    return _made(cls, QUICK, small_design())


def _case(cls: type[Proxy]) -> Architecture:
    """The small design; a small one of the zoo where the proxy says nothing of images so small."""
    design = small_design()
    return design if design.resolution >= cls.least_resolution else load_design("efficientvit_m0")


def _made(cls: type[Proxy], fidelity: Mapping[str, Any], design: Architecture) -> Proxy:
    """The proxy on digits; one that needs a bank gets one of random weights, which holds what a design needs."""
    settings: dict[str, Any] = {"data": "digits", "fidelity": dict(fidelity)}
    if cls.needs_bank:
        settings["bank"] = str(_bank(cls, fidelity, design))
    return create(cls.name, settings)


def _bank(cls: type[Proxy], changes: Mapping[str, Any], design: Architecture) -> Path:
    fidelity = Fidelity.of({**cls.fidelity_on.get("digits", {}), **changes}, cls.default_fidelity)
    classes = load("digits", resolution=8, classes=fidelity.classes).classes
    bank = Bank()
    with contextlib.suppress(DesignError):  # then it is for the proxy to say so
        small = reduce(design, resolution=fidelity.resolution, width=fidelity.width)
        network = build(small, classes=classes, seed=0)
        bank.grow(network, bank.slots(network, small), torch.Generator().manual_seed(0))
    folder = Path(tempfile.mkdtemp(prefix="gas-bank-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    save(folder, bank, Moments(), Record("none", "", fidelity.model_dump(), "digits", 0, {}, 0))
    return folder


def _name(cls: type[Proxy]) -> None:
    """Registered name and file agree; which way is better is said; the docstring names its source."""
    is_file_of(cls, "gas.proxies", cls.name)
    documented(cls)
    claim("Source:" in cls.__doc__, "docstring: got no `Source:`; expected the paper or `Source: none`")
    why = "because spaces say `maximise: proxy`; turn the sign of a loss"
    claim(cls.maximise is True, f"maximise: got {cls.maximise!r}; expected True, {why}")
    claim(isinstance(cls.default_fidelity, Fidelity), f"default_fidelity: got {cls.default_fidelity!r}; expected one")


def _metrics(cls: type[Proxy]) -> None:
    """The score goes by the proxy's name, extras begin with it, all are finite; an accuracy is a share."""
    proxy = _quick(cls)
    proxy.prepare()
    metrics = proxy.score(_case(cls))
    _sound(cls, metrics, "score")
    if cls.accuracy:
        share = metrics.get(cls.accuracy, math.nan)
        expected = "the metric that is a share of images put right, 0 to 1; empty where there is none"
        claim(0 <= share <= 1, f"accuracy: got {cls.accuracy!r}, which is {share}; expected {expected}")


def _sound(cls: type[Proxy], metrics: dict[str, float], where: str) -> None:
    got = f"got {sorted(metrics)}"
    claim(cls.name in metrics, f"{where}: {got}; expected the score under the proxy's name, {cls.name!r}")
    for name, value in metrics.items():
        expected = f"names that begin with {cls.name!r}"
        claim(name.startswith(cls.name), f"{where}: got the metric {name!r}; expected {expected}")
        finite = isinstance(value, float) and math.isfinite(value)
        claim(finite, f"{where}: {name}: got {value!r}; expected a finite float, or ValueError where there is no score")


def _seed(cls: type[Proxy]) -> None:
    """Equal seeds give equal scores, also after another design and in a proxy made again from its settings."""
    proxy = _quick(cls)
    first = proxy.score(_case(cls), seed=3)
    proxy.score(_case(cls), seed=4)
    again = proxy.score(_case(cls), seed=3)
    same("score with seed 3, a second time", again, first, "because the seed decides all that is drawn")
    settings = json.loads(json.dumps(proxy.settings()))
    made_again = create(cls.name, settings)
    same("score by a proxy made from its settings", made_again.score(_case(cls), seed=3), first)


def _resume(cls: type[Proxy]) -> None:
    """A training cut in two is the unbroken one; one with nothing more to do says the same again."""
    if not cls.resumable:
        return
    settings = {"data": "digits", "fidelity": {**QUICK, "horizon": QUICK["steps"]}}
    whole = create(cls.name, settings)
    half = create(cls.name, {**settings, "fidelity": {**settings["fidelity"], "steps": QUICK["steps"] // 2}})
    expected = whole.score(small_design(), seed=3)
    same("resume from nothing", whole.resume(small_design(), seed=3)[0], expected, "as `score` says")
    first, state = half.resume(small_design(), b"", seed=3)
    same("resume from nothing to half of the steps", first, half.score(small_design(), seed=3), "as `score` says")
    metrics, state = whole.resume(small_design(), state, seed=3)
    why = "because only the steps grew: one training cut in two"
    same("resume from half of the steps", metrics, expected, why)
    same("resume from all of the steps", whole.resume(small_design(), state, seed=3)[0], expected)


def _foreign(cls: type[Proxy]) -> None:
    """A state that is damaged, or of another seed, other data or another proxy, is a ValueError."""
    if not cls.resumable:
        return
    proxy = _quick(cls)
    _, state = proxy.resume(small_design(), seed=3)
    middle = len(state) // 2
    changed = bytes([state[middle] ^ 1])
    wrong = {
        "cut short": state[:middle],
        "with a bit changed": state[:middle] + changed + state[middle + 1 :],
        "that is none": b"no state at all",
        "of another seed": proxy.resume(small_design(), seed=4)[1],
    }
    elsewhere = create(cls.name, {"data": "digits", "fidelity": QUICK, "seed": 1})
    wrong["of other data"] = elsewhere.resume(small_design(), seed=3)[1]
    others = [name for name in PROXIES.names() if PROXIES.get(name).resumable and name != cls.name]
    wrong |= {f"of {name}": _quick(PROXIES.get(name)).resume(small_design(), seed=3)[1] for name in others}
    for what, given in wrong.items():
        try:
            proxy.resume(small_design(), given, seed=3)
        except ValueError as error:
            claim(str(error), f"resume from a state {what}: got a ValueError without text; expected what is wrong")
        else:
            raise AssertionError(f"resume from a state {what}: got metrics; expected ValueError")


def _deadline(cls: type[Proxy]) -> None:
    """A deadline that has passed stops it; one that is far off does not."""
    proxy = _quick(cls)
    proxy.score(_case(cls), deadline=time.monotonic() + 3600)
    try:
        proxy.score(_case(cls), deadline=time.monotonic() - 1)
    except TimeoutError as error:
        claim(str(error), "score past its deadline: got a TimeoutError without text; expected how far it had come")
    else:
        expected = "TimeoutError, as gas.proxies.base.check_deadline raises it"
        raise AssertionError(f"score past its deadline: got a score; expected {expected}")


def _impossible(cls: type[Proxy]) -> None:
    """A design that does not exist at the fidelity is a DesignError, unless the proxy scores it at its own size."""
    # 20 pixels make 5 x 5 tokens, which no unit of side 2 and no pooling by 2 divides.
    proxy = _made(cls, {**QUICK, "resolution": 20}, small_design())
    try:
        _sound(cls, proxy.score(_case(cls)), "score of a design that cannot be reduced to 20 pixels")
    except DesignError:
        return


def _spaces(cls: type[Proxy]) -> None:
    """It scores designs of every bundled space, at its default fidelity but for the effort.

    Where their images are smaller than it says anything of, it has to say so.
    """
    for name in bundled():
        if name.startswith("zoo/"):
            continue
        design = load_space(name).sample(1, seed=0, feasible=True)[0]
        if design.resolution < cls.least_resolution:
            _refused(cls, design, name)
            continue
        where = f"score of a design of {name} at the default fidelity"
        proxy = _made(cls, HASTY, design)
        try:
            metrics = proxy.score(design)
        except DesignError as error:
            raise AssertionError(f"{where}: got DesignError({error}); expected a score") from error
        _sound(cls, metrics, where)


def _refused(cls: type[Proxy], design: Architecture, name: str) -> None:
    try:
        metrics = _made(cls, HASTY, design).score(design)
    except ValueError as error:
        claim(str(error), f"score of a design of {name}: got a ValueError without text; expected why there is none")
    else:
        expected = f"ValueError, as least_resolution is {cls.least_resolution}"
        raise AssertionError(f"score of a design of {name}, {design.resolution} pixels: got {metrics}; {expected}")


PROXY_CHECKS = {
    "name": _name,
    "metrics": _metrics,
    "seed": _seed,
    "resume": _resume,
    "foreign": _foreign,
    "deadline": _deadline,
    "impossible": _impossible,
    "spaces": _spaces,
}
"""The checks by name, in the order in which they run."""
