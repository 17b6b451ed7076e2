"""One number a sample, or several by name: mean absolute error, root mean squared error, R2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlzoo.metrics.bootstrap import Array, Groups
from dlzoo.metrics.metric import Answer, Metric


class Regression(Metric):
    """Reads `value` of answers and truths, in the user's unit.

    mae, rmse, and r2 = 1 - SSE / SST, nan where the truths do not vary. State: 2,000 groups of five sums.
    """

    def __init__(self) -> None:
        self.groups = Groups(5)
        """Samples, |error|, error squared, truth, truth squared; truths counted from the first one, for precision."""
        self.origin: float | None = None

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        values, right = [a["value"] for a in answers], [t["value"] for t in truths]
        self.update_arrays(np.array(values, float), np.array(right, float))

    def update_arrays(self, values: Array, truths: Array) -> None:
        """The fast path: two arrays (B,)."""
        if not len(truths):
            return
        values, truths = values.astype(np.float64), truths.astype(np.float64)
        self.origin = float(truths[0]) if self.origin is None else self.origin
        error, away = values - truths, truths - self.origin
        self.groups.add(np.stack([np.ones_like(error), np.abs(error), error**2, away, away**2], 1))

    def compute(self) -> dict[str, float]:
        total = self.groups.total()[None]
        with np.errstate(divide="ignore", invalid="ignore"):
            return {name: float(of(total)[0]) for name, of in _NUMBERS.items()}

    def intervals(self) -> dict[str, tuple[float, float]]:
        return {name: self.groups.interval(of) for name, of in _NUMBERS.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"groups": self.groups.state_dict(), "origin": self.origin}

    def merge(self, state: dict[str, Any]) -> None:
        if state["origin"] is None:
            return
        self.origin = state["origin"] if self.origin is None else self.origin
        sums, shift = np.array(state["groups"]["sums"], float), state["origin"] - self.origin
        n, away = sums[:, 0].copy(), sums[:, 3].copy()
        sums[:, 3] += n * shift
        sums[:, 4] += 2 * shift * away + n * shift**2
        self.groups.merge(state["groups"] | {"sums": sums})


def _mae(sums: Array) -> Array:
    return sums[:, 1] / sums[:, 0]


def _rmse(sums: Array) -> Array:
    return np.sqrt(sums[:, 2] / sums[:, 0])


def _r2(sums: Array) -> Array:
    spread = sums[:, 4] - sums[:, 3] ** 2 / sums[:, 0]
    return 1 - sums[:, 2] / np.where(spread > 1e-12 * sums[:, 4], spread, np.nan)


_NUMBERS = {"mae": _mae, "rmse": _rmse, "r2": _r2}


def nearest(values: Array, truths: Array, period: float | None) -> Array:
    """Values that come round to the same after a period, each in the turn that is nearest to its truth."""
    return truths + (values - truths + period / 2) % period - period / 2 if period else values


class Regressions(Metric):
    """Reads `values`, a number for each name, of answers and truths: of each, the numbers of Regression.

    They are called mae.angle and so on; where there is one name, mae. A number that goes round after `periods[name]` is
    as far from the truth as the shorter way around, and has no r2.
    """

    def __init__(self, names: Sequence[str], periods: Mapping[str, float] | None = None):
        self.parts = {name: Regression() for name in names}
        self.periods = periods or {}

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        values, right = ([[row["values"][name] for name in self.parts] for row in rows] for rows in (answers, truths))
        self.update_arrays(np.array(values, float), np.array(right, float))

    def update_arrays(self, values: Array, truths: Array) -> None:
        """The fast path: two arrays (B, N), in the order of the names."""
        for (name, part), value, truth in zip(self.parts.items(), values.T, truths.T, strict=True):
            part.update_arrays(nearest(value, truth, self.periods.get(name)), truth)

    def compute(self) -> dict[str, float]:
        return self._named({name: part.compute() for name, part in self.parts.items()})

    def intervals(self) -> dict[str, tuple[float, float]]:
        return self._named({name: part.intervals() for name, part in self.parts.items()})

    def _named(self, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
        return {
            key if len(found) == 1 else f"{key}.{name}": value
            for name, numbers in found.items()
            for key, value in numbers.items()
            if key != "r2" or name not in self.periods
        }

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self.parts.items()}

    def merge(self, state: dict[str, Any]) -> None:
        for name, part in self.parts.items():
            part.merge(state[name])
