"""Who is it: the share of samples that are named right, of those whose label was trained on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from dlzoo.metrics.bootstrap import Array, Groups
from dlzoo.metrics.metric import Answer, Metric


class Identification(Metric):
    """Reads `label` of answers and truths. accuracy: of the samples with one of the `known` labels, those named right.

    Strangers cannot be named; where all are, there is no number.
    """

    def __init__(self, known: Collection[str]):
        self.known = known
        self.groups = Groups(2)
        """Samples of known labels, right ones."""

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        pairs = [(a["label"], t["label"]) for a, t in zip(answers, truths, strict=True) if t["label"] in self.known]
        self.groups.add(np.array([[1, answer == truth] for answer, truth in pairs], float).reshape(-1, 2))

    def compute(self) -> dict[str, float]:
        return {"accuracy": float(_accuracy(self.groups.total()[None])[0])} if self.groups.count else {}

    def intervals(self) -> dict[str, tuple[float, float]]:
        return {"accuracy": self.groups.interval(_accuracy)} if self.groups.count else {}

    def state_dict(self) -> dict[str, Any]:
        return self.groups.state_dict()

    def merge(self, state: dict[str, Any]) -> None:
        self.groups.merge(state)


def _accuracy(sums: Array) -> Array:
    return sums[:, 1] / sums[:, 0]
