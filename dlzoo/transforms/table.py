"""Rows of a table as tensors: scaled numbers and codes of categories, learned from the training rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlzoo.choices import Numbers
from dlzoo.errors import DataError, did_you_mean, printable

Row = dict[str, Any]
Floats = NDArray[np.float64]
KNOTS = 100
"""Quantiles that the map to a normal distribution goes through."""
FAR = 10.0
"""Scaled numbers are cut off beyond this, so that one absurd cell cannot drown the others."""


class TableEncoder:
    """Number columns scaled, category columns as codes.

    Numbers: `standard` subtracts the mean and divides by the standard deviation; `robust` subtracts the median, divides
    by the quartile range and bends outliers towards 3 (RealMLP, Holzmüller et al., 2024); `quantile` maps ranks to a
    normal distribution. A missing number is the median, and an indicator column says so where the training rows miss
    some. Columns that never vary are left out. Categories: codes from 1; a missing cell is a category like any other;
    code 0 is for what the training rows lack, or have fewer than `rare` times.
    """

    def __init__(self, numbers: Numbers = "standard", rare: int = 2):
        self.scale = numbers
        self.rare = rare
        self.columns: list[dict[str, Any]] = []
        """The name of each; of a number median, missing, and shift, divide or knots, normal; of a category values."""
        self.constant: list[str] = []

    def fit(self, rows: Sequence[Row]) -> None:
        """Learn from the training rows. Raises DataError where no column is left to learn from."""
        self.columns, self.constant = [], []
        for name in rows[0]:
            cells = [row[name] for row in rows]
            numbers = isinstance(next((cell for cell in cells if cell is not None), None), (int, float))
            column = self._number(name, cells) if numbers else self._category(name, cells)
            if column is None:
                self.constant.append(name)
            else:
                self.columns.append(column)
        if not self.columns:
            raise DataError(
                f"no column of the table varies in the training split: {', '.join(map(printable, rows[0]))}."
            )
        self._ready()

    def _number(self, name: str, cells: list[Any]) -> dict[str, Any] | None:
        values = _floats(name, cells, None)
        if np.isinf(values).any():
            raise DataError(f"column '{printable(name)}' has an infinite number in the training split.")
        there = values[~np.isnan(values)]
        missing = len(there) < len(values)
        if len(there) == 0 or (there.min() == there.max() and not missing):
            return None
        column: dict[str, Any] = {"name": name, "median": float(np.median(there)), "missing": missing}
        if self.scale == "quantile":
            knots, places = np.unique(np.quantile(there, np.linspace(0, 1, KNOTS + 1)), return_inverse=True)
            rank = np.bincount(places, np.linspace(0, 1, KNOTS + 1)) / np.bincount(places)
            share = torch.from_numpy(np.clip(rank, 0.001, 0.999))
            return column | {"knots": knots.tolist(), "normal": torch.special.ndtri(share).tolist()}
        if self.scale == "robust":
            low, high = np.quantile(there, [0.25, 0.75])
            return column | {"shift": column["median"], "divide": _spread(high - low, (there.max() - there.min()) / 2)}
        return column | {"shift": float(there.mean()), "divide": _spread(there.std(), 1.0)}

    def _category(self, name: str, cells: list[Any]) -> dict[str, Any] | None:
        counts = Counter(cells)
        if len(counts) < 2:
            return None
        known = sorted((value for value, n in counts.items() if n >= self.rare), key=lambda v: (v is not None, v))
        return {"name": name, "values": known}

    def _ready(self) -> None:
        self.numbers = [column for column in self.columns if "values" not in column]
        self.codes = [column for column in self.columns if "values" in column]
        self._code = {c["name"]: {value: i for i, value in enumerate(c["values"], 1)} for c in self.codes}
        self._median = np.array([column["median"] for column in self.numbers])
        self._shift = np.array([column.get("shift", 0.0) for column in self.numbers])
        self._divide = np.array([column.get("divide", 1.0) for column in self.numbers])
        self._gaps = np.flatnonzero([column["missing"] for column in self.numbers])

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        return [column["name"] for column in self.columns]

    @property
    def types(self) -> dict[str, str]:
        """`number` or `category`, for each column that is read."""
        return {column["name"]: "category" if "values" in column else "number" for column in self.columns}

    @property
    def features(self) -> int:
        """How many numbers F a row becomes."""
        return len(self.numbers) + sum(column["missing"] for column in self.numbers)

    @property
    def categories(self) -> list[int]:
        """How many codes each category column has, 0 included."""
        return [len(column["values"]) + 1 for column in self.codes]

    def __call__(self, rows: Sequence[Row], sources: Sequence[str] | None = None) -> dict[str, Tensor]:
        """`x` (N, F) float32 and, where there are category columns, `codes` (N, C) int64.

        Raises DataError that names the row by its source, for a column that is not there, text in a number column, or
        an infinite number.
        """
        try:
            codes = [[code.get(row[name], 0) for row in rows] for name, code in self._code.items()]
            cells = self._cells(rows)
        except KeyError:
            raise self._lacking(rows, sources) from None
        except (ValueError, TypeError, OverflowError):
            names = [column["name"] for column in self.numbers]
            cells = np.stack([_floats(name, [row[name] for row in rows], sources) for name in names], 1)
        if np.isinf(cells).any():
            i, k = np.argwhere(np.isinf(cells))[0].tolist()
            raise DataError(f"{_at(sources, i)}column '{printable(self.numbers[k]['name'])}' has an infinite number.")
        gone = np.isnan(cells)
        scaled = self._scaled(np.where(gone, self._median, cells))
        table = np.concatenate([scaled, gone[:, self._gaps]], 1, dtype=np.float32)
        tensors = {"x": torch.from_numpy(table)}
        if self.codes:
            tensors["codes"] = torch.tensor(codes, dtype=torch.long).mT.contiguous()
        return tensors

    def _cells(self, rows: Sequence[Row]) -> Floats:
        """The number columns (N, numbers), nan where missing."""
        names = [column["name"] for column in self.numbers]
        take = itemgetter(*names) if len(names) > 1 else lambda row: [row[name] for name in names]
        return np.array([take(row) for row in rows], np.float64).reshape(len(rows), len(names))

    def _lacking(self, rows: Sequence[Row], sources: Sequence[str] | None) -> DataError:
        i, name = next((i, name) for i, row in enumerate(rows) for name in self.names if name not in row)
        return DataError(
            f"{_at(sources, i)}there is no column '{printable(name)}', which the model was trained with."
            f"{did_you_mean(name, rows[i])} The columns here are: {', '.join(map(printable, rows[i]))}."
        )

    def _scaled(self, values: Floats) -> Floats:
        if self.scale == "quantile":
            maps = zip(values.T, self.numbers, strict=True)
            columns = [np.interp(column, known["knots"], known["normal"]) for column, known in maps]
            return np.stack(columns, 1) if columns else values
        scaled = (values - self._shift) / self._divide
        return scaled / np.hypot(1, scaled / 3) if self.scale == "robust" else np.clip(scaled, -FAR, FAR)

    def state_dict(self) -> dict[str, Any]:
        return {"columns": self.columns, "constant": self.constant}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.columns, self.constant = state["columns"], state["constant"]
        self._ready()


def _spread(value: float, otherwise: float) -> float:
    """A divisor that is not 0."""
    return float(value) if value > 0 else float(otherwise) or 1.0


def _floats(name: str, cells: list[Any], sources: Sequence[str] | None) -> Floats:
    """The cells of a number column, nan where missing. Raises DataError for text."""
    return np.array([_float(name, cell, sources, i) for i, cell in enumerate(cells)])


def _float(name: str, cell: Any, sources: Sequence[str] | None, row: int) -> float:
    try:
        return math.nan if cell is None or cell == "" else float(cell)
    except (ValueError, TypeError, OverflowError):
        raise DataError(
            f"{_at(sources, row)}column '{printable(name)}' holds numbers, and here is '{printable(str(cell))[:80]}'."
        ) from None


def _at(sources: Sequence[str] | None, row: int) -> str:
    return f"{printable(sources[row])}: " if sources else ""
