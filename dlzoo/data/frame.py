"""Datasets whose samples are rows of columns in memory."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.errors import DataError, printable


@dataclass
class Columns:
    """The columns of a table: features by name, and the target as text and, where it is one of numbers, as numbers."""

    features: dict[str, Any] = field(default_factory=dict)
    """float64 arrays (N,) with NaN where missing, or lists of N texts with '' where missing."""
    label: list[str] = field(default_factory=list)
    value: np.ndarray | None = None

    def row(self, index: int) -> dict[str, str | float | None]:
        row: dict[str, str | float | None] = {}
        for name, values in self.features.items():
            if isinstance(values, list):
                row[name] = values[index] or None
            else:
                number = values.item(index)
                row[name] = number if number == number else None
        return row

    def column(self, name: str) -> list[Any]:
        """One feature, None where missing."""
        values = self.features[name]
        if isinstance(values, list):
            return [value or None for value in values]
        return [None if value != value else value for value in values.tolist()]

    def hashes(self) -> np.ndarray:
        """A 64-bit hash of each row with its target (N,): the same in every process and on every machine."""
        total = np.zeros(len(self.label), dtype=np.uint64)
        for i, values in enumerate([*self.features.values(), self.label]):
            words = _words(values) if isinstance(values, list) else (values + 0.0).view(np.uint64)
            total = _mix(total ^ _mix(words + np.uint64(i + 1)))
        return total


def _words(texts: Sequence[str]) -> np.ndarray:
    table = {text: int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) for text in set(texts)}
    return np.array([table[text] for text in texts], dtype=np.uint64)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014), modulo 2^64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class Frame(Dataset):
    """Rows with a target: `row` (text, number or None for each column), `label` (text), perhaps `value`."""

    target: str
    """The name of the column that is to be predicted."""

    @abstractmethod
    def _load(self) -> Columns:
        """Read everything."""

    @cached_property
    def columns(self) -> Columns:
        """All columns, read when first asked for."""
        return self._load()

    def __len__(self) -> int:
        return len(self.columns.label)

    def __getitem__(self, index: int) -> Sample:
        sample: Sample = {"row": self.columns.row(index), "label": self.columns.label[index]}
        if self.columns.value is not None:
            sample["value"] = self.columns.value.item(index)
        return sample

    def column(self, key: str) -> list[Any]:
        """`row`, `label` or `value` of every sample, or one column of the table by its name."""
        columns = self.columns
        if key == "row":
            return [columns.row(i) for i in range(len(self))]
        if key in ("label", self.target):
            return columns.label
        if key == "value":
            if columns.value is None:
                raise self._no_numbers()
            return columns.value.tolist()
        if key in columns.features:
            return columns.column(key)
        return self._other(key)

    def headings(self) -> Sequence[str]:
        return list(self.columns.features)

    def _other(self, key: str) -> list[Any]:
        """A column that is no feature."""
        raise DataError(
            f"there is no column '{printable(key)}'. Columns: {', '.join(map(printable, self.columns.features))}."
        )

    def _no_numbers(self) -> DataError:
        text = printable(self.columns.label[0])
        return DataError(f"{self.source(0)}: the target '{printable(self.target)}' is text ('{text}'), not numbers.")

    def contents(self) -> list[int]:
        return self.columns.hashes().tolist()
