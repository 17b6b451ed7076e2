"""What all tasks share whose samples have classes: one each, or any number. What is encoded is up to each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from dlzoo.choices import ClassificationLoss
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import ConfigError
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.task import Batch, Task
from dlzoo.tasks.labels import Labels
from dlzoo.tasks.many_labels import ManyLabels
from dlzoo.tasks.one_label import OneLabel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAMMA = 2.0
"""The default of every task, which a resolved config writes out beside any loss."""


class ClassificationTask(Task):
    """Outputs are scores (B, K); targets are class numbers `label` (B,), or 0 and 1 `labels` (B, K)."""

    monitor = "accuracy"
    baseline = "majority class"

    def __init__(
        self, loss: ClassificationLoss | None, smoothing: float, gamma: float, balance: bool, multi_label: bool = False
    ):
        kind = loss or ("binary_cross_entropy" if multi_label else "cross_entropy")
        if gamma != GAMMA and kind != "focal":
            raise ConfigError([f"task.gamma: loss: {kind} has none; leave it out, or set loss: focal"])
        self.labels: Labels
        if multi_label:
            if kind == "cross_entropy":
                raise ConfigError(["task.loss: cross_entropy is of one label a sample: leave it out, or set focal"])
            self.labels = ManyLabels(kind, smoothing, gamma, balance)
        else:
            self.labels = OneLabel(kind, smoothing, gamma, balance)
        self.monitor, self.baseline = self.labels.monitor, self.labels.baseline

    def fit_labels(self, data: Subset) -> None:
        """Learn the classes. Raises DataError for too few."""
        self.labels.fit(data.column(self.labels.key))

    def encode_label(self, sample: Sample) -> dict[str, Tensor]:
        """The target, where the sample has one. Raises DataError for a class that the training split lacks."""
        key = self.labels.key
        return {key: self.labels.encode(sample)} if key in sample else {}

    def targets(self, columns: dict[str, Any]) -> dict[str, Tensor]:
        """The targets of a batch, from the columns of its examples."""
        key = self.labels.key
        return {key: columns[key]} if key in columns else {}

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The named loss; of a mixed batch, that of the soft targets, in which every one of these losses is linear."""
        target, own = batch.targets[self.labels.key], batch.targets.get("own", 1.0)
        loss = self.labels.loss(outputs, target)
        return (
            loss if own == 1 else own * loss + (1 - own) * self.labels.loss(outputs, target[batch.targets["partner"]])
        )

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        return self.labels.answers(self.labels.probabilities(outputs))

    def answer(self, model: nn.Module, batch: Batch, *, threshold: str | None = None) -> list[Answer]:
        """The likeliest class of each sample, unless a threshold says otherwise.

        Args:
            threshold: CLASS=SCORE: a sample is CLASS from that score on, else the likeliest of the other classes
        """
        return self.labels.answers(self.labels.probabilities(model(**batch.inputs)), threshold)

    def truth(self, batch: Batch) -> list[Answer]:
        return self.labels.truth(batch.targets[self.labels.key])

    def guess(self, batch: Batch) -> list[Answer]:
        return [self.labels.guess()] * batch.count

    def metrics(self) -> list[Metric]:
        return self.labels.metrics()

    def update(self, metrics: list[Metric], outputs: Tensor, batch: Batch) -> None:
        self.labels.update(metrics, self.labels.probabilities(outputs), batch.targets[self.labels.key])

    def plot(self, metrics: list[Metric], answers: list[Answer], truths: list[Answer]) -> dict[str, Figure]:
        return self.labels.plot(metrics)

    def state_dict(self) -> dict[str, Any]:
        return self.labels.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.labels.load_state_dict(state)
