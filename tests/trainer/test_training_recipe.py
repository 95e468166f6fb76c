"""Recipes: what the files say, what is refused and how, and the learning rate against its definition."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gas.errors import SettingError, UnknownNameError
from gas.trainer import TrainingRecipe, bundled, load_recipe, recipe_text
from gas.trainer.recipe import overridden, recipe_from_text


def test_bundled_recipes_load_and_say_what_they_are():
    assert sorted(bundled()) == ["imagenet_300ep", "quick"]
    for name in bundled():
        assert load_recipe(name).about
    imagenet = load_recipe("imagenet_300ep")
    assert "Not run" in imagenet.about
    assert imagenet.highest_rate == pytest.approx(1e-3)  # DeiT: 5e-4 * 1024 / 512
    assert imagenet.needs_kornia
    assert imagenet.mixes
    assert not load_recipe("quick").needs_kornia


def test_every_field_is_described():
    assert [name for name, field in TrainingRecipe.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("name", ["quick", "imagenet_300ep"])
def test_a_recipe_written_and_read_is_the_same(name):
    recipe = load_recipe(name)
    assert recipe_from_text(recipe_text(recipe), "again.yaml") == recipe
    assert set(yaml.safe_load(recipe_text(recipe))) == set(TrainingRecipe.model_fields)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch: 3", "r.yaml:1:1: no field 'epoch'; did you mean 'epochs'?"),
        ("epochs: 3\nrate: fast", "r.yaml:2:1: rate: got 'fast'; expected a number above 0"),
        ("epochs: 0", "r.yaml:1:1: epochs: got 0; expected a whole number from 1"),
        ("epochs: 2.5", "r.yaml:1:1: epochs: got 2.5; expected a whole number from 1"),
        ("shift: 1", "r.yaml:1:1: shift: got 1; expected true or false"),
        ("ema: 1.0", "r.yaml:1:1: ema: got 1.0; expected a number from 0 below 1 or null"),
        ("distil: warm", "r.yaml:1:1: distil: got 'warm'; expected one of soft, hard"),
        ("epochs: 3\nepochs: 4", "r.yaml:2:1: epochs: the key stands twice; it was first given on line 1"),
        ("epochs: [", "not valid YAML"),
        ("", "r.yaml:1:1: the file is empty; expected fields such as epochs"),
        ("- 1", "r.yaml:1:1: expected a mapping with fields such as epochs"),
        ("epochs: 2\nwarm_epochs: 2", "recipe: warm_epochs: got 2.0; expected below epochs, 2"),
        ("rate: 1.0e-4\nmin_rate: 0.1", "recipe: min_rate: got 0.1; expected at most the highest rate, 0.0001"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_in_a_line(text, said):
    with pytest.raises(SettingError) as error:
        recipe_from_text(text, "r.yaml")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_all_problems_of_a_file_are_said_at_once():
    with pytest.raises(SettingError) as error:
        recipe_from_text("epochs: 0\nratee: 1\n", "r.yaml")
    assert len(str(error.value).splitlines()) == 2


def test_names_and_files_that_are_not_there(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'quick'"):
        load_recipe("quik")
    with pytest.raises(SettingError, match="cannot be read: No such file"):
        load_recipe(str(tmp_path / "r.yaml"))


def test_fields_set_otherwise():
    recipe = load_recipe("quick", {"epochs": 7, "ema": "none"})
    assert recipe.epochs == 7
    assert recipe.ema is None
    with pytest.raises(SettingError, match="set: no field 'epoch'; did you mean 'epochs'"):
        overridden(recipe, {"epoch": 7})


@given(
    per_epoch=st.integers(1, 40),
    epochs=st.integers(2, 20),
    warm=st.floats(0, 1.9),
    rate_per=st.sampled_from([None, 256]),
)
def test_the_rate_is_a_rise_and_half_a_cosine(per_epoch, epochs, warm, rate_per):
    recipe = TrainingRecipe(epochs=epochs, warm_epochs=warm, rate=2e-3, min_rate=1e-5, batch=64, rate_per=rate_per)
    steps, top = per_epoch * epochs, 2e-3 * (64 / 256 if rate_per else 1)
    assert recipe.highest_rate == pytest.approx(top)
    rises = min(max(round(warm * per_epoch), 1), steps)
    for step in range(steps):
        if step < rises:
            expected = top * (step + 1) / rises
        else:
            done = (step - rises) / (steps - rises)
            expected = 1e-5 + (top - 1e-5) * (1 + math.cos(math.pi * done)) / 2
        assert recipe.rate_at(step, steps, per_epoch) == pytest.approx(expected, rel=1e-9)
