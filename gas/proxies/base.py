"""What a proxy is: a score for a design, at a stated fidelity, on stated data."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor

from gas.architecture import Architecture
from gas.data import ImageData, load
from gas.errors import SettingError, describe
from gas.model import Network
from gas.registry import Registry
from gas.training import AUGMENTATIONS
from gas.training.deadline import check_deadline as check_deadline  # lent to the proxies


def _listed(value: Any) -> Any:
    """Lists (as JSON has them) and texts `a+b` (as the command line has them) as tuples; anything else as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split("+"))
    return tuple(value) if isinstance(value, list) else value


def _rates(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = tuple(float(part) for part in value.split("+"))
        except ValueError:
            value = (value,)
    rates = _listed(value)
    if not isinstance(rates, tuple):
        return value
    numbers = all(isinstance(r, int | float) and not isinstance(r, bool) and 0 < r < math.inf for r in rates)
    if not numbers or not rates or len(set(rates)) < len(rates):
        raise PydanticCustomError("rates", "expected a number above 0, or several different ones")
    return tuple(float(rate) for rate in rates)


def _augment(value: Any) -> Any:
    names = _listed(value)
    if isinstance(names, tuple):
        for name in names:
            if name not in AUGMENTATIONS:
                expected = f"some of {', '.join(AUGMENTATIONS)}"
                problem = describe(name, expected, known=AUGMENTATIONS).partition("; ")[2]
                raise PydanticCustomError("augment", "{problem}", {"problem": problem})
        if len(set(names)) < len(names):
            raise PydanticCustomError("augment", "expected every augmentation once")
    return names


class Fidelity(pydantic.BaseModel):
    """How closely a proxy comes near to training in full; recorded with every evaluation.

    A proxy reads the fields that bear on it. `None` for images, validation and classes means all that the data has.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    resolution: Annotated[int, Field(gt=0, description="side of the images, pixels")] = 32
    width: Annotated[float, Field(gt=0, description="multiplier of every width")] = 1.0
    images: Annotated[int, Field(gt=0, description="training images")] | None = None
    validation: Annotated[int, Field(gt=0, description="validation images")] | None = None
    classes: Annotated[int, Field(gt=1, description="classes")] | None = None
    noise: Annotated[float, Field(ge=0, description="Gaussian noise on the images, in their own deviations")] = 0.0
    steps: Annotated[int, Field(gt=0, description="training steps, whatever the number of images")] = 256
    horizon: (
        Annotated[int, Field(gt=0, description="steps of the learning rate's schedule; None for `steps`")] | None
    ) = None
    batch: Annotated[int, Field(gt=0, description="images per step")] = 32
    rate: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | tuple[float, ...],
        BeforeValidator(_rates),
        Field(description="highest learning rate, for 12 blocks of mean width 64; of several, what learns fastest"),
    ] = 7e-4
    warm_up: Annotated[float, Field(ge=0, lt=1, description="share of the schedule in which the rate rises")] = 0.1
    decay: Annotated[float, Field(ge=0, allow_inf_nan=False, description="weight decay of matrices")] = 0.05
    smoothing: Annotated[float, Field(ge=0, lt=1, description="share of the label spread over all classes")] = 0.1
    augment: Annotated[
        tuple[str, ...], BeforeValidator(_augment), Field(description="augmentations of every training batch")
    ] = ()
    precision: Annotated[
        Literal["float32", "bfloat16"], Field(description="of the forward pass in training (autocast)")
    ] = "float32"
    channels_last: Annotated[bool, Field(description="train in channels-last memory format")] = False
    deterministic: Annotated[bool, Field(description="refuse operations that need not repeat themselves")] = False
    seeds: Annotated[int, Field(gt=0, description="initialisations that the score is the mean of")] = 1

    @field_validator("horizon")
    @classmethod
    def _long_enough(cls, value: int | None, info: ValidationInfo) -> int | None:
        steps = info.data.get("steps")
        if value is not None and steps is not None and value < steps:
            raise PydanticCustomError("horizon", "expected at least the steps, {steps}", {"steps": steps})
        return value

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks."""
        return json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def of(cls, changes: Mapping[str, Any], base: Fidelity) -> Fidelity:
        """`base` with changes; SettingError naming the first that cannot be."""
        for name in changes:
            if name not in cls.model_fields:
                expected = f"one of {', '.join(sorted(cls.model_fields))}"
                raise SettingError(f"fidelity: {describe(name, expected, known=cls.model_fields)}")
        try:
            return cls(**{**base.model_dump(), **changes})
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            raise SettingError(f"fidelity.{first['loc'][0]}: got {first['input']!r}; {first['msg']}") from error


class Proxy(ABC):
    """One score. An instance is made once per worker from plain data, and scores many designs.

    Args:
        data: Name of a data source, or the path of an image folder.
        fidelity: Fields of `Fidelity` that differ from the proxy's default, or a whole Fidelity.
        seed: Seed of the data: which images, which split.
        images: The data, where it is loaded already.

    Class attributes:
        name: Registered name; also the name of the main metric.
        maximise: True where more is better.
        needs_training: True where a design is trained, on images, for the score.
        default_fidelity: What it runs at unless told otherwise.
        default_data: What it runs on unless told otherwise.
        accuracy: Metric that is the share of held-out images put right, 0 to 1; empty where it tells none.
        fidelity_on: Per data source, fields of the default fidelity that differ on it.
        resumable: True where `resume` can go on from where a lower fidelity stopped.
        needs_bank: True where it runs designs on a bank's weights: its constructor has the keyword `bank`.
        least_resolution: Side of the images, pixels, below which it has no score for a design (ValueError).

    Attributes:
        device: Where torch works: `cpu`, or `cuda` on a worker that was given a GPU.
        inspect: Where not None: a proxy that trains a design calls it with the trained network in evaluation mode, the
            reduced design that it was built from, and images that it was not trained on.
    """

    name: ClassVar[str] = ""
    maximise: ClassVar[bool] = True
    needs_training: ClassVar[bool] = False
    default_fidelity: ClassVar[Fidelity] = Fidelity()
    default_data: ClassVar[str] = "digits"
    accuracy: ClassVar[str] = ""
    fidelity_on: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    resumable: ClassVar[bool] = False
    needs_bank: ClassVar[bool] = False
    least_resolution: ClassVar[int] = 0
    inspect: Callable[[Network, Architecture, Tensor], None] | None = None
    device: str = "cpu"

    def __init__(
        self,
        data: str | None = None,
        fidelity: Fidelity | Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        images: ImageData | None = None,
    ) -> None:
        self.data = self.default_data if data is None else data
        if not isinstance(fidelity, Fidelity):
            fidelity = Fidelity.of({**self.fidelity_on.get(self.data, {}), **(fidelity or {})}, self.default_fidelity)
        self.fidelity = fidelity
        self.seed = seed
        self._images = images

    def prepare(self) -> None:
        """Loads the images that `score` needs, once. DataError where they cannot be read."""
        if self.needs_training:
            _ = self.images

    @property
    def images(self) -> ImageData:
        """The data at the proxy's fidelity, loaded at the first call."""
        if self._images is None:
            wanted = self.fidelity.model_dump(include={"resolution", "images", "validation", "classes", "noise"})
            self._images = load(self.data, seed=self.seed, **wanted)
        return self._images

    @abstractmethod
    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """Metrics of a design: the score under the proxy's name, and extras whose names begin with it.

        Args:
            architecture: The design at its own size; reducing it is the proxy's affair.
            seed: Seed of the weights and of the order of the images: equal seeds give equal scores on one thread.
            deadline: Value of `time.monotonic()` after which TimeoutError is raised.

        Raises:
            DesignError: The design does not exist at this fidelity.
            ValueError: No score came out (a loss that is not a number).
            TimeoutError: The deadline has passed.
        """

    def resume(
        self, architecture: Architecture, state: bytes = b"", *, seed: int = 0, deadline: float | None = None
    ) -> tuple[dict[str, float], bytes]:
        """As `score`, going on from where this design's training stopped at a lower fidelity.

        Where only `steps` grew and `horizon` is the same, it is one training cut in two. Where the images, their
        resolution or the recipe differ too, weights and moments are carried over to them. Where the parameters have
        other shapes (another width; positions at another resolution), the training begins anew.

        Args:
            architecture: The design at its own size.
            state: What the lower fidelity gave back; empty for a beginning.
            seed: As for `score`, and the same at every fidelity.
            deadline: As for `score`.

        Returns:
            The metrics, and what to go on from. Where only `steps` grew and `horizon` is the same, and where it began
            anew, the metrics are those of `score`.

        Raises:
            SettingError: This proxy is not `resumable`.
            ValueError: The state is none of this proxy's; else as `score`.
        """
        raise SettingError(f"proxy {self.name}: got a training to go on with; expected one that is resumable")

    def notes(self) -> tuple[str, ...]:
        """What is worth telling the user once per worker: of the images that could not be read, for one."""
        return () if self._images is None else self._images.notes()

    def settings(self) -> dict[str, Any]:
        """Plain data from which `create` makes an equal proxy."""
        return {"data": self.data, "fidelity": self.fidelity.model_dump(), "seed": self.seed}


PROXIES: Registry[type[Proxy]] = Registry("proxy", "gas.proxies")


def register(name: str) -> Callable[[type[Proxy]], type[Proxy]]:
    """Class decorator: enters a proxy under `name`, which is also its file's name."""

    def enter(cls: type[Proxy]) -> type[Proxy]:
        cls.name = name
        return PROXIES.register(name)(cls)

    return enter


def create(name: str, settings: Mapping[str, Any] | None = None) -> Proxy:
    """The proxy registered as `name`, from plain data: keys `data`, `fidelity` (a mapping), `seed` and `bank` (the
    folder of one, or the bytes of its file, for a proxy that `needs_bank`), all optional.

    Raises:
        UnknownNameError: No proxy has this name.
        SettingError: A setting that no proxy has, or a fidelity that cannot be.
    """
    proxy = PROXIES.get(name)
    settings = dict(settings or {})
    known = ("data", "fidelity", "seed", "bank")
    for key in settings:
        if key not in known:
            raise SettingError(f"proxy {name}: {describe(key, 'one of ' + ', '.join(known), known=known)}")
    bank = settings.get("bank") or ""
    if bank and not proxy.needs_bank:
        got = "one" if isinstance(bank, bytes) else repr(bank)
        raise SettingError(f"bank: got {got}; expected none, because {name} reads no shared weights")
    more = {"bank": bank} if proxy.needs_bank else {}
    return proxy(settings.get("data"), settings.get("fidelity"), seed=settings.get("seed", 0), **more)
