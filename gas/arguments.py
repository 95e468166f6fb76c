"""What the options of `gas search` mean: words of the command line -> settings of a search."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gas.errors import SettingError, describe
from gas.settings import seconds_of

DEFAULT_SPACE = "turbovit.yaml"
DEFAULT_TIME = "5m"


def where(given: dict[str, Any]) -> tuple[str | None, Path, bool]:
    """Space, directory and whether to resume, as the options say."""
    space, out, resume = given.pop("space"), given.pop("out"), given.pop("resume")
    if_exists = given.pop("resume_if_exists")
    if resume is not None:
        if out is not None and Path(out) != Path(resume):
            raise SettingError(f"out: got {out}; a resumed run stays in {resume}")
        return space, Path(resume), True
    if out is None:
        out = f"runs/{Path(space or DEFAULT_SPACE).stem}"
    if if_exists and (Path(out) / "run.json").exists():
        return space, Path(out), True
    return space or DEFAULT_SPACE, Path(out), False


def settings_of(given: Mapping[str, Any], *, resume: bool) -> dict[str, Any]:
    """The settings that the options give; defaults of the command only for a new run."""
    settings = {name: value for name, value in given.items() if value not in (None, ())}
    options, fidelity = settings.pop("options", ()), settings.pop("fidelity", ())
    settings |= {"generator_options": pairs("option", options)} if options else {}
    settings |= {"fidelity": pairs("fidelity", fidelity)} if fidelity else {}
    settings |= {"ladder": rungs(settings["ladder"])} if "ladder" in settings else {}
    time_limit, limit = settings.pop("time_limit", None), settings.pop("limit", None)
    if time_limit is not None or not resume:
        settings["seconds"] = None if time_limit == "none" else seconds_of(time_limit or DEFAULT_TIME)
    if limit is not None:
        settings["limit_s"] = seconds_of(limit, "limit")
    if settings.get("mlflow") == "none":
        settings["mlflow"] = ""
    if "workers" in settings:
        settings["workers"] = _workers(settings["workers"])
    if not resume:
        here = max(len(os.sched_getaffinity(0)) // max(settings.get("worker_threads", 1), 1), 1)
        settings.setdefault("workers", "auto" if settings.get("address") else here)
    return settings


def validation_of(given: Mapping[str, Any], time_limit: str) -> dict[str, Any]:
    """What the options of `gas validate-proxies` mean."""
    settings = dict(given)
    settings["fidelity"] = pairs("fidelity", settings["fidelity"])
    names = settings["proxies"]
    settings["proxies"] = () if names is None else tuple(name.strip() for name in names.split(","))
    settings["seconds"] = None if time_limit == "none" else seconds_of(time_limit)
    settings["band"] = settings["band"] or ""
    return settings


def _workers(text: object) -> int | str:
    """A number, or `auto`; Settings refuses anything else."""
    return int(str(text)) if str(text).lstrip("-").isdecimal() else str(text)


def pairs(name: str, given: Sequence[str]) -> dict[str, Any]:
    """`a=1` and `b=0.5,c=x` -> a mapping, numbers as numbers."""
    result: dict[str, Any] = {}
    for part in (p for text in given for p in text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise SettingError(f"{name}: {describe(part, 'NAME=VALUE')}")
        result[key.strip()] = _plain(value.strip())
    return result


def _plain(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def rungs(text: str) -> tuple[dict[str, Any], ...]:
    """`64,128` or `resolution=16+steps=64,steps=128` -> fields of the fidelity at each rung below the last."""
    found = []
    for part in text.split(","):
        fields = part.strip().split("+")
        found.append({"steps": int(part)} if part.strip().isdigit() else pairs("ladder", fields))
    return tuple(found)
