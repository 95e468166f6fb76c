"""FasterViT, as in the package fastervit, which nothing but these tests may use (its licence is non-commercial)."""

from __future__ import annotations

import warnings
from functools import partial

from torch import nn
from zoo.pairing import Reference


def fastervit(number: int) -> nn.Module:
    """A FasterViT of the package."""
    with warnings.catch_warnings():
        # It imports names that timm has moved since, enters them twice into timm's registry, and calls torch.meshgrid
        # without saying which order it wants.
        warnings.filterwarnings("ignore", "Importing from timm.models", FutureWarning)
        warnings.filterwarnings("ignore", "Overwriting .* in registry", UserWarning)
        warnings.filterwarnings("ignore", "torch.meshgrid: in an upcoming release", UserWarning)
        from fastervit import create_model

        return create_model(f"faster_vit_{number}_224")


def deployed(model: nn.Module) -> nn.Module:
    """Position biases as they were last computed, as constants."""
    for module in model.modules():
        if hasattr(module, "switch_to_deploy"):
            module.switch_to_deploy()
    return model


REFERENCES = {f"fastervit_{number}": Reference(partial(fastervit, number), fold=deployed) for number in (0, 1)}
