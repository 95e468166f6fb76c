"""The training itself: step by step, on one worker or several, broken off and gone on with.

All that is drawn follows from the recipe's seed and the place (epoch, step, part), so a training that goes on from a
checkpoint gives the very weights of the unbroken one, with the same number of threads on the same machine; and several
workers see what one would.

Shapes: B images of a part, R side of an image.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.architecture import Architecture
from gas.errors import RunError, SettingError, describe, first_line
from gas.model import Network, set_drop_path
from gas.trainer.augment import Group, augmented
from gas.trainer.drawing import order_of, seed_of
from gas.trainer.images import Batch, Images
from gas.trainer.optimiser import MeanWeights, optimiser_of, set_rate
from gas.trainer.recipe import TrainingRecipe
from gas.trainer.scores import Scores, evaluate
from gas.trainer.store import Row
from gas.trainer.teacher import Teacher, taught
from gas.training import Snapshot
from gas.training.casting import autocast

_WINDOW = 20
_MOMENTS = {"mean": "exp_avg", "square": "exp_avg_sq"}


@dataclass(frozen=True)
class Workers:
    """Which of how many workers this is, and how the network is run so that they agree.

    Args:
        rank: From 0.
        world: How many.
        wrap: What averages gradients over them.
    """

    rank: int = 0
    world: int = 1
    wrap: Callable[[nn.Module], nn.Module] | None = None


class Trainer:
    """A training of a network.

    Args:
        network: Trained in place; moved to the device.
        architecture: Its design.
        images: What it sees.
        recipe: How.
        device: `cpu` or `cuda`.
        workers: Which of how many workers this is.
        teacher: Whose scores it learns from.

    Attributes:
        step: Steps done.
        rows: A row for each epoch that is done.
        loss: Of the last step, over all workers.
        seconds: Time taken, over all attempts.

    Raises:
        SettingError: A batch cannot be shared out evenly.
    """

    def __init__(
        self,
        network: Network,
        architecture: Architecture,
        images: Images,
        recipe: TrainingRecipe,
        *,
        device: str = "cpu",
        workers: Workers | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self.workers, self.device = workers or Workers(), torch.device(device)
        self.images, self.recipe = images, recipe
        self.batch = min(recipe.batch, images.train_count)
        self.per_epoch = images.train_count // self.batch  # the images left over are others in every epoch
        self.total = self.per_epoch * recipe.epochs
        check_shares(self.batch, recipe, self.workers.world)
        set_drop_path(network, recipe.drop_path)
        self._layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.network = network.to(self.device)
        if recipe.channels_last:
            self.network.to(memory_format=self._layout)
        self.optimiser = optimiser_of(network, architecture, recipe)
        self._run = self.workers.wrap(network) if self.workers.wrap else network
        self.mean = MeanWeights(network, recipe.ema) if recipe.ema is not None else None
        self._teacher = teacher.to(self.device) if teacher else None
        self.step, self.loss, self.seconds = 0, math.nan, 0.0
        self.rows: list[Row] = []
        self._summed = self._at_start = 0.0
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._stream: Iterator[Batch] | None = None

    @property
    def epoch(self) -> int:
        """The epoch under way, from 1."""
        return min(self.step // self.per_epoch + 1, self.recipe.epochs)

    @property
    def rate(self) -> float:
        """Learning rate of the next step, or of the last."""
        return self.recipe.rate_at(min(self.step, self.total - 1), self.total, self.per_epoch)

    @property
    def best(self) -> Row | None:
        """The row with the best top-1 (of the mean weights where there are any), the first of equal ones."""
        name = "ema_top1" if self.mean else "top1"
        return max(self.rows, key=lambda row: row[name], default=None)

    def run(self, *, stop: Callable[[], bool], each: Callable[[bool], None]) -> bool:
        """Goes on to the last step.

        Args:
            stop: Asked before each step whether to break off.
            each: Called after each step, with whether an epoch has ended and was evaluated.

        Returns:
            Whether the last step is done.

        Raises:
            RunError: The training has diverged; says at which step and epoch.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        begun, before = time.monotonic(), self.seconds
        with torch.random.fork_rng(devices=devices):
            while True:
                ended = (
                    self.step > 0 and self.step % self.per_epoch == 0 and len(self.rows) < self.step // self.per_epoch
                )
                if ended:
                    self.seconds = before + time.monotonic() - begun
                    self._end_epoch()
                    each(True)
                if self.step >= self.total:
                    return True
                if self._agreed(stop()):
                    return False
                self._advance()
                self.seconds = before + time.monotonic() - begun
                if self.step % self.per_epoch:
                    each(False)

    def _advance(self) -> None:
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        parts, loss = self.recipe.accumulate, 0.0
        if self._stream is None:
            self._stream = self._epoch_stream()
        for part in range(parts):
            images, labels = next(self._stream)
            together = part == parts - 1 or not hasattr(self._run, "no_sync")
            with nullcontext() if together else self._run.no_sync():
                found = self._loss(images, labels, self.workers.rank * parts + part) / parts
                found.backward()
            loss += found.item()
        self.loss = self._shared(loss)
        self._recent.append(self.loss)
        self._summed += self.loss
        self._check()
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        set_rate(self.optimiser, self.rate)
        self.optimiser.step()
        self.step += 1
        if self.mean:
            self.mean.update(self.network, self.step)
        if self.step % self.per_epoch == 0:
            self._stream = None

    def _epoch_stream(self) -> Iterator[Batch]:
        """This worker's parts of the batches that are left of the epoch."""
        epoch, place = divmod(self.step, self.per_epoch)
        order = order_of(self.recipe.seed, epoch, self.images.train_count)
        batches = order[: self.per_epoch * self.batch].view(self.per_epoch, self.workers.world, -1)
        mine = batches[place:, self.workers.rank].reshape(-1, batches.shape[-1] // self.recipe.accumulate)
        return self.images.train(mine.tolist(), epoch)

    def _loss(self, images: Tensor, labels: Tensor, part: int) -> Tensor:
        """(B, 3, R, R) pixels from 0 to 1, (B,) labels -> the loss, 0-dimensional float32."""
        recipe, scale = self.recipe, self.images.scale
        images, labels = images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
        pieces = []
        for at, (some, own) in enumerate(zip(images.split(recipe.group), labels.split(recipe.group), strict=True)):
            number = part * -(-len(labels) // recipe.group) + at
            seed = seed_of(recipe.seed, "augment", self.step, number)
            pieces.append(augmented(some, own, recipe, scale=scale, seed=seed))
        group = _joined(pieces)
        images = group.images.contiguous(memory_format=self._layout)
        torch.manual_seed(seed_of(recipe.seed, "dropout", self.step, part))
        with autocast(self.device.type) if recipe.precision == "bfloat16" else nullcontext():
            scores = self._run(images)  # (B, classes)
        scores = scores.float()
        own, other = (
            F.cross_entropy(scores, y, label_smoothing=recipe.smoothing, reduction="none")
            for y in (group.labels, group.others)
        )
        losses = group.share * own + (1 - group.share) * other  # (B,)
        if self._teacher:
            share = recipe.distil_share
            losses = (1 - share) * losses + share * taught(scores, self._teacher.scores(images, scale), recipe)
        return losses.mean()

    def _check(self) -> None:
        """RunError where the last losses show that nothing will come of it any more."""
        bound = 1.5 * math.log(len(self.images.classes)) + 1  # an untrained network is at ln(classes)
        warm = self.recipe.warm_epochs * self.per_epoch + _WINDOW
        mean = sum(self._recent) / len(self._recent)
        soft = self._teacher is not None and self.recipe.distil == "soft"  # whose loss has no such scale
        if not math.isfinite(self.loss):
            problem = f"the loss is {self.loss}"
        elif not soft and self.step >= warm and len(self._recent) == _WINDOW and mean > bound:
            problem = f"the mean loss of {_WINDOW} steps is {mean:.2f}, above 1.5 ln(classes) + 1 = {bound:.2f},"
        else:
            return
        where = f"at step {self.step} of {self.total} (epoch {self.epoch} of {self.recipe.epochs})"
        raise RunError(f"training diverged: {problem} {where}; a lower rate or a longer warm-up may help")

    def _end_epoch(self) -> None:
        """Evaluates, and adds the row of the epoch."""
        self._spread_buffers()
        found = self.evaluate()
        row: Row = {
            "epoch": len(self.rows) + 1,
            "step": self.step,
            "rate": self.recipe.rate_at(self.step - 1, self.total, self.per_epoch),
            "train_loss": self._summed / self.per_epoch,
            **found[0].row(""),
            **(found[1].row("ema_") if len(found) > 1 else {}),
        }
        taken = self.seconds - self._at_start
        row |= {"images_per_s": self.per_epoch * self.batch / max(taken, 1e-9), "seconds": self.seconds}
        self.rows.append(row)
        self._summed, self._at_start = 0.0, self.seconds

    def evaluate(self) -> list[Scores]:
        """Scores on the validation images: of the weights, and of their mean where there is one."""
        where: dict[str, Any] = {"device": self.device, "rank": self.workers.rank, "world": self.workers.world}
        found = [evaluate(self.network, self.images, **where)]
        if self.mean:
            found.append(evaluate(self.network, self.images, tensors=self.mean.tensors, **where))
        return found

    def _shared(self, loss: float) -> float:
        """The mean over the workers."""
        if self.workers.world == 1:
            return loss
        value = torch.tensor([loss], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(value)
        return value.item() / self.workers.world

    def _agreed(self, stop: bool) -> bool:
        """Whether one of the workers wants to stop: all of them must, or the others would wait for it."""
        return self._shared(float(stop)) > 0

    def _spread_buffers(self) -> None:
        """The first worker's statistics of norms, which each worker gathers on its own images, to all of them."""
        if self.workers.world == 1:
            return
        kept = list(self.mean.tensors.values()) if self.mean else []
        for tensor in [*self.network.buffers(), *kept]:
            torch.distributed.broadcast(tensor, 0)

    def weights(self) -> dict[str, Tensor]:
        """The weights to use: their mean where the recipe has it."""
        return dict(self.mean.tensors) if self.mean else self.network.state_dict()

    def snapshot(self, words: dict[str, str]) -> Snapshot:
        """All that `restore` needs, copied; with words of whoever keeps it."""
        tensors = {f"weight/{name}": t for name, t in self.network.state_dict().items()}
        tensors |= {f"ema/{name}": t for name, t in self.mean.tensors.items()} if self.mean else {}
        for name, parameter in self.network.named_parameters():
            known = self.optimiser.state.get(parameter)
            if known:
                tensors |= {f"{word}/{name}": known[moment] for word, moment in _MOMENTS.items()}
                tensors[f"count/{name}"] = known["step"]
        numbers = {"step": self.step, "summed": self._summed, "seconds": self.seconds, "at_start": self._at_start}
        kept = {**words, "state": json.dumps({**numbers, "rows": self.rows})}
        return Snapshot({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, kept)

    @torch.no_grad()
    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to where a training stood; RunError where the snapshot lacks something."""
        tensors = snapshot.tensors
        try:
            state = json.loads(snapshot.words["state"])
            self.network.load_state_dict({name: tensors[f"weight/{name}"] for name in self.network.state_dict()})
            if self.mean:
                self.mean.restore({name: tensors[f"ema/{name}"] for name in self.mean.tensors})
            for name, parameter in self.network.named_parameters():
                if f"count/{name}" in tensors:
                    moments = {
                        m: torch.empty_like(parameter).copy_(tensors[f"{w}/{name}"]) for w, m in _MOMENTS.items()
                    }
                    count = tensors[f"count/{name}"].clone().to(self.device)
                    self.optimiser.state[parameter] = {"step": count, **moments}
            self.step, self._summed = int(state["step"]), float(state["summed"])
            self.seconds, self._at_start = float(state["seconds"]), float(state["at_start"])
            self.rows, self._stream = list(state["rows"]), None
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise RunError(f"resume: the checkpoint is damaged: {first_line(error)}") from error


def _joined(pieces: list[Group]) -> Group:
    if len(pieces) == 1:
        return pieces[0]
    fields = ((p.images, p.labels, p.others, p.share) for p in pieces)
    return Group(*(torch.cat(parts) for parts in zip(*fields, strict=True)))


def check_shares(batch: int, recipe: TrainingRecipe, world: int) -> None:
    """SettingError where the workers' parts of a batch are not equal: their mean would not be the batch's."""
    parts = world * recipe.accumulate
    if batch % parts:
        text = f"a multiple of {parts} ({world} workers x {recipe.accumulate} parts)"
        raise SettingError(f"batch: {describe(batch, text)}")
