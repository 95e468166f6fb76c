"""One training: step by step, broken off and gone on with, the same in one piece or in many.

Shapes: B batch, R side of an image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gas.data import ImageData
from gas.errors import first_line
from gas.training.augment import augmented
from gas.training.casting import autocast
from gas.training.deadline import check_deadline
from gas.training.recipe import Recipe, parameter_groups
from gas.training.state import Snapshot

_CLIP, _WINDOW = 1.0, 10
_BETAS = (0.9, 0.98)
_MOMENTS = {"mean": "exp_avg", "square": "exp_avg_sq"}


class Diverged(ValueError):
    """The loss is not finite, or so high that nothing will come of the training."""


class Training:
    """AdamW with a warm-up and a cosine, gradients clipped to norm 1, on images in memory.

    All that it draws follows from the seed, and torch's global state is left as it was. A training that is broken off
    and restored gives the very weights of the unbroken one, with the same number of threads on the same machine.

    Args:
        network: Trained in place; moved to the device.
        data: Images, which stay where they are; each batch is moved.
        recipe: How to train.
        seed: Of the order of the images, the augmentations and dropout.
        device: `cpu`, or `cuda`.

    Attributes:
        step: Steps done.
        losses: Loss of every step done.
        words: What whoever trains wants to find again in a snapshot.
    """

    def __init__(
        self, network: nn.Module, data: ImageData, recipe: Recipe, *, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self.recipe, self.seed, self.data = recipe, seed, data
        self.layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.network = network.to(self.device)
        if recipe.channels_last:
            self.network.to(memory_format=self.layout)
        groups = parameter_groups(network, recipe.decay)
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.rate, betas=_BETAS, fused=True)
        self.step = 0
        self.losses: list[float] = []
        self.words: dict[str, str] = {}
        self._total = len(data.train_labels)
        self._batch = min(recipe.batch, self._total)
        self._per_epoch = self._total // self._batch  # the images left over are others in every epoch
        self._generator = torch.Generator().manual_seed(seed)
        self._dropout: dict[str, Tensor] = {}
        self._epoch, self._place = 0, self._per_epoch
        self._order_from, self._order = self._generator.get_state(), torch.empty(0, dtype=torch.int64)

    def run(self, *, deadline: float | None = None) -> None:
        """Goes on until the recipe's last step.

        Raises:
            Diverged: The loss is not finite or has blown up; says at which step.
            TimeoutError: The deadline has passed; says at which step.
        """
        self.network.train()
        with self._conditions():
            while self.step < self.recipe.steps:
                check_deadline(deadline, f"training step {self.step} of {self.recipe.steps}")
                self._advance()

    @property
    def loss(self) -> float:
        """Mean loss over the last tenth of the steps."""
        last = self.losses[-max(self.recipe.steps // 10, 1) :]
        return sum(last) / len(last)

    def _advance(self) -> None:
        if self._place >= self._per_epoch:
            self._order_from = self._generator.get_state()
            self._order = torch.randperm(self._total, generator=self._generator)
            self._epoch, self._place = self._epoch + 1, 0
        chosen = self._order[self._place * self._batch :][: self._batch]
        self._place += 1
        loss = self._loss(self.data.train_images[chosen], self.data.train_labels[chosen])
        self.losses.append(loss.item())
        self._check()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        self.optimiser.step()
        self.step += 1

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """(B, 3, R, R) images, (B,) labels -> the loss, 0-dimensional float32."""
        images, labels = images.to(self.device), labels.to(self.device)
        images, partner, share = augmented(images, self.recipe.augment, self._generator)
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=self.layout)
        with autocast(self.device.type) if self.recipe.precision == "bfloat16" else nullcontext():
            scores = self.network(images)  # (B, classes)
        scores = scores.float()
        loss = F.cross_entropy(scores, labels, label_smoothing=self.recipe.smoothing)
        if partner is None:
            return loss
        other = F.cross_entropy(scores, labels[partner], label_smoothing=self.recipe.smoothing)
        return share * loss + (1 - share) * other

    def _check(self) -> None:
        """ValueError where the last loss shows that nothing will come of it any more."""
        bound = 1.5 * math.log(self.data.classes) + 1  # an untrained network is at ln(classes)
        last = self.losses[-_WINDOW:]
        mean = sum(last) / len(last)
        if not math.isfinite(self.losses[-1]):
            problem = f"the loss is {self.losses[-1]}"
        elif self.step >= self.recipe.warm_steps + _WINDOW and len(last) == _WINDOW and mean > bound:
            problem = f"the mean loss of {_WINDOW} steps is {mean:.2f}, above 1.5 ln(classes) + 1 = {bound:.2f},"
        else:
            return
        where = f"at step {self.step} of {self.recipe.steps} (epoch {self._epoch})"
        raise Diverged(f"training diverged: {problem} {where}")

    @contextmanager
    def _conditions(self) -> Iterator[None]:
        """Torch's random state and its strictness as the training wants them; as they were, afterwards."""
        cuda = self.device.type == "cuda"
        with torch.random.fork_rng(devices=[self.device] if cuda else []), _strictness(self.recipe.deterministic):
            if self._dropout:
                torch.set_rng_state(self._dropout["cpu"])
                if cuda and "cuda" in self._dropout:
                    torch.cuda.set_rng_state(self._dropout["cuda"], self.device)
            else:
                torch.manual_seed(self.seed)
            yield
            self._dropout = {"cpu": torch.get_rng_state()}
            if cuda:
                self._dropout["cuda"] = torch.cuda.get_rng_state(self.device)

    def snapshot(self) -> Snapshot:
        """All that `restore` needs, copied."""
        tensors = {f"parameter/{n}": p.detach() for n, p in self.network.named_parameters()}
        tensors |= {f"buffer/{n}": b for n, b in self.network.state_dict().items() if f"parameter/{n}" not in tensors}
        counts = []
        for name, parameter in self.network.named_parameters():
            known = self.optimiser.state.get(parameter)
            counts.append(float(known["step"]) if known else 0.0)
            if known:
                tensors |= {f"{word}/{name}": known[moment] for word, moment in _MOMENTS.items()}
        tensors |= {"counts": torch.tensor(counts), "losses": torch.tensor(self.losses, dtype=torch.float32)}
        tensors |= {"random/order": self._order_from, "random/images": self._generator.get_state()}
        tensors |= {f"random/{name}": state for name, state in self._dropout.items()}
        numbers = {
            "step": self.step,
            "epoch": self._epoch,
            "place": self._place,
            "total": self._total,
            "batch": self._batch,
            "resolution": self.data.resolution,
        }
        words = {**self.words, **{name: str(value) for name, value in numbers.items()}}
        return Snapshot({name: tensor.cpu().clone() for name, tensor in tensors.items()}, words)

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to where a training stood that `fits`.

        Where its images were others (more, or at another resolution), it goes on with a new epoch, and buffers are
        carried only where they are statistics of a norm: the others may belong to the size of the images.

        Raises:
            ValueError: Something is missing in it, or more steps are done than the recipe has.
        """
        try:
            self._restore(snapshot)
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"state: damaged: {first_line(error)}") from error
        if self.step > self.recipe.steps:
            raise ValueError(f"state: got a training of {self.step} steps; expected at most {self.recipe.steps}")

    @torch.no_grad()
    def _restore(self, snapshot: Snapshot) -> None:
        tensors, words = snapshot.tensors, snapshot.words
        same_size = int(words["resolution"]) == self.data.resolution
        norms = {n for n, m in self.network.named_modules() if getattr(m, "running_mean", None) is not None}
        buffers = dict(self.network.named_buffers())
        for name in self.network.state_dict().keys() & buffers.keys():
            if same_size or name.rpartition(".")[0] in norms:
                buffers[name].copy_(tensors[f"buffer/{name}"])
        for (name, parameter), count in zip(self.network.named_parameters(), tensors["counts"], strict=True):
            parameter.copy_(tensors[f"parameter/{name}"])
            if count:
                moments = {m: torch.empty_like(parameter).copy_(tensors[f"{w}/{name}"]) for w, m in _MOMENTS.items()}
                self.optimiser.state[parameter] = {"step": count.clone().to(self.device), **moments}
        self.losses = tensors["losses"].tolist()
        self.step, self._epoch = int(words["step"]), int(words["epoch"])
        self._generator.set_state(tensors["random/images"])
        self._dropout = {n: tensors[f"random/{n}"] for n in ("cpu", "cuda") if f"random/{n}" in tensors}
        if int(words["total"]) == self._total and int(words["batch"]) == self._batch:
            self._order_from, self._place = tensors["random/order"], int(words["place"])
            again = torch.Generator()
            again.set_state(self._order_from)
            self._order = torch.randperm(self._total, generator=again)


def fits(network: nn.Module, snapshot: Snapshot) -> bool:
    """Whether a snapshot is of a network whose parameters have the names and shapes of this one's."""
    head = "parameter/"
    theirs = {n.removeprefix(head): t.shape for n, t in snapshot.tensors.items() if n.startswith(head)}
    return theirs == {name: p.shape for name, p in network.named_parameters()}


