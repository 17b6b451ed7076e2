"""Samples that cannot be read and are left out, where a config says so: counted, the first named, up to a ceiling."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dlzoo.errors import DataError

if TYPE_CHECKING:
    from dlzoo.data.dataset import Dataset

NAMED, KEPT = 5, 20
"""Skipped samples that a sentence names, and that run.json and `check` do."""


class Skipped:
    """What is left out of a dataset: rows that never became samples, and samples that cannot be decoded.

    A function of the data alone: they are found before the data is split, whatever reads it later, in whichever order.
    most: a share of all samples below 1, else a number of them.
    """

    def __init__(self, most: float):
        self.most = most
        self.rows = 0
        """Rows of files that never became samples."""
        self.indices: set[int] = set()
        """Samples that are there and cannot be decoded."""
        self.first: list[str] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return self.rows + len(self.indices)

    def add(self, error: DataError, index: int | None = None) -> None:
        """Leave out sample `index`, or a row that has become none."""
        if index is None:
            self.rows += 1
        else:
            self.indices.add(index)
        self.first += [str(error).splitlines()[0]] if len(self.first) < KEPT else []

    def find(self, dataset: Dataset, progress: Callable[[Iterable[int]], Iterable[int]] = iter) -> None:
        """Read every sample once. Raises DataError where more than `most` cannot be; else the dataset notes them."""
        for index in progress(range(len(dataset))):
            try:
                dataset[index]
            except DataError as error:
                self.add(error, index)
        self.check(len(dataset) + self.rows)
        if self.count:
            dataset.notes.append(str(self))

    def check(self, total: int) -> None:
        """Raise DataError if more than `most` of `total` samples are left out."""
        if self.count > (self.most * total if self.most < 1 else self.most):
            raise DataError(
                f"{self.count:,} of {total:,} samples cannot be read, more than data.max_skipped: {self.most:g}. "
                f"The first: {self.first[0]}\nMend or remove them; `dlzoo check --data` names more."
            )

    def __str__(self) -> str:
        verb = "sample is" if self.count == 1 else "samples are"
        named = "; ".join(self.first[:NAMED]) + (" ..." if self.count > NAMED else "")
        return f"{self.count:,} {verb} skipped, which cannot be read: {named}"

    def to_dict(self) -> dict[str, Any]:
        """As run.json and `--json` have it."""
        return {"count": self.count, "first": self.first}
