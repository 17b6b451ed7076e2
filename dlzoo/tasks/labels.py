"""What classes a sample may have: one of them (tasks/one_label.py), or any number (tasks/many_labels.py)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from torch import Tensor

from dlzoo.data.dataset import Sample
from dlzoo.errors import DataError, UserError, choose, did_you_mean, printable
from dlzoo.metrics.metric import Answer, Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Labels(ABC):
    """The classes of a training split, and everything about outputs (B, K) and targets that depends on how many of
    them a sample has.
    """

    key: str
    """Of a sample, of an example and of a batch's targets."""
    monitor: str
    baseline: str

    def __init__(self, balance: bool):
        self.balance = balance
        self.know([], [], 0)

    @abstractmethod
    def fit(self, values: Sequence[Any]) -> None:
        """Classes by name, in sorted order, and how often each occurs. Raises DataError for too few."""

    def know(self, classes: list[str], counts: list[int], samples: int) -> None:
        """Take over what `fit` found: the classes, the samples of each, and of all."""
        self.classes, self.counts, self.samples = classes, counts, samples
        self.index = {name: i for i, name in enumerate(classes)}
        self.weight = self.weigh() if self.balance and classes else None

    @abstractmethod
    def weigh(self) -> Tensor:
        """The weight (K,) of each class in a balanced loss."""

    @abstractmethod
    def encode(self, sample: Sample) -> Tensor:
        """The target of a sample. Raises DataError for a class that the training split lacks."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The sum of the loss of outputs (B, K); linear in the target."""

    @abstractmethod
    def probabilities(self, outputs: Tensor) -> Tensor:
        """Float32 probabilities (B, K) of outputs (B, K)."""

    @abstractmethod
    def answers(self, probabilities: Tensor, threshold: str | None = None) -> list[Answer]:
        """Answers from probabilities (B, K). Raises UserError for a threshold that is none."""

    @abstractmethod
    def truth(self, target: Tensor) -> list[Answer]:
        """The perfect answers."""

    @abstractmethod
    def guess(self) -> Answer:
        """The answer that how often each class occurs gives."""

    @abstractmethod
    def metrics(self) -> list[Metric]:
        """Fresh metrics."""

    @abstractmethod
    def update(self, metrics: list[Metric], probabilities: Tensor, target: Tensor) -> None:
        """Feed the metrics with a batch."""

    @abstractmethod
    def plot(self, metrics: list[Metric]) -> dict[str, Figure]:
        """Figures of what the metrics saw."""

    def number(self, name: str, sample: Sample) -> int:
        """The number of a class. Raises DataError, with the sample's source, for one that is not known."""
        return class_number(name, self.index, sample)

    def least(self, threshold: str, form: str) -> tuple[int | None, float]:
        """The class that `CLASS=SCORE` is of, None for a `SCORE` alone, and the score. Raises UserError otherwise."""
        name, equals, value = threshold.rpartition("=")
        try:
            score = float(value)
        except ValueError:
            score = math.nan
        if not 0 <= score <= 1 or bool(name) != bool(equals):
            raise UserError(f"--threshold {printable(threshold)}: write it as {form}, a score of 0 to 1")
        if equals and name not in self.index:
            raise UserError(f"--threshold: {choose(name, self.classes, 'class')}")
        return self.index[name] if equals else None, score

    def state_dict(self) -> dict[str, Any]:
        """What `fit` learned, as plain values."""
        return {"classes": self.classes, "counts": self.counts, "samples": self.samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`; other keys are left alone."""
        self.know(state["classes"], state["counts"], state.get("samples", sum(state["counts"])))


def class_number(name: str, index: dict[str, int], sample: Sample) -> int:
    """The number of a class in `index`. Raises DataError, with where `sample` is from, for one that is not there."""
    if (number := index.get(name)) is None:
        shown = ", ".join(map(printable, islice(index, 20))) + (", ..." if len(index) > 20 else "")
        raise DataError(
            f"{where(sample)}class '{printable(str(name))}' does not occur in the training split."
            f"{did_you_mean(name, index)} The classes are: {shown}."
        )
    return number


def where(sample: Sample) -> str:
    """`file:row: ` of a sample that knows where it is from, for the front of a message."""
    return f"{printable(str(sample['source']))}: " if "source" in sample else ""
