"""How a search is to be run: everything that bears on it beside the space, as plain data that a run keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from gas.errors import SettingError, describe
from gas.evaluation import Constraint, Objective

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
PROXY, LATENCY, MEMORY = "proxy", "latency_ms", "memory_mib"
"""Metrics of which a space speaks, beside macs and params."""
ESTIMATE = "imagenet_top1_estimate"
"""A further one, which the proxy of this name gives."""
AUTO = "auto"
_DURATION = re.compile(r"(\d+\.?\d*)\s*(s|m|h|d)?")
_SECONDS = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Settings(pydantic.BaseModel):
    """Settings of one search.

    Args:
        generator: Registered name of the generator.
        generator_options: Its own options.
        proxy: Registered name of the proxy that the objective `proxy` stands for; `auto`: see `gas.leading`, which puts
            its name here.
        check: Registered name of the proxy that looks at the designs of the front once the search is over; `none`;
            `auto`: the one that goes with the search's proxy (`gas.finalists.CHECKS`), if any.
        data: Data source of the proxy, or the path of an image folder; None for the proxy's own.
        fidelity: Fields of the proxy's fidelity that differ from its default.
        bank: Folder of the bank whose weights the proxy runs designs on; empty for none.
        ladder: Fields of the fidelity that differ at each rung below the last, which is the fidelity itself; lowest
            first. Empty trains every design in full.
        eta: One in so many designs goes on from each rung to the next.
        workers: Evaluations that run at once, at most; 1 runs them in this process. `auto`: as many as the cluster at
            the address has room for at any time; without an address, one for the cores of each on this machine.
        worker_threads: CPU threads of each.
        worker_gpus: GPUs of each, or its share of one.
        retries: Further attempts at a candidate whose worker died.
        address: Address of a running Ray cluster; empty for none.
        budget: Evaluations in all (infeasible and duplicate candidates do not count); `auto`: as many as suit the proxy
            (see `gas.leading`).
        seconds: Wall time of the whole search, final measurements included; None for no limit.
        seed: Seed of the generator, the data and the weights.
        target: Latency target.
        batch: Images per call when latency is measured or memory worked out.
        threads: CPU threads when latency is measured.
        profile: What latency is predicted from: the path of a profile; `auto`: the one that `gas profile` made of this
            space on this target here, where there is one, else the sum over pieces; `none`: the sum over pieces.
        foreign_profile: Take the profile although it is of another machine or other versions.
        limit_s: Time limit of one evaluation.
        memory_mib: Memory limit of one evaluation, which is no bound on a design; None for none.
        compare: Designs that the chosen one is shown beside.
        utility: What to make large in place of the space's objectives: an expression over metrics (see gas.utility);
            empty for those objectives.
        prototypes: Designs to start from: names of the zoo, files, or RUN:ID.
        tensorboard: Write event files for TensorBoard into the run's folder.
        mlflow: Tracking address of MLflow, which is told of the search too; empty for none.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    generator: str = "inquisitor"
    generator_options: dict[str, Any] = {}
    proxy: str = AUTO
    check: str = AUTO
    data: str | None = None
    fidelity: dict[str, Any] = {}
    bank: str = ""
    ladder: tuple[dict[str, Any], ...] = ()
    eta: float = 2.0
    workers: Count | Literal["auto"] = 1
    worker_threads: Count = 1
    worker_gpus: Annotated[float, Field(ge=0)] = 0.0
    retries: Annotated[int, Field(ge=0)] = 1
    address: str = ""
    budget: Count | Literal["auto"] = AUTO
    seconds: Seconds | None = None
    seed: int = 0
    target: str = "cpu_eager"
    batch: Count = 1
    threads: Count = 1
    profile: str = "auto"
    foreign_profile: bool = False
    limit_s: Seconds = 300.0
    memory_mib: Count | None = None
    compare: tuple[str, ...] = ()
    utility: str = ""
    prototypes: tuple[str, ...] = ()
    tensorboard: bool = False
    mlflow: str = ""

    @classmethod
    def of(cls, **values: Any) -> Settings:
        """Settings from keywords; SettingError naming the first that cannot be."""
        for name in values:
            if name not in cls.model_fields:
                expected = f"one of {', '.join(cls.model_fields)}"
                raise SettingError(f"search: {describe(name, expected, known=cls.model_fields)}")
        listed = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        try:
            return cls(**listed)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            expected = first["msg"].removeprefix("Input should be ")
            raise SettingError(f"{first['loc'][0]}: got {first['input']!r}; expected {expected}") from error

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """The inverse of `model_dump(mode="json")`."""
        return cls.of(**data)

    def objective(self, objective: Objective) -> Objective:
        """The objective on what is recorded: the proxy by its name, latency as the table predicts it."""
        return Objective(self.metric(objective.metric), objective.maximise)

    def constraint(self, constraint: Constraint) -> Constraint:
        """The constraint on what is recorded."""
        return Constraint(self.metric(constraint.metric), constraint.low, constraint.high, constraint.of)

    def metric(self, name: str) -> str:
        """The recorded name of a metric that a space speaks of."""
        return {PROXY: self.proxy, LATENCY: "latency_ms_predicted"}.get(name, name)


def seconds_of(text: str | float | None, name: str = "time") -> float | None:
    """`90`, `90s`, `10m`, `2h` -> seconds; SettingError that names the setting for anything else."""
    if text is None:
        return None
    match = _DURATION.fullmatch(str(text).strip())
    value = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if value <= 0:
        raise SettingError(f"{name}: {describe(text, 'a duration such as 90s, 10m or 2h')}")
    return value
