"""Samples that are of one class each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dlzoo import losses
from dlzoo.choices import ClassificationLoss
from dlzoo.data.dataset import Sample
from dlzoo.errors import DataError, UserError, printable
from dlzoo.metrics.classification import Classification
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.tasks.labels import Labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class OneLabel(Labels):
    """Targets are class numbers (B,); scores of a sample sum to 1, and the answer is the likeliest class."""

    key = "label"
    monitor = "accuracy"
    baseline = "majority class"

    def __init__(self, loss: ClassificationLoss, smoothing: float, gamma: float, balance: bool):
        self.kind, self.smoothing, self.gamma = loss, smoothing, gamma
        super().__init__(balance)

    def fit(self, values: Sequence[str]) -> None:
        counted = Counter(values)
        if len(counted) < 2:
            only = f"only the class '{printable(next(iter(counted)))}'" if counted else "no labels"
            raise DataError(f"the training split has {only}: two classes or more are needed.")
        self.know(sorted(counted), [counted[name] for name in sorted(counted)], len(values))

    def weigh(self) -> Tensor:
        """Samples over classes over the samples of the class, so that the mean weight of a sample is 1."""
        return torch.tensor([self.samples / (len(self.classes) * count) for count in self.counts])

    def encode(self, sample: Sample) -> Tensor:
        return torch.tensor(self.number(sample["label"], sample))

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.to(outputs.device, outputs.dtype)
        return losses.classification(
            outputs, target, self.kind, smoothing=self.smoothing, gamma=self.gamma, weight=weight
        )

    def probabilities(self, outputs: Tensor) -> Tensor:
        return losses.probabilities(outputs.detach(), self.kind)

    def answers(self, probabilities: Tensor, threshold: str | None = None) -> list[Answer]:
        scores = probabilities.cpu().numpy()
        best = scores.argmax(1)  # numpy's takes the first of equals, as the metrics do
        if threshold is not None:
            number, least = self.least(threshold, "CLASS=SCORE")
            if number is None:
                raise UserError(f"--threshold {printable(threshold)}: of which class? Write it as CLASS=SCORE")
            others = scores.copy()
            others[:, number] = -1
            best = np.where(scores[:, number] >= least, number, others.argmax(1))
        return [
            {"label": self.classes[i], "score": row[i], "scores": dict(zip(self.classes, row, strict=True))}
            for i, row in zip(best.tolist(), scores.tolist(), strict=True)
        ]

    def truth(self, target: Tensor) -> list[Answer]:
        nothing = dict.fromkeys(self.classes, 0.0)
        names = [self.classes[i] for i in target.tolist()]
        return [{"label": name, "score": 1.0, "scores": nothing | {name: 1.0}} for name in names]

    def guess(self) -> Answer:
        shares = [count / self.samples for count in self.counts]
        best = max(range(len(shares)), key=shares.__getitem__)
        scores = dict(zip(self.classes, shares, strict=True))
        return {"label": self.classes[best], "score": shares[best], "scores": scores}

    def metrics(self) -> list[Metric]:
        return [Classification(self.classes)]

    def update(self, metrics: list[Metric], probabilities: Tensor, target: Tensor) -> None:
        for metric in metrics:
            assert isinstance(metric, Classification)
            metric.update_arrays(probabilities.cpu().numpy(), target.cpu().numpy())

    def plot(self, metrics: list[Metric]) -> dict[str, Figure]:
        from dlzoo.report import figures

        (metric,) = metrics
        assert isinstance(metric, Classification)
        columns = [1] if len(self.classes) == 2 else range(len(self.classes))
        curves = {self.classes[k]: metric.curve(k) for k in columns}
        return {
            "confusion": figures.confusion(metric.confusion, self.classes),
            "roc": figures.roc(curves),
            "precision_recall": figures.precision_recall(curves),
            "calibration": figures.calibration(*metric.calibration()),
        }
