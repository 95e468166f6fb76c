"""Run the design on the weights of a bank that was trained once for its whole space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gas.architecture import Architecture
from gas.banks import from_bytes, read
from gas.banks.calibration import recalibrate
from gas.data import ImageData
from gas.errors import RunError, SettingError, describe
from gas.model import build
from gas.proxies.base import Fidelity, Proxy, check_deadline, register
from gas.proxies.reduce import reduce
from gas.training import validate

CALIBRATION = 4
"""Batches of training images that norm statistics are the mean over."""


@register("shared_weights")
class SharedWeights(Proxy):
    """Accuracy on held-out images with weights sliced out of a bank (`gas train-bank`); nothing is trained.

    The design is made as small as the bank's designs were, its parameters are leading slices of the bank's tensors, and
    its batch norms get statistics of their own. It is no estimate of ImageNet accuracy, nor of what the design reaches
    when it is trained alone: how far the two agree is measured in experiments/shared_weights.

    Data, their seed and fidelity are the bank's, so that no image is validated on that the bank was trained on; of the
    fidelity only `validation` may be another. The seed of a score says which images the norm statistics come from.

    Args:
        data: The bank's data source, or None.
        fidelity: Fields that differ from the bank's fidelity, or a whole Fidelity.
        seed: Not read: the bank's own counts.
        images: The data, where it is loaded already.
        bank: Folder of the bank, or the bytes of its file (`gas.banks.read`).

    Source: AutoFormer, arXiv 2107.00651, section 3.3; BigNAS, arXiv 2003.11142.
    """

    needs_training = True
    needs_bank = True
    accuracy = "shared_weights"
    default_data = "digits"
    default_fidelity = Fidelity(
        resolution=32, width=0.25, images=8192, validation=1024, classes=16, steps=3000, batch=64
    )
    fidelity_on: ClassVar = {"digits": {"noise": 1.0}}

    def __init__(
        self,
        data: str | None = None,
        fidelity: Fidelity | Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        images: ImageData | None = None,
        bank: str | bytes = "",
    ) -> None:
        if not bank:
            expected = "the folder of a bank: make one with gas train-bank SPACE --out DIR"
            raise SettingError(f"bank: got none; expected {expected}")
        content = bank if isinstance(bank, bytes) else read(bank)
        self.path = "" if isinstance(bank, bytes) else str(Path(bank).absolute())  # a worker may stand elsewhere
        self.bank, _, self.record = from_bytes(content, self.path or "bank")
        own = Fidelity(**self.record.fidelity)
        if data is not None and data != self.record.data:
            raise SettingError(f"data: {describe(data, f'{self.record.data}, which the bank was trained on')}")
        if not isinstance(fidelity, Fidelity):
            fidelity = Fidelity.of(fidelity or {}, own)
        for name, value in own:
            got = getattr(fidelity, name)
            if got != value and name != "validation":
                raise SettingError(f"fidelity.{name}: {describe(got, f'{value}, which the bank was trained at')}")
        super().__init__(self.record.data, fidelity, seed=self.record.seed, images=images)

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """`shared_weights` (share of the validation images put right), `shared_weights_loss` (cross-entropy there).

        DesignError also where the bank does not hold what the design needs.
        """
        data, fidelity = self.images, self.fidelity
        check_deadline(deadline, "building the design")
        small = reduce(architecture, resolution=fidelity.resolution, width=fidelity.width)
        network = build(small, classes=data.classes, seed=seed)
        self.bank.fill(network, self.bank.slots(network, small))
        recalibrate(network, self._batches(seed, deadline))
        accuracy, loss = validate(network, data, deadline=deadline)
        if self.inspect is not None:
            self.inspect(network, small, data.val_images)
        return {self.name: accuracy, f"{self.name}_loss": loss}

    def settings(self) -> dict[str, Any]:
        """As `Proxy.settings`. RunError where the bank came as bytes, which no plain data names."""
        if not self.path:
            raise RunError("bank: got one from bytes; expected one from a folder, which settings can name")
        return {**super().settings(), "bank": self.path}

    def _batches(self, seed: int, deadline: float | None) -> Iterator[Tensor]:
        images = self.images.train_images
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        for part in order.split(min(self.fidelity.batch, len(images)))[:CALIBRATION]:
            check_deadline(deadline, "norm statistics")
            yield images[part]
