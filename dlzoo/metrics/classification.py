"""One label a sample: accuracy, macro-F1, AUROC, top-5, calibration, sensitivity and specificity of each class."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlzoo.metrics.auroc import AUROC
from dlzoo.metrics.bootstrap import Array, Groups, percentiles
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.metrics.proportion import share, wilson

BINS = 15
"""Bins of confidence for the calibration error."""


class Classification(Metric):
    """Reads `label` and `scores` of answers, `label` of truths.

    Of the labels: accuracy; macro_f1, over the classes that occur in answers or truths; `sensitivity.CLASS`, the
    share of its samples that are answered as it, and `specificity.CLASS`, the share of all others that are not, with
    Wilson's intervals. Of the scores: auroc, see metrics/auroc.py; top5, where there are more than five classes. Of
    both: ece, the expected calibration error: the mean gap between the score of the answered class and accuracy in 15
    equal bins of that score (Guo et al., 2017), weighted by their samples.

    State: K x K counts, up to 250,000 scores, 2,000 groups of 46 sums.
    """

    def __init__(self, classes: list[str]):
        self.classes = classes
        self.index = {name: i for i, name in enumerate(classes)}
        self.confusion = np.zeros((len(classes), len(classes)), np.int64)
        """Truths down, answers across."""
        self.auroc = AUROC(len(classes))
        self.groups = Groups(1 + 3 * BINS)
        """In the top five, then for each bin: samples, confidence, right ones."""

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        scores = np.array([[answer["scores"][name] for name in self.classes] for answer in answers], np.float32)
        labels, answered = ([self.index[each["label"]] for each in given] for given in (truths, answers))
        self.update_arrays(scores.reshape(-1, len(self.classes)), np.array(labels), np.array(answered))

    def update_arrays(self, probabilities: Array, labels: Array, answered: Array | None = None) -> None:
        """The fast path: probabilities (B, K) float32, class numbers (B,), and those answered, else the likeliest."""
        if not len(labels):
            return
        answers, K = probabilities.argmax(1) if answered is None else answered, len(self.classes)
        self.confusion += np.bincount(labels * K + answers, minlength=K * K).reshape(K, K)
        self.auroc.add(probabilities, labels)
        own = probabilities[np.arange(len(labels)), labels]
        confidence = probabilities[np.arange(len(labels)), answers].astype(np.float64)
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        sums = np.zeros((len(labels), 1 + 3 * BINS))
        rows = np.arange(len(labels))
        before = np.arange(K) < labels[:, None]  # of equals, the first comes first, as in argmax
        sums[:, 0] = ((probabilities > own[:, None]) | (probabilities == own[:, None]) & before).sum(1) < 5
        for i, values in enumerate((1, confidence, answers == labels)):
            sums[rows, 1 + i * BINS + bins] = values
        self.groups.add(sums)

    @property
    def count(self) -> int:
        """Samples so far."""
        return int(self.confusion.sum())

    def compute(self) -> dict[str, float]:
        nothing = not self.count
        total = self.groups.total()[None]
        numbers = {
            "accuracy": float("nan") if nothing else np.trace(self.confusion) / self.count,
            "macro_f1": float("nan") if nothing else _macro_f1(self.confusion),
            "auroc": self.auroc.value(),
            "ece": float("nan") if nothing else _calibration(total)[0],
        }
        if len(self.classes) > 5:
            numbers["top5"] = float("nan") if nothing else _top5(total)[0]
        for name, (hits, of) in self._shares().items():
            numbers |= zip(self._named(name), share(hits, of), strict=True)
        return {name: float(value) for name, value in numbers.items()}

    def _shares(self) -> dict[str, tuple[Array, Array]]:
        """Hits and samples (K,) of each class, by what their quotient is."""
        both, own, answered = np.diag(self.confusion), self.confusion.sum(1), self.confusion.sum(0)
        others = self.count - own
        return {"sensitivity": (both, own), "specificity": (others - (answered - both), others)}

    def _named(self, name: str) -> list[str]:
        return [f"{name}.{of}" for of in self.classes]

    def intervals(self) -> dict[str, tuple[float, float]]:
        if not self.count:
            return {}
        accuracy, macro_f1 = self._resampled()
        found = {
            "accuracy": percentiles(accuracy),
            "macro_f1": percentiles(macro_f1),
            "auroc": self.auroc.interval(),
        }  # none for ece: a bootstrap of it is biased upwards, its bins' errors being absolute
        if len(self.classes) > 5:
            found["top5"] = self.groups.interval(_top5)
        for name, (hits, of) in self._shares().items():
            low, high = (limit.tolist() for limit in wilson(hits, of))
            found |= zip(self._named(name), zip(low, high, strict=True), strict=True)
        return found

    def _resampled(self, replicas: int = 1000) -> tuple[Array, Array]:
        """Accuracy and macro-F1 of resampled tables: drawing rows is a multinomial over the cells."""
        rng = np.random.default_rng(0)
        cells, K = np.flatnonzero(self.confusion), len(self.classes)
        share = self.confusion.reshape(-1)[cells] / self.count
        accuracy, macro_f1 = np.empty(replicas), np.empty(replicas)
        table = np.zeros(K * K, np.int64)
        for i in range(replicas):
            table[cells] = rng.multinomial(self.count, share)
            square = table.reshape(K, K)
            accuracy[i], macro_f1[i] = np.trace(square) / self.count, _macro_f1(square)
        return accuracy, macro_f1

    def calibration(self) -> tuple[Array, Array, Array]:
        """Samples, mean confidence and accuracy of each of the 15 bins; nan in an empty one."""
        n, confidence, right = self.groups.total()[1:].reshape(3, BINS)
        with np.errstate(invalid="ignore"):
            return n, confidence / n, right / n

    def curve(self, column: int) -> tuple[Array, Array]:
        """Scores of one class and whether each row is of it, for rows that AUROC keeps; of two classes, ask for 1."""
        return self.auroc.curve(column)

    def state_dict(self) -> dict[str, Any]:
        return {"confusion": self.confusion, "auroc": self.auroc.state_dict(), "groups": self.groups.state_dict()}

    def merge(self, state: dict[str, Any]) -> None:
        self.confusion = self.confusion + np.asarray(state["confusion"])
        self.auroc.merge(state["auroc"])
        self.groups.merge(state["groups"])


def _macro_f1(confusion: Array) -> float:
    both = confusion.sum(0) + confusion.sum(1)
    there = both > 0
    return float((2 * np.diag(confusion)[there] / both[there]).mean())


def _calibration(sums: Array) -> Array:
    n, confidence, right = sums[:, 1:].reshape(len(sums), 3, BINS).transpose(1, 0, 2)
    return np.abs(confidence - right).sum(1) / n.sum(1)


def _top5(sums: Array) -> Array:
    return sums[:, 0] / sums[:, 1 : 1 + BINS].sum(1)
