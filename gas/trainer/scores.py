"""How well a network puts the validation images into their classes.

Shapes: B images of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from gas.model import Network
from gas.trainer.images import Images

BATCH = 128


@dataclass(frozen=True)
class Scores:
    """Of the validation images.

    Args:
        top1: Share whose class has the highest score.
        top5: Share whose class is among the five highest; 1 where there are five classes or fewer.
        val_loss: Mean cross-entropy.
        images: How many there were.
    """

    top1: float
    top5: float
    val_loss: float
    images: int

    def row(self, head: str) -> dict[str, float]:
        """For a table, each name behind `head`."""
        return {f"{head}{name}": value for name, value in asdict(self).items() if name != "images"}


@torch.no_grad()
def evaluate(
    network: Network,
    images: Images,
    *,
    device: torch.device,
    tensors: Mapping[str, Tensor] | None = None,
    rank: int = 0,
    world: int = 1,
) -> Scores:
    """Scores on all validation images, in float32; each worker looks at its share of them.

    Args:
        network: On `device`; left in evaluation mode.
        images: Whose validation images.
        device: Where.
        tensors: Weights in place of the network's own.
        rank: Which worker this is.
        world: How many there are.
    """
    network.eval()
    mean, deviation = (part.to(device) for part in images.scale)
    batches = [list(range(at, min(at + BATCH, images.val_count))) for at in range(0, images.val_count, BATCH)]
    sums = torch.zeros(4, dtype=torch.float64)
    for pixels, labels in images.validation(batches[rank::world]):
        inputs = (pixels.to(device) - mean) / deviation
        scores = network(inputs) if tensors is None else functional_call(network, dict(tensors), (inputs,))
        scores = scores.float().cpu()  # (B, classes)
        highest = scores.topk(min(5, scores.shape[1]), dim=1).indices == labels[:, None]
        loss = F.cross_entropy(scores, labels, reduction="sum").item()
        sums += torch.tensor([highest[:, 0].sum().item(), highest.any(dim=1).sum().item(), loss, len(labels)])
    if world > 1:
        there = sums.to(device)
        torch.distributed.all_reduce(there)
        sums = there.cpu()
    right, among, loss, count = sums.tolist()
    count = max(count, 1)
    return Scores(right / count, among / count, loss / count, int(count))
