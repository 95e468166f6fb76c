"""A second reading of the language, for tests: every combination written out, `plan` as the judge of each.

It shares nothing with gas/space: it walks the plain data of `yaml.safe_load`, and Python works out the expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from gas.architecture import Architecture, Group, Spec, Stage
from gas.errors import DesignError
from gas.patterns import PATTERNS
from gas.patterns.base import options_of
from gas.plan import plan
from gas.space import SearchSpace

SLOTS = {"stem", "entry", "head", "mixer", "mlp"}
PATH = re.compile(r"(?:input|stem|head|stages)(?:\[\d+\]|\.[A-Za-z_]\w*)+")

Env = dict[str, Any]


def designs(text: str) -> dict[str, tuple[int, int]]:
    """Id -> (macs, params) of every design that a text means."""
    return {architecture.id: cost for architecture, _, cost in written_out(text)}


def values_used(text: str) -> dict[str, set[str]]:
    """Path -> the values that some design has there, as their repr; a pattern by its name."""
    found: dict[str, set[str]] = {}
    for _, env, _ in written_out(text):
        for path, value in env.items():
            plain = value["pattern"] if isinstance(value, dict) else "none" if value is None else value
            found.setdefault(path, set()).add(repr(plain))
    return found


def written_out(text: str) -> Iterator[tuple[Architecture, Env, tuple[int, int]]]:
    """Every way to decide a text that makes a design, with its values by path and its macs and params."""
    data = yaml.safe_load(text)
    for architecture, env in _file(data):
        if not all(_holds(rule, env) for rule in data.get("rules", ())):
            continue
        try:
            cost = plan.__wrapped__(architecture).cost
        except DesignError:
            continue
        yield architecture, env, (cost.macs, cost.params)


def exhaust(space: SearchSpace, *, feasible: bool) -> list[Architecture]:
    """Every design that some sequence of choices reaches."""
    found, prefix = [], []
    while True:
        taken: list[tuple[int, int]] = []

        def choose(decision: object, allowed: tuple, taken: list = taken, prefix: list = prefix) -> Any:
            index = prefix[len(taken)] if len(taken) < len(prefix) else 0
            taken.append((index, len(allowed)))
            return allowed[index]

        found.append(space.realise(choose, feasible=feasible).architecture)
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return found
        prefix = [index for index, _ in taken[:-1]] + [taken[-1][0] + 1]


def _file(data: dict) -> Iterator[tuple[Architecture, Env]]:
    for resolution, env in _leaf(data["input"]["resolution"], "input.resolution", {}):
        for channels, env1 in _leaf(data["input"].get("channels", 3), "input.channels", env):
            for stem, env2 in _leaf(data["stem"], "stem", env1):
                for stages, env3 in _stages(data["stages"], 0, env2):
                    for head, env4 in _leaf(data["head"], "head", env3):
                        yield Architecture(_spec(stem), tuple(stages), _spec(head), resolution, channels), env4


def _stages(stages: list, i: int, env: Env) -> Iterator[tuple[list[Stage], Env]]:
    if i == len(stages):
        yield [], env
        return
    at = f"stages[{i}]"
    for entry, env1 in _leaf(stages[i].get("entry"), f"{at}.entry", env):
        for dim, env2 in _leaf(stages[i]["dim"], f"{at}.dim", env1):
            for groups, env3 in _groups(stages[i]["blocks"], 0, f"{at}.blocks", env2):
                for rest, env4 in _stages(stages, i + 1, env3):
                    yield [Stage(dim, tuple(groups), _spec(entry)), *rest], env4


def _groups(groups: list, j: int, at: str, env: Env) -> Iterator[tuple[list[Group], Env]]:
    if j == len(groups):
        yield [], env
        return
    path = f"{at}[{j}]"
    for written in groups[j].get("choose", [groups[j]]):
        block = {key: value for key, value in written.items() if key != "depth"}
        for depth, env1 in _leaf(written["depth"], f"{path}.depth", env):
            ways = list(_leaf(block, path, env1))
            for value, env2 in ways if depth else ways[:1]:
                for rest, env3 in _groups(groups, j + 1, at, env2):
                    yield [Group(_spec(value), depth), *rest], env3


def _leaf(node: Any, path: str, env: Env) -> Iterator[tuple[Any, Env]]:
    """Every value of a node (a pattern is a dict), with all values decided so far by path."""
    if isinstance(node, dict) and "pattern" not in node:
        ((form, given),) = node.items()
        if form == "choose":
            for option in given:
                yield from _leaf(option, path, env)
            return
        if form == "range":
            low, high, step = [*given, 1][:3]
            values = [low + i * step for i in range(round((high - low) / step) + 1)]
        else:
            try:
                values = [_look(given, env) if form == "same" else _work_out(given, env)]
            except KeyError:
                return
        for value in values:
            yield value, {**env, path: value}
        return
    if isinstance(node, str) and path.rpartition(".")[2] in SLOTS:
        node = {"pattern": node}
    if not isinstance(node, dict):
        yield node, {**env, path: node}
        return
    ways = [({"pattern": node["pattern"]}, env)]
    for name, inner in node.items():
        if name != "pattern":
            ways = [({**o, name: v}, e) for o, before in ways for v, e in _leaf(inner, f"{path}.{name}", before)]
    for options, after in ways:
        yield options, {**after, path: options}


def _look(path: str, env: Env) -> Any:
    if path in env:
        return env[path]
    above, _, last = path.rpartition(".")
    pattern = _look(above, env) if above else {}
    if not isinstance(pattern, dict):
        raise KeyError(path)
    if last in pattern:
        return pattern[last]
    fields = PATTERNS.get(pattern["pattern"]).Options.model_fields
    default = fields[last].default if last in fields else None
    if default is None:
        raise KeyError(path)
    return {"pattern": default.pattern, **default.options} if isinstance(default, Spec) else default


def _work_out(expression: str, env: Env) -> Any:
    names: dict[str, Any] = {}

    def name(match: re.Match) -> str:
        value = _look(match[0], env)
        names[f"v{len(names)}"] = value["pattern"] if isinstance(value, dict) else value
        return f"v{len(names) - 1}"

    value = eval(PATH.sub(name, expression), {}, names)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _holds(rule: str, env: Env) -> bool:
    try:
        return bool(_work_out(rule, env))
    except KeyError:
        return True


def _spec(options: Any) -> Spec | None:
    """A pattern's dict as a Spec, options at their default left out."""
    if options is None:
        return None
    given = {k: _spec(v) if isinstance(v, dict) else v for k, v in options.items() if k != "pattern"}
    typed = options_of(Spec.of(options["pattern"], **given))
    fields = type(typed).model_fields
    return Spec.of(
        options["pattern"], **{k: getattr(typed, k) for k in given if getattr(typed, k) != fields[k].default}
    )
