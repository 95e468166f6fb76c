"""What is known of a design beside its costs, put into words for the exported file and the model card.

`facts` is a mapping. These keys have a meaning, any other is printed as it comes:
    origin      how the design came about ("mutation of 12, run runs/a")
    proxies     score by proxy name; never called accuracy
    fidelity    at what fidelity the proxies were taken
    latency     one mapping or a list of them: target, batch, threads, median_ms, and where known q1_ms, q3_ms,
                predicted (True for a number that was not measured), against (a reference design) and ratio
    command     the command that made the file
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gas.errors import SettingError


def fact_lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(heading, words) for every fact, in the order above; SettingError for a latency without its target."""
    lines = [("Origin", str(facts["origin"]))] if facts.get("origin") else []
    fidelity = f", fidelity {facts['fidelity']}" if facts.get("fidelity") else ""
    scores = dict(facts.get("proxies", {}))
    lines += _estimates(scores)
    lines += [("Proxy", f"{name} {value:.6g} (a proxy{fidelity})") for name, value in scores.items()]
    latencies = facts.get("latency") or []
    lines += [("Latency", _latency(one)) for one in ([latencies] if isinstance(latencies, Mapping) else latencies)]
    lines += [("Made by", str(facts["command"]))] if facts.get("command") else []
    known = {"origin", "proxies", "fidelity", "latency", "command"}
    return lines + [(str(key).replace("_", " ").capitalize(), str(v)) for key, v in facts.items() if key not in known]


def human(value: float) -> str:
    """A count with k, M, G or T: 12.66 M, 789.8 k, 312."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999,950 would read 1000.0 k: it goes one unit up instead.
        if abs(value) >= size * 0.99995:
            scaled = value / size
            return f"{scaled:.{1 if abs(scaled) >= 99.995 else 2}f} {unit}"
    return f"{value:.4g}"


def folded_words(folded: Any) -> str:
    """What a design costs once it is folded (a Cost), in words."""
    return f"{folded.params:,} params, {folded.macs:,} macs: norms and branches folded into layers, for inference"


def _estimates(scores: dict[str, float]) -> list[tuple[str, str]]:
    """Takes estimates with their intervals (NAME, NAME_low, NAME_high) out of the scores, and puts them into words."""
    found = []
    for name in [key for key in scores if {f"{key}_low", f"{key}_high"} <= scores.keys()]:
        value, low, high = (scores.pop(name + end) for end in ("", "_low", "_high"))
        found.append(("Estimate", f"{name} {value:.4g} (an estimate, 90% interval {low:.4g} to {high:.4g})"))
    return found


def _latency(one: Mapping[str, Any]) -> str:
    missing = [key for key in ("target", "batch", "threads", "median_ms") if key not in one]
    if missing:
        raise SettingError(f"facts.latency: got {dict(one)!r}; expected {', '.join(missing)} beside it")
    kind = "predicted, not measured" if one.get("predicted") else "measured"
    if "q1_ms" in one and "q3_ms" in one:
        kind += f", quartiles {one['q1_ms']:.4g} to {one['q3_ms']:.4g}"
    ratio = f"; {one['ratio']:.3f} times {one['against']}" if one.get("against") and "ratio" in one else ""
    where = f"target {one['target']}, batch {one['batch']}, threads {one['threads']}"
    return f"{one['median_ms']:.4g} ms per batch ({kind}; {where}){ratio}"
