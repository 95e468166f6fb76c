"""Labelled images for a training: in memory, or a folder that is read from disk as the training goes.

Shapes: B images of a batch, N images, R side of an image, pixels from 0 to 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gas.data import DATA, ImageData, load
from gas.data.base import split
from gas.data.folder import find_images
from gas.errors import DataError
from gas.trainer.decoding import Decoder, Failure, gathered, quiet
from gas.trainer.recipe import TrainingRecipe

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What images of a folder are standardised by, as networks trained on ImageNet are wont to."""

_NAMED = 5

Batch = tuple[Tensor, Tensor]
"""(B, 3, R, R) float32, pixels from 0 to 1; (B,) int64 labels."""


class Images(ABC):
    """What a training sees.

    Args:
        name: What was loaded, for people.
        classes: Names of the classes, in the order of the labels.
        counts: Images to train on, and to validate on.
        scale: Mean and deviation of each channel.
    """

    def __init__(
        self, name: str, classes: Sequence[str], counts: tuple[int, int], scale: tuple[Sequence[float], Sequence[float]]
    ) -> None:
        self.name, self.classes = name, tuple(classes)
        self.train_count, self.val_count = counts
        self.mean, self.deviation = (tuple(part) for part in scale)

    @property
    def scale(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the channels, (3, 1, 1) each."""
        return torch.tensor(self.mean).view(3, 1, 1), torch.tensor(self.deviation).view(3, 1, 1)

    @abstractmethod
    def train(self, batches: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """The training images of each batch of indices, in turn; what is random of them follows from the epoch."""

    @abstractmethod
    def validation(self, batches: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """The validation images of each batch of indices, in turn."""

    def notes(self) -> tuple[str, ...]:
        """What is worth telling the user about them, a sentence each."""
        return ()


class MemoryImages(Images):
    """Images in memory, with the mean and deviation that their source gave them.

    Args:
        data: The images.
        hold_out: Share of the training images to validate on, in place of the validation images, which are then not
            looked at: to choose a recipe without them.
    """

    def __init__(self, data: ImageData, *, hold_out: float = 0.0) -> None:
        if not data.mean:
            raise DataError(f"data: {data.name}: its mean and deviation are not known")
        mean, deviation = (torch.tensor(part).view(3, 1, 1) for part in (data.mean, data.deviation))
        parts = [(data.train_images, data.train_labels), (data.val_images, data.val_labels)]
        if hold_out:
            images, labels = parts[0]
            ours, held = split(labels.numpy(), round(hold_out * len(labels)), 1)
            parts = [(images[torch.from_numpy(part)], labels[torch.from_numpy(part)]) for part in (ours, held)]
        self._parts = [((images * deviation + mean).clamp_(0, 1), labels) for images, labels in parts]
        counts = tuple(len(labels) for _, labels in self._parts)
        super().__init__(data.name, [str(i) for i in range(data.classes)], counts, (data.mean, data.deviation))

    def train(self, batches: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """See `Images`."""
        return self._batches(0, batches)

    def validation(self, batches: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """See `Images`."""
        return self._batches(1, batches)

    def _batches(self, part: int, batches: Sequence[Sequence[int]]) -> Iterator[Batch]:
        images, labels = self._parts[part]
        for batch in batches:
            chosen = torch.as_tensor(batch)
            yield images[chosen], labels[chosen]


class FolderImages(Images):
    """Images of a folder in the layout of ImageNet, decoded by processes of a DataLoader as they are needed.

    Args:
        path: The folder: `train/CLASS/*` with `val/CLASS/*`, or `CLASS/*`, of which a fifth is then held out.
        resolution: Side of the images, pixels.
        recipe: How they are cropped and resized, and the seed of the crops.
        classes: Classes at most.
        loaders: Processes that decode; 0 for this one.

    Raises:
        DataError: The folder is missing, or holds fewer than two classes, or too few images.
    """

    def __init__(
        self, path: Path, *, resolution: int, recipe: TrainingRecipe, classes: int | None = None, loaders: int = 0
    ) -> None:
        names, train, held = find_images(path, classes=classes)
        self._decoders = [
            Decoder([(str(file), label) for file, label in files], resolution, recipe, random=random)
            for files, random in ((train, True), (held, False))
        ]
        self._loaders, self._path = loaders, path
        self.unreadable: dict[str, str] = {}
        self._read = 0
        super().__init__(str(path), names, (len(train), len(held)), (IMAGENET_MEAN, IMAGENET_DEVIATION))

    def train(self, batches: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """See `Images`. An image that cannot be read is replaced by the next one that can."""
        return self._batches(0, batches, epoch)

    def validation(self, batches: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """See `Images`. Images that cannot be read are left out."""
        return self._batches(1, batches, 0)

    def notes(self) -> tuple[str, ...]:
        """See `Images`."""
        if not self.unreadable:
            return ()
        listed = ", ".join(list(self.unreadable)[:_NAMED]) + (", ..." if len(self.unreadable) > _NAMED else "")
        are = "image could not be read and is" if len(self.unreadable) == 1 else "images could not be read and are"
        return (f"data: {len(self.unreadable):,} {are} skipped: {listed}",)

    def _batches(self, part: int, batches: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        from torch.utils.data import DataLoader

        loader: Any = DataLoader(
            self._decoders[part],
            batch_sampler=[[(epoch, int(i)) for i in batch] for batch in batches],
            num_workers=min(self._loaders, len(batches)),
            collate_fn=gathered,
            worker_init_fn=quiet,
            generator=torch.Generator().manual_seed(0),  # or torch's global one would be drawn from
        )
        for pixels, labels, failures in loader:
            self._note(failures, len(labels))
            if len(labels):
                yield pixels.float().div_(255), labels

    def _note(self, failures: Sequence[Failure], read: int) -> None:
        self._read += read
        for name, reason in failures:
            self.unreadable[str(Path(name).relative_to(self._path))] = reason
        if len(self.unreadable) > max(self._read, 1):
            first, reason = next(iter(self.unreadable.items()))
            got = f"got {len(self.unreadable)} images that cannot be read, and {self._read} that can"
            raise DataError(f"data: {self.name}: {got}; expected at most half; the first is {first}: {reason}")


def open_images(
    name: str,
    *,
    resolution: int,
    recipe: TrainingRecipe,
    classes: int | None = None,
    loaders: int = 0,
    hold_out: float = 0.0,
) -> Images:
    """The images that a name or a path means.

    Args:
        name: `digits`, `procedural`, `contours`, or the path of a folder of images.
        resolution: Side of the images, pixels.
        recipe: How images of a folder are cropped and resized.
        classes: Classes at most; None for all.
        loaders: Processes that decode the images of a folder.
        hold_out: See `MemoryImages`.

    Raises:
        DataError: There is neither such a source nor such a folder, or the folder cannot be used.
        SettingError: A number is out of its range.
    """
    if name not in DATA and (Path(name).is_dir() or "/" in name or name.startswith(".")):
        return FolderImages(Path(name), resolution=resolution, recipe=recipe, classes=classes, loaders=loaders)
    return MemoryImages(load(name, resolution=resolution, classes=classes), hold_out=hold_out)
