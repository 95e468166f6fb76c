"""How to train properly: every number of a recipe, its YAML file, and the learning rate over the steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gas.errors import SettingError, SpaceError, describe, nearest, unknown
from gas.space.text import Mark, parse
from gas.training import rate_factor

FOLDER = Path(__file__).parent / "recipes"
"""Where the recipes that come with gas stand."""


class TrainingRecipe(BaseModel):
    """How to train; every field stands in the recipe.yaml that a training writes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    about: str = Field("", description="What the recipe is for, in words.")
    epochs: int = Field(30, ge=1, description="Times that all training images are seen.")
    batch: int = Field(64, ge=1, description="Images of a step over all workers; fewer where there are fewer.")
    accumulate: int = Field(1, ge=1, description="Parts that a worker's images of a step are run in, one by one.")
    group: int = Field(32, ge=1, description="Images that share RandAugment's operations and are mixed together.")
    rate: float = Field(1e-3, gt=0, description="Highest learning rate, for a batch of `rate_per` images.")
    rate_per: int | None = Field(None, ge=1, description="Batch that `rate` is for; null where it is for this one.")
    warm_epochs: float = Field(1.0, ge=0, description="Epochs in which the learning rate rises from near 0.")
    min_rate: float = Field(0.0, ge=0, description="Learning rate at the end of the cosine, not scaled by the batch.")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's decay of the mean gradient.")
    beta2: float = Field(0.999, ge=0, lt=1, description="AdamW's decay of the mean squared gradient.")
    decay: float = Field(0.05, ge=0, description="Weight decay of matrices and convolutions; nothing else decays.")
    layer_decay: float = Field(1.0, gt=0, le=1, description="Factor of the rate from each block to the one before.")
    clip: float | None = Field(None, gt=0, description="Greatest norm of the gradient; null for no clipping.")
    smoothing: float = Field(0.1, ge=0, lt=1, description="Share of a label that is spread over all classes.")
    drop_path: float = Field(0.0, ge=0, lt=1, description="Stochastic depth at the last block; rises from 0 linearly.")
    ema: float | None = Field(None, ge=0, lt=1, description="Decay of the mean of the weights; null for no mean.")
    crop: float = Field(1.0, gt=0, le=1, description="Least area of a random crop; 1 for the central square (folders).")
    flip: float = Field(0.0, ge=0, le=1, description="Share of images mirrored left to right.")
    shift: bool = Field(False, description="Move images by up to an eighth of their side along each axis.")
    randaugment: int = Field(0, ge=0, le=10, description="RandAugment's operations on each group; 0 for none.")
    magnitude: float = Field(9.0, gt=0, lt=10, description="Their strength, of 10.")
    magnitude_noise: float = Field(0.0, ge=0, description="Deviation of the strength from group to group.")
    erase: float = Field(0.0, ge=0, le=1, description="Share of images with a random rectangle erased.")
    mixup: float = Field(0.0, ge=0, description="Mixup's alpha; 0 for none.")
    cutmix: float = Field(0.0, ge=0, description="CutMix's alpha; 0 for none.")
    mix: float = Field(1.0, ge=0, le=1, description="Share of groups that are mixed, where mixup or cutmix is on.")
    switch: float = Field(0.5, ge=0, le=1, description="Share of the mixed groups that take CutMix, where both are on.")
    distil: Literal["soft", "hard"] = Field("hard", description="What a teacher gives: its scores, or its choice.")
    distil_share: float = Field(0.5, ge=0, le=1, description="Share of the loss that is the teacher's.")
    temperature: float = Field(3.0, gt=0, description="Of soft scores, the teacher's and the design's.")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="Of the forward pass; weights stay full.")
    channels_last: bool = Field(False, description="Images and convolutions in channels-last memory format.")
    interpolation: Literal["bilinear", "bicubic"] = Field("bicubic", description="How images of a folder are resized.")
    central: float = Field(0.875, gt=0, le=1, description="Side of the square that validation sees (folders).")
    seed: int = Field(0, ge=0, description="Of the initial weights and of all that is drawn.")

    @property
    def highest_rate(self) -> float:
        """Highest learning rate for this batch."""
        return self.rate * (self.batch / self.rate_per if self.rate_per else 1.0)

    @property
    def mixes(self) -> bool:
        """Whether images may be mixed."""
        return self.mix > 0 and (self.mixup > 0 or self.cutmix > 0)

    @property
    def needs_kornia(self) -> bool:
        """Whether an augmentation comes from kornia."""
        return self.randaugment > 0 or self.erase > 0

    def rate_at(self, step: int, steps: int, per_epoch: int) -> float:
        """Learning rate of a step, the first of which is 0: a linear rise, then half a cosine to `min_rate`."""
        warm = min(max(round(self.warm_epochs * per_epoch), 1), steps)
        factor = rate_factor(step, steps, warm / steps)
        least = self.min_rate if step >= warm else 0.0
        return least + max(self.highest_rate - least, 0.0) * factor

    def checked(self) -> TrainingRecipe:
        """Itself; SettingError where two fields do not go together."""
        if self.warm_epochs >= self.epochs:
            raise SettingError(f"recipe: warm_epochs: {describe(self.warm_epochs, f'below epochs, {self.epochs}')}")
        if self.min_rate > self.highest_rate:
            expected = f"at most the highest rate, {self.highest_rate:g}"
            raise SettingError(f"recipe: min_rate: {describe(self.min_rate, expected)}")
        return self


