"""Any number of labels a sample: F1, mean average precision, AUROC, sensitivity and specificity of each class."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlzoo.metrics.auroc import AUROC
from dlzoo.metrics.bootstrap import Array, Groups
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.metrics.proportion import share, wilson

THRESHOLD = 0.5
"""The score from which on a label is answered, unless another is asked for."""


class MultiLabel(Metric):
    """Reads `labels` and `scores` of answers, `labels` of truths.

    Of the labels: micro_f1, of all classes together; macro_f1, the mean over the classes that occur in answers or
    truths; `sensitivity.CLASS` and `specificity.CLASS`, with Wilson's intervals. Of the scores: map, the mean over
    classes of the average precision, `ap.CLASS`; auroc, the mean of one class against the rest, see metrics/auroc.py.

    State: up to 250,000 scores, 2,000 groups of 3 K counts.
    """

    def __init__(self, classes: list[str]):
        self.classes = classes
        self.ranking = AUROC(len(classes), many=True)
        self.groups = Groups(3 * len(classes))
        """Of each class: found, answered wrongly, missed."""

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        scores = np.array([[answer["scores"][name] for name in self.classes] for answer in answers], np.float32)
        there, answered = (
            np.array([[name in each["labels"] for name in self.classes] for each in given]).reshape(scores.shape)
            for given in (truths, answers)
        )
        self.update_arrays(scores, there, answered)

    def update_arrays(self, probabilities: Array, there: Array, answered: Array) -> None:
        """The fast path: probabilities (B, K) float32, and whether each class is there and was answered (B, K)."""
        if len(probabilities):
            self.ranking.add(probabilities, there)
            self.groups.add(np.concatenate([there & answered, ~there & answered, there & ~answered], 1).astype(float))

    def compute(self) -> dict[str, float]:
        counts, precisions = self.groups.total()[None], self.ranking.precisions()
        there = precisions[np.isfinite(precisions)]
        numbers = {
            "macro_f1": _macro_f1(counts)[0],
            "micro_f1": _micro_f1(counts)[0],
            "map": there.mean() if len(there) else float("nan"),
            "auroc": self.ranking.value(),
        }
        for name, (hits, of) in self._shares().items():
            numbers |= zip(self._named(name), share(hits, of), strict=True)
        numbers |= zip(self._named("ap"), precisions, strict=True)
        return {name: float(value) for name, value in numbers.items()}

    def intervals(self) -> dict[str, tuple[float, float]]:
        if not self.groups.count:
            return {}
        found = {
            "macro_f1": self.groups.interval(_macro_f1),
            "micro_f1": self.groups.interval(_micro_f1),
            "map": self.ranking.precision_interval(),
            "auroc": self.ranking.interval(),
        }
        for name, (hits, of) in self._shares().items():
            low, high = (limit.tolist() for limit in wilson(hits, of))
            found |= zip(self._named(name), zip(low, high, strict=True), strict=True)
        return found

    def _shares(self) -> dict[str, tuple[Array, Array]]:
        """Hits and samples (K,) of each class, by what their quotient is."""
        found, wrong, missed = self.groups.total().reshape(3, -1)
        others = self.groups.count - found - missed
        return {"sensitivity": (found, found + missed), "specificity": (others - wrong, others)}

    def _named(self, name: str) -> list[str]:
        return [f"{name}.{of}" for of in self.classes]

    def state_dict(self) -> dict[str, Any]:
        return {"ranking": self.ranking.state_dict(), "groups": self.groups.state_dict()}

    def merge(self, state: dict[str, Any]) -> None:
        self.ranking.merge(state["ranking"])
        self.groups.merge(state["groups"])


def _macro_f1(counts: Array) -> Array:
    found, wrong, missed = counts.reshape(len(counts), 3, -1).transpose(1, 0, 2)
    both = 2 * found + wrong + missed
    there = both > 0
    return share(np.where(there, share(2 * found, both), 0).sum(1), there.sum(1))


def _micro_f1(counts: Array) -> Array:
    found, wrong, missed = counts.reshape(len(counts), 3, -1).sum(2).T
    return share(2 * found, 2 * found + wrong + missed)
