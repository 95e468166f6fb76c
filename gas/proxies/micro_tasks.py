"""Train the design for a few steps on each of two tasks that need no labels, and see how far it gets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

from gas.architecture import Architecture
from gas.data import ImageData
from gas.data.tasks import TASKS
from gas.proxies.base import Fidelity, Proxy, register
from gas.proxies.short_training import ShortTraining

REFERENCE: Mapping[str, tuple[float, float]] = {"patch_order": (1.244, 0.479), "rotation": (0.460, 0.100)}
"""Mean and deviation of each task's validation loss, in nats, over the designs of experiments/micro_tasks."""


@register("micro_tasks")
class MicroTasks(Proxy):
    """Mean over two tasks of how many deviations the validation loss lies below a reference sample's mean.

    The tasks are to say in which order four patches of an image were put together, and by how many quarter turns an
    image was turned. Each is one `short_training` of the reduced design, with the tasks' answers in place of classes.
    Mean and deviation of each loss were measured once (experiments/micro_tasks), on digits and at the default fidelity;
    elsewhere they are no more than weights. It is no estimate of ImageNet accuracy.

    Labels of the data are not read. The data should have an up and a down, which digits have and fractals have not.

    Source: UnNAS, arXiv 2003.12056, for ranking designs by tasks without labels; the tasks name theirs.
    """

    needs_training = True
    default_data = "digits"
    default_fidelity = Fidelity(resolution=32, width=0.25, images=8192, validation=1024, steps=160)

    def prepare(self) -> None:
        """Loads the images and poses the tasks, once."""
        _ = self.tasks

    @cached_property
    def tasks(self) -> dict[str, ImageData]:
        """The tasks' images by their names. SettingError where the images' side is odd.

        Where the data have fewer images than the training will see, each is there several times, posed differently.
        """
        fidelity = self.fidelity
        shown = min(fidelity.steps * fidelity.batch, fidelity.images or math.inf)
        wanted = {"images": int(shown), "validation": fidelity.validation or 0}
        return {name: pose(self.images, **wanted, seed=self.seed) for name, pose in TASKS.items()}

    def score(self, architecture: Architecture, *, seed: int = 0, deadline: float | None = None) -> dict[str, float]:
        """`micro_tasks`; per task `micro_tasks_TASK` (share of the validation images put right) and
        `micro_tasks_TASK_loss` (cross-entropy there); each the mean over `fidelity.seeds` initialisations."""
        count = self.fidelity.seeds
        runs = [self._once(architecture, seed * count + index, deadline) for index in range(count)]
        return {name: sum(run[name] for run in runs) / count for name in runs[0]}

    def _once(self, architecture: Architecture, seed: int, deadline: float | None) -> dict[str, float]:
        metrics = {self.name: 0.0}
        for task, images in self.tasks.items():
            proxy = ShortTraining(self.data, self.fidelity, seed=self.seed, images=images)
            proxy.inspect, proxy.device = self.inspect, self.device
            try:
                told = proxy.score(architecture, seed=seed, deadline=deadline)
            except ValueError as error:
                raise ValueError(f"{task}: {error}") from error
            loss, (mean, deviation) = told[f"{proxy.name}_loss"], REFERENCE[task]
            metrics[f"{self.name}_{task}"] = told[proxy.name]
            metrics[f"{self.name}_{task}_loss"] = loss
            metrics[self.name] += (mean - loss) / deviation / len(self.tasks)
        return metrics