def train(
    network: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int = 0,
    deadline: float | None = None,
    device: str = "cpu",
) -> float:
    """Trains in place; returns the mean loss over the last tenth of the steps.

    Raises:
        Diverged: The loss is not finite or has blown up; says at which step.
        TimeoutError: The deadline has passed; says at which step.
    """
    training = Training(network, data, recipe, seed=seed, device=device)
    training.run(deadline=deadline)
    return training.loss


@torch.inference_mode()
def validate(
    network: nn.Module, data: ImageData, *, deadline: float | None = None, device: str = "cpu"
) -> tuple[float, float]:
    """(share of the validation images put right, mean cross-entropy), in float32.

    Args:
        network: On `device`; left in evaluation mode.
        data: Whose validation images.
        deadline: Value of `time.monotonic()` after which TimeoutError is raised.
        device: `cpu`, or `cuda`.

    Raises:
        ValueError: A score is not finite.
        TimeoutError: The deadline has passed.
    """
    network.eval()
    right, loss = 0, 0.0
    for images, labels in zip(data.val_images.split(256), data.val_labels.split(256), strict=True):
        check_deadline(deadline, "validation")
        scores: Tensor = network(images.to(device)).cpu()  # (B, classes)
        right += int((scores.argmax(dim=1) == labels).sum())
        loss += F.cross_entropy(scores, labels, reduction="sum").item()
    if not math.isfinite(loss):
        raise ValueError(f"the validation loss is {loss}")
    return right / len(data.val_labels), loss / len(data.val_labels)


@contextmanager
def _strictness(deterministic: bool) -> Iterator[None]:
    if not deterministic:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=False)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        first = first_line(error)
        raise ValueError(f"deterministic: the design needs what torch cannot repeat exactly: {first}") from error
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
