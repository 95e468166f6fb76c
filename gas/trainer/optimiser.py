"""What a step does to the weights: groups of parameters, decay of the rate by depth, the mean of the weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gas.architecture import Architecture
from gas.model import Network, block_modules
from gas.trainer.recipe import TrainingRecipe
from gas.training.recipe import parameter_groups

EMA_WARM = 10
"""The mean's decay at step t is at most (1 + t) / (EMA_WARM + t), so that it forgets the initial weights soon."""


def optimiser_of(network: Network, architecture: Architecture, recipe: TrainingRecipe) -> torch.optim.AdamW:
    """AdamW on the network's parameters; each group's `factor` is what its learning rate is multiplied by."""
    depth = depths(network, architecture)
    last = max(depth.values())
    groups = []
    for group in parameter_groups(network, recipe.decay):
        for level in sorted({depth[id(p)] for p in group["params"]}):
            members = [p for p in group["params"] if depth[id(p)] == level]
            groups.append({**group, "params": members, "factor": recipe.layer_decay ** (last - level)})
    if recipe.layer_decay == 1.0:
        groups = [{**group, "factor": 1.0} for group in parameter_groups(network, recipe.decay)]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=recipe.highest_rate, betas=(recipe.beta1, recipe.beta2), fused=True)


def depths(network: Network, architecture: Architecture) -> dict[int, int]:
    """Depth of each parameter, by its id(): 0 in the stem, from 1 in the blocks, one more than the last in the head.

    What stands in no block (a stage's own parts) belongs to the block before it.
    """
    blocks = {id(module): at for at, (module, _) in enumerate(block_modules(network, architecture), start=1)}
    found: dict[int, int] = {}
    level = 0
    for name, child in network.named_children():
        if name in ("maps", "head"):
            level = len(blocks) + 1
        for module in child.modules():
            level = blocks.get(id(module), level)
            found |= {id(p): level for p in module.parameters(recurse=False) if id(p) not in found}
    return found


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


class MeanWeights:
    """Exponential moving mean of a network's parameters and of its buffers of floats; others are copied.

    Args:
        network: Whose.
        decay: Share of the old mean that stays at a step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: t.detach().clone() for name, t in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Takes in the weights after `step` steps, counted from 1."""
        decay = min(self.decay, (1 + step) / (EMA_WARM + step))
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, 1 - decay)
            else:
                self.tensors[name].copy_(tensor)

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Goes back to a mean that was kept."""
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])
