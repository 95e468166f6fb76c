"""Trains a design properly: recipes, checkpoints that a training goes on from, curves, several workers."""

from gas.trainer.images import open_images
from gas.trainer.job import State
from gas.trainer.recipe import TrainingRecipe, bundled, load_recipe, recipe_text
from gas.trainer.training import Place, TrainingResult, evaluate_weights, train

__all__ = [
    "Place",
    "State",
    "TrainingRecipe",
    "TrainingResult",
    "bundled",
    "evaluate_weights",
    "load_recipe",
    "open_images",
    "recipe_text",
    "train",
]