def bundled() -> dict[str, Path]:
    """The recipes that come with gas, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def load_recipe(name: str, overrides: Mapping[str, Any] | None = None) -> TrainingRecipe:
    """A recipe that comes with gas, or a YAML file's.

    Args:
        name: Its name, or a path that ends with .yaml or .yml.
        overrides: Fields that are to be otherwise.

    Raises:
        UnknownNameError: There is no recipe of that name.
        SettingError: The file cannot be read, or something in it is wrong: file, line, column, field.
    """
    known = bundled()
    if name in known:
        path = known[name]
    elif name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        raise unknown("recipe", name, known)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"recipe: {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    shown = path.name if path.parent == FOLDER else str(path)
    return recipe_from_text(text, shown, overrides)


def recipe_from_text(text: str, file: str, overrides: Mapping[str, Any] | None = None) -> TrainingRecipe:
    """The recipe that a YAML text holds; see `load_recipe`."""
    try:
        mark, problems = parse(text, file)
    except SpaceError as error:
        raise SettingError(str(error).replace("input, stem, stages and head", "fields such as epochs")) from error
    if problems:
        try:
            problems.check()
        except SpaceError as error:
            raise SettingError(str(error)) from error
    given = _made(mark.plain(), file, mark)
    return given.checked() if not overrides else overridden(given, overrides)


def overridden(recipe: TrainingRecipe, overrides: Mapping[str, Any]) -> TrainingRecipe:
    """The recipe with fields otherwise; SettingError where one is unknown or out of its range."""
    given = {name: None if value in ("none", "null") else value for name, value in overrides.items()}
    return _made({**recipe.model_dump(), **given}, "set", None).checked()


def recipe_text(recipe: TrainingRecipe) -> str:
    """The YAML file of a recipe: every field with what it means; read again, it gives an equal recipe."""
    lines = []
    for name, field in TrainingRecipe.model_fields.items():
        line = yaml.safe_dump({name: getattr(recipe, name)}, width=10**6, allow_unicode=True).strip()
        lines.append(line if name == "about" else f"{line}  # {field.description}")
    return "\n".join(lines) + "\n"


def _made(values: Mapping[str, Any], where: str, mark: Mark | None) -> TrainingRecipe:
    try:
        return TrainingRecipe(**values)
    except ValidationError as error:
        raise SettingError("\n".join(sorted(_said(e, where, mark) for e in error.errors()))) from error


def _said(error: Any, where: str, mark: Mark | None) -> str:
    """One of pydantic's errors as a line of ours."""
    name = str(error["loc"][0])
    if mark is not None:
        line, column = mark.keys.get(name, (1, 1))
        where = f"{where}:{line}:{column}"
    if error["type"] == "extra_forbidden":
        near = nearest(name, TrainingRecipe.model_fields)
        return f"{where}: no field {name!r}" + (f"; did you mean {near!r}?" if near else "")
    return f"{where}: {name}: got {error['input']!r}; expected {_expected(name)}"


def _expected(name: str) -> str:
    """What may stand in a field, from its JSON Schema."""
    entry = TrainingRecipe.model_json_schema()["properties"][name]
    kinds = entry.get("anyOf", [entry])
    words = []
    for kind in kinds:
        if "enum" in kind:
            words.append("one of " + ", ".join(map(str, kind["enum"])))
            continue
        what = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}
        bounds = [("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"), ("exclusiveMaximum", "below")]
        said = " ".join(f"{word} {json.dumps(kind[key])}" for key, word in bounds if key in kind)
        words.append(f"{what.get(kind['type'], kind['type'])} {said}".strip())
    return " or ".join(words)
