"""What every registered proxy must hold, at a fidelity so low that it takes no time and means nothing."""

from __future__ import annotations

import json
import math
import time

from gas.errors import DesignError
from gas.proxies import PROXIES, Fidelity, Proxy, create
from gas.space import bundled, load_space
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
    return create(cls.name, {"data": "digits", "fidelity": QUICK})


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
    metrics = proxy.score(small_design())
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
    first = proxy.score(small_design(), seed=3)
    proxy.score(small_design(), seed=4)
    again = proxy.score(small_design(), seed=3)
    same("score with seed 3, a second time", again, first, "because the seed decides all that is drawn")
    settings = json.loads(json.dumps(proxy.settings()))
    made_again = create(cls.name, settings)
    same("score by a proxy made from its settings", made_again.score(small_design(), seed=3), first)


def _deadline(cls: type[Proxy]) -> None:
    """A deadline that has passed stops it; one that is far off does not."""
    proxy = _quick(cls)
    proxy.score(small_design(), deadline=time.monotonic() + 3600)
    try:
        proxy.score(small_design(), deadline=time.monotonic() - 1)
    except TimeoutError as error:
        claim(str(error), "score past its deadline: got a TimeoutError without text; expected how far it had come")
    else:
        expected = "TimeoutError, as gas.proxies.base.check_deadline raises it"
        raise AssertionError(f"score past its deadline: got a score; expected {expected}")


def _impossible(cls: type[Proxy]) -> None:
    """A design that does not exist at the fidelity is a DesignError, unless the proxy scores it at its own size."""
    # 20 pixels make 5 x 5 tokens, which no unit of side 2 and no pooling by 2 divides.
    proxy = create(cls.name, {"data": "digits", "fidelity": {**QUICK, "resolution": 20}})
    try:
        _sound(cls, proxy.score(small_design()), "score of a design that cannot be reduced to 20 pixels")
    except DesignError:
        return


def _spaces(cls: type[Proxy]) -> None:
    """It scores designs of every bundled space, at its default fidelity but for the effort."""
    for name in bundled():
        if name.startswith("zoo/"):
            continue
        design = load_space(name).sample(1, seed=0, feasible=True)[0]
        where = f"score of a design of {name} at the default fidelity"
        proxy = create(cls.name, {"data": "digits", "fidelity": HASTY})
        try:
            metrics = proxy.score(design)
        except DesignError as error:
            raise AssertionError(f"{where}: got DesignError({error}); expected a score") from error
        _sound(cls, metrics, where)


PROXY_CHECKS = {
    "name": _name,
    "metrics": _metrics,
    "seed": _seed,
    "deadline": _deadline,
    "impossible": _impossible,
    "spaces": _spaces,
}
"""The checks by name, in the order in which they run."""
