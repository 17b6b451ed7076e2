"""The contract of a metric: sums, counts or bounded state, fed batch by batch."""

from abc import ABC, abstractmethod
from typing import Any

Answer = dict[str, Any]
"""One answer, as `dlzoo predict` writes it and as the metrics read it."""


class Metric(ABC):
    """Streams over answers and truths; its state adds up across batches and across processes."""

    @abstractmethod
    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        """Take in one batch: the two lists are parallel."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The numbers so far, by name; `nan` where one is undefined (AUROC with one class)."""

    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals by bootstrap over the samples, for the names of `compute` that have one."""
        return {}

    @property
    def signatures(self) -> dict[str, str]:
        """How numbers were computed, by their names, where there are several ways: printed and saved beside them."""
        return {}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """The state as plain values and numpy arrays."""

    @abstractmethod
    def merge(self, state: dict[str, Any]) -> None:
        """Add the state of the same metric from another process."""
