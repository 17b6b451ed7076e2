"""Samples that are of any number of classes: none, one or several."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dlzoo import losses
from dlzoo.choices import BinaryLoss
from dlzoo.data.dataset import Sample
from dlzoo.errors import DataError
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.metrics.multi_label import THRESHOLD, MultiLabel
from dlzoo.tasks.labels import Labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORM = "SCORE for all classes, or CLASS=SCORE;CLASS=SCORE"


class ManyLabels(Labels):
    """Targets are 0 and 1 (B, K); every class has a score of its own, and the answer is those of .5 or more."""

    key = "labels"
    monitor = "map"
    baseline = "class frequencies"

    def __init__(self, loss: BinaryLoss, smoothing: float, gamma: float, balance: bool):
        self.kind, self.smoothing, self.gamma = loss, smoothing, gamma
        super().__init__(balance)

    def fit(self, values: Sequence[Sequence[str]]) -> None:
        counted = Counter(name for names in values for name in set(names))
        if not counted:
            raise DataError("no sample of the training split has a label: one class or more is needed.")
        self.know(sorted(counted), [counted[name] for name in sorted(counted)], len(values))

    def weigh(self) -> Tensor:
        """Samples without a class over those with it: what their terms in the loss are multiplied by."""
        return torch.tensor([(self.samples - count) / count for count in self.counts])

    def encode(self, sample: Sample) -> Tensor:
        target = torch.zeros(len(self.classes))
        target[[self.number(name, sample) for name in sample["labels"]]] = 1
        return target

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.to(outputs.device, outputs.dtype)
        return losses.multi_label(outputs, target, self.kind, smoothing=self.smoothing, gamma=self.gamma, weight=weight)

    def probabilities(self, outputs: Tensor) -> Tensor:
        return outputs.detach().float().sigmoid()

    def answers(self, probabilities: Tensor, threshold: str | None = None) -> list[Answer]:
        scores = probabilities.cpu().numpy()
        least = np.full(len(self.classes), THRESHOLD)
        for part in [] if threshold is None else re.split("[|;]", threshold):
            number, score = self.least(part, FORM)
            least[slice(None) if number is None else number] = score
        return [
            {
                "labels": [name for name, there in zip(self.classes, above, strict=True) if there],
                "scores": dict(zip(self.classes, row, strict=True)),
            }
            for above, row in zip((scores >= least).tolist(), scores.tolist(), strict=True)
        ]

    def truth(self, target: Tensor) -> list[Answer]:
        return self.answers(target)

    def guess(self) -> Answer:
        (answer,) = self.answers(torch.tensor([[count / self.samples for count in self.counts]]))
        return answer

    def metrics(self) -> list[Metric]:
        return [MultiLabel(self.classes)]

    def update(self, metrics: list[Metric], probabilities: Tensor, target: Tensor) -> None:
        scores = probabilities.cpu().numpy()
        for metric in metrics:
            assert isinstance(metric, MultiLabel)
            metric.update_arrays(scores, target.cpu().numpy() > 0, scores >= THRESHOLD)

    def plot(self, metrics: list[Metric]) -> dict[str, Figure]:
        from dlzoo.report import figures

        (metric,) = metrics
        assert isinstance(metric, MultiLabel)
        curves = {name: metric.ranking.curve(k) for k, name in enumerate(self.classes)}
        return {"roc": figures.roc(curves), "precision_recall": figures.precision_recall(curves)}
