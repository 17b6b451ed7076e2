"""What all tasks with one label a sample share: classes, loss, answers, scores. What is encoded is up to each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from dlzoo import losses
from dlzoo.choices import ClassificationLoss
from dlzoo.data.dataset import Sample
from dlzoo.errors import ConfigError, DataError, UserError, choose, did_you_mean, printable
from dlzoo.metrics.classification import Classification
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.task import Batch, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAMMA = 2.0
"""The default of every task, which a resolved config writes out beside any loss."""


class ClassificationTask(Task):
    """One label for each sample: outputs are scores (B, K), targets are class numbers `label` (B,)."""

    monitor = "accuracy"
    baseline = "majority class"

    def __init__(self, loss: ClassificationLoss, smoothing: float, gamma: float, balance: bool):
        if gamma != GAMMA and loss != "focal":
            raise ConfigError([f"task.gamma: loss: {loss} has none; leave it out, or set loss: focal"])
        self.kind = loss
        self.smoothing = smoothing
        self.gamma = gamma
        self.balance = balance
        self.classes: list[str] = []
        self.counts: list[int] = []

    def fit_labels(self, labels: Iterable[str]) -> None:
        """Classes by name, in sorted order, and how often each occurs. Raises DataError for fewer than two."""
        counted = Counter(labels)
        if len(counted) < 2:
            only = f"only the class '{printable(next(iter(counted)))}'" if counted else "no labels"
            raise DataError(f"the training split has {only}: two classes or more are needed.")
        self._know(sorted(counted), [counted[name] for name in sorted(counted)])

    def _know(self, classes: list[str], counts: list[int]) -> None:
        self.classes, self.counts = classes, counts
        self.index = {name: i for i, name in enumerate(classes)}
        n, K = sum(counts), len(classes)
        self.weight = torch.tensor([n / (K * count) for count in counts]) if self.balance else None

    def encode_label(self, sample: Sample) -> dict[str, Tensor]:
        """`label`, where the sample has one. Raises DataError for a class that the training split lacks."""
        return {"label": torch.tensor(self.number(sample))} if "label" in sample else {}

    def number(self, sample: Sample) -> int:
        """The number of a sample's class."""
        name = sample["label"]
        if (number := self.index.get(name)) is None:
            shown = ", ".join(printable(c) for c in self.classes[:20]) + (", ..." if len(self.classes) > 20 else "")
            raise DataError(
                f"{where(sample)}class '{printable(str(name))}' does not occur in the training split."
                f"{did_you_mean(name, self.classes)} The classes are: {shown}."
            )
        return number

    def targets(self, columns: dict[str, Any]) -> dict[str, Tensor]:
        """The targets of a batch, from the columns of its examples."""
        return {"label": columns["label"]} if "label" in columns else {}

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The named loss; of a mixed batch, that of the soft targets, in which every one of these losses is linear."""
        label, own = batch.targets["label"], batch.targets.get("own", 1.0)
        loss = self._loss(outputs, label)
        return loss if own == 1 else own * loss + (1 - own) * self._loss(outputs, label[batch.targets["partner"]])

    def _loss(self, outputs: Tensor, label: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.to(outputs.device, outputs.dtype)
        return losses.classification(
            outputs, label, self.kind, smoothing=self.smoothing, gamma=self.gamma, weight=weight
        )

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        return self.answers(losses.probabilities(outputs.detach(), self.kind))

    def answers(self, probabilities: Tensor, threshold: str | None = None) -> list[Answer]:
        """Answers from probabilities (B, K); `threshold` is that of `answer`."""
        scores = probabilities.cpu().numpy()
        best = scores.argmax(1)  # numpy's takes the first of equals, as the metrics do
        if threshold is not None:
            number, least = self._chosen(threshold)
            others = scores.copy()
            others[:, number] = -1
            best = np.where(scores[:, number] >= least, number, others.argmax(1))
        return [
            {"label": self.classes[i], "score": row[i], "scores": dict(zip(self.classes, row, strict=True))}
            for i, row in zip(best.tolist(), scores.tolist(), strict=True)
        ]

    def answer(self, model: nn.Module, batch: Batch, *, threshold: str | None = None) -> list[Answer]:
        """The likeliest class of each sample, unless a threshold says otherwise.

        Args:
            threshold: CLASS=SCORE: a sample is CLASS from that score on, else the likeliest of the other classes
        """
        return self.answers(losses.probabilities(model(**batch.inputs), self.kind), threshold)

    def _chosen(self, threshold: str) -> tuple[int, float]:
        """The class that a threshold is of, and its least score. Raises UserError for any other text."""
        name, _, value = threshold.rpartition("=")
        try:
            least = float(value)
        except ValueError:
            least = math.nan
        if not name or not 0 <= least <= 1:
            raise UserError(f"--threshold {printable(threshold)}: write it as CLASS=SCORE, a score of 0 to 1")
        if name not in self.index:
            raise UserError(f"--threshold: {choose(name, self.classes, 'class')}")
        return self.index[name], least

    def truth(self, batch: Batch) -> list[Answer]:
        nothing = dict.fromkeys(self.classes, 0.0)
        names = [self.classes[i] for i in batch.targets["label"].tolist()]
        return [{"label": name, "score": 1.0, "scores": nothing | {name: 1.0}} for name in names]

    def guess(self, batch: Batch) -> list[Answer]:
        shares = [count / sum(self.counts) for count in self.counts]
        best = max(range(len(shares)), key=shares.__getitem__)
        answer = {
            "label": self.classes[best],
            "score": shares[best],
            "scores": dict(zip(self.classes, shares, strict=True)),
        }
        return [answer] * len(batch.targets["label"])

    def metrics(self) -> list[Metric]:
        return [Classification(self.classes)]

    def update(self, metrics: list[Metric], outputs: Tensor, batch: Batch) -> None:
        probabilities = losses.probabilities(outputs.detach(), self.kind).cpu().numpy()
        for metric in metrics:
            assert isinstance(metric, Classification)
            metric.update_arrays(probabilities, batch.targets["label"].cpu().numpy())

    def plot(self, metrics: list[Metric], answers: list[Answer], truths: list[Answer]) -> dict[str, Figure]:
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

    def state_dict(self) -> dict[str, Any]:
        return {"classes": self.classes, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._know(state["classes"], state["counts"])


def where(sample: Sample) -> str:
    """`file:row: ` of a sample that knows where it is from, for the front of a message."""
    return f"{printable(str(sample['source']))}: " if "source" in sample else ""
