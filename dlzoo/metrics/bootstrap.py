"""95 % intervals from bounded state: the bootstrap (Efron, 1979) over groups of samples.

Up to 2,000 samples each is a group of its own, which is the ordinary bootstrap; beyond, a group holds sums of several.
All draws are seeded, so that the same scores have the same interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

GROUPS = 2000
REPLICAS = 1000


class Groups:
    """Sums of F numbers a sample, in up to 2,000 groups.

    Independent samples are dealt to the groups in turn. With `block` (windows of one series depend on neighbours),
    groups are runs of at least `block` samples in a row: the block bootstrap (Carlstein, 1986).
    """

    def __init__(self, width: int, block: int = 0):
        self.block = block
        self.size = max(1, block)
        self.count = 0
        self.sums = np.zeros((0, width))

    def add(self, values: Array) -> None:
        """Take in `values` (B, F)."""
        places = self.count + np.arange(len(values))
        self.count += len(values)
        if self.block:
            while (self.count - 1) // self.size >= GROUPS:
                self._halve()
            places //= self.size
        else:
            places %= GROUPS
        self._grow(int(places.max(initial=-1)) + 1)
        np.add.at(self.sums, places, values)

    def _halve(self) -> None:
        self._grow(len(self.sums) + len(self.sums) % 2)
        self.sums = self.sums[0::2] + self.sums[1::2]
        self.size *= 2

    def _grow(self, groups: int) -> None:
        if groups > len(self.sums):
            self.sums = np.concatenate([self.sums, np.zeros((groups - len(self.sums), self.sums.shape[1]))])

    def total(self) -> Array:
        """The sums (F,) over all samples."""
        return self.sums.sum(0)

    def interval(self, statistic: Callable[[Array], Array]) -> tuple[float, float]:
        """Percentiles 2.5 and 97.5 of a `statistic` of resampled sums (R, F); nan with fewer than 8 groups."""
        if len(self.sums) < 8:
            return float("nan"), float("nan")
        with np.errstate(divide="ignore", invalid="ignore"):
            return percentiles(np.concatenate([statistic(weights @ self.sums) for weights in resample(len(self.sums))]))

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums, "count": self.count, "size": self.size}

    def merge(self, state: dict[str, Any]) -> None:
        """Add the groups of another process, laid out after those that are here."""
        sums, count = np.asarray(state["sums"]), int(state["count"])
        if self.block:
            other = Groups(sums.shape[1], self.block)
            other.sums, other.count, other.size = sums, count, int(state["size"])
            self.sums = np.concatenate([self._sized(other.size), other._sized(self.size)])
            self.size = max(self.size, other.size)
            while len(self.sums) > GROUPS:
                self._halve()
            self.count = len(self.sums) * self.size  # the next sample opens a new group
            return
        places = (self.count + np.arange(len(sums))) % GROUPS
        self._grow(int(places.max(initial=-1)) + 1)
        np.add.at(self.sums, places, sums)
        self.count += count

    def _sized(self, size: int) -> Array:
        while self.size < size:
            self._halve()
        return self.sums


def resample(groups: int, replicas: int = REPLICAS, seed: int = 0) -> Iterator[Array]:
    """How often each of `groups` is drawn, with replacement, as many times as there are: (100, groups) at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, replicas, 100):
        drawn = rng.integers(groups, size=(min(100, replicas - start), groups))
        yield np.stack([np.bincount(row, minlength=groups) for row in drawn]).astype(np.float64)


def percentiles(values: Array) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the values that are numbers; nan where there are none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
