"""How well scores rank: area under the ROC curve, average precision; exact while the scores fit, binned beyond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlzoo.metrics.bootstrap import Array, percentiles, resample

CAP = 250_000
"""Scores (rows times classes) that are kept as they are."""
SAMPLE = 200_000
"""Rows, evenly spread, that an interval is computed from."""
Statistic = Callable[[Array, Array], Array]
"""A number from how many negatives and positives (..., bins) lie in bins of rising scores."""
EDGE = 20.0
"""Bins span log-odds from -20 to 20; float32 has no probability above 1 / (1 + e^-17) but 1."""


class AUROC:
    """Scores of K classes against labels: one against the rest, averaged over the classes with rows in and out.

    Of two classes the second is the positive one, unless rows have any number of labels (`many`). Up to 250,000 scores
    are kept, and the area is exact (ties count half); beyond, it comes from up to 8,192 bins of log-odds a class, and a
    thinned, evenly spread part of the rows is kept for the interval.
    """

    def __init__(self, classes: int, cap: int = CAP, many: bool = False):
        self.classes, self.many = classes, many
        self.pair = classes == 2 and not many
        self.columns = 1 if self.pair else classes
        self.bins = max(64, min(8192, 1_000_000 // self.columns))
        self.cap = max(1, cap // self.columns)
        self.chunks: list[tuple[Array, Array]] = []
        self.kept = self.rows = 0
        self.every = 1
        self.histogram: Array | None = None

    def add(self, probabilities: Array, labels: Array) -> None:
        """Take in probabilities (B, K) and class numbers (B,), of many labels whether each class is there (B, K)."""
        scores = probabilities[:, 1:] if self.pair else probabilities
        kind = np.bool_ if self.many else np.uint8 if self.classes <= 256 else np.int32
        first = -self.rows % self.every
        self.rows += len(labels)
        self._keep(scores[first :: self.every].astype(np.float32), labels[first :: self.every].astype(kind))
        if self.histogram is not None:
            self._bin(scores, labels)
        while self.kept > self.cap:
            self._thin()

    def _keep(self, scores: Array, labels: Array) -> None:
        self.chunks.append((scores, labels))
        self.kept += len(labels)
        if len(self.chunks) > 512:
            self.chunks = [self._all()]

    def _all(self) -> tuple[Array, Array]:
        """Every row that is kept: scores (N, columns) and labels (N,)."""
        if not self.chunks:
            return np.zeros((0, self.columns), np.float32), np.zeros((0, self.columns) if self.many else 0, np.uint8)
        return np.concatenate([s for s, _ in self.chunks]), np.concatenate([y for _, y in self.chunks])

    def _thin(self) -> None:
        """From exact to binned; from then on every second of the rows that are kept goes."""
        if self.histogram is None:
            self.histogram = np.zeros((self.columns, 2, self.bins), np.int64)
            for scores, labels in self.chunks:
                self._bin(scores, labels)
        scores, labels = self._all()
        self.chunks = [(scores[::2].copy(), labels[::2].copy())]
        self.kept, self.every = len(self.chunks[0][1]), self.every * 2

    def _bin(self, scores: Array, labels: Array) -> None:
        assert self.histogram is not None
        for start in range(0, len(labels), 16384):
            p = np.clip(scores[start : start + 16384].astype(np.float64), 1e-12, 1 - 1e-12)
            place = (np.log(p / (1 - p)) + EDGE) * (self.bins / (2 * EDGE))
            place = np.clip(place.astype(np.int64), 0, self.bins - 1)
            for k in range(self.columns):
                positive = self._positive(labels[start : start + 16384], k)
                counts = np.bincount(place[:, k] + self.bins * positive, minlength=2 * self.bins)
                self.histogram[k] += counts.reshape(2, -1)

    def _positive(self, labels: Array, column: int) -> Array:
        return labels[:, column] > 0 if self.many else labels == (1 if self.pair else column)

    def curve(self, column: int) -> tuple[Array, Array]:
        """Scores of one class and whether each row is of it, for the rows that are kept; of two classes, ask for 1."""
        scores, labels = self._all()
        return (scores[:, 0], labels == column) if self.pair else (scores[:, column], self._positive(labels, column))

    def value(self) -> float:
        """The area, averaged over classes; nan where no class has both positives and negatives."""
        return _mean(self._each(_exact, _area))

    def precisions(self) -> Array:
        """The average precision of each class (K,): the sum of precisions, each times the recall that it adds; nan for
        a class without positives.
        """
        return self._each(_exact_precision, _precision)

    def _each(self, exact: Callable[[Array, Array], float], binned: Statistic) -> Array:
        if self.histogram is not None:
            return np.array([binned(h[0], h[1]) for h in self.histogram])
        scores, labels = self._all()
        return np.array([exact(scores[:, k], self._positive(labels, k)) for k in range(self.columns)])

    def interval(self) -> tuple[float, float]:
        """95 % about `value`: see `around`."""
        return self.around(self.value(), _area)

    def precision_interval(self) -> tuple[float, float]:
        """95 % about the mean of `precisions`: see `around`."""
        return self.around(_mean(self.precisions()), _precision)

    def around(self, value: float, statistic: Statistic) -> tuple[float, float]:
        """95 % about a `value` that is the mean of a statistic over classes.

        By bootstrap of up to 200,000 rows in 2,000 groups, on 256 quantile bins a class.
        """
        step = -(-self.kept // SAMPLE) or 1
        scores, labels = (kept[::step] for kept in self._all())
        groups = min(2000, len(labels))
        if groups < 8:
            return float("nan"), float("nan")
        group = np.arange(len(labels)) % groups
        columns = range(self.columns)
        areas = np.stack(
            [self._replicas(scores[:, k], self._positive(labels, k), group, groups, statistic) for k in columns]
        )
        with np.errstate(invalid="ignore"):
            defined = np.isfinite(areas)
            mean = np.where(defined, areas, 0).sum(0) / np.where(defined.any(0), defined.sum(0), np.nan)
        spread = (mean[1:] - mean[0]) * np.sqrt(len(labels) / self.rows)
        low, high = percentiles(value + spread)
        return max(low, 0.0), min(high, 1.0)

    def _replicas(self, scores: Array, positive: Array, group: Array, groups: int, statistic: Statistic) -> Array:
        """The statistic of all rows, then that of each replica."""
        edges = np.unique(np.quantile(scores, np.linspace(0, 1, 256), method="nearest"))
        bins = len(edges)
        place = np.searchsorted(edges, scores, side="right") - 1
        counts = np.bincount((group * 2 + positive) * bins + place, minlength=groups * 2 * bins)
        counts = counts.reshape(groups, 2 * bins).astype(np.float64)
        drawn = [weights @ counts for weights in resample(groups, 500)]
        every = np.concatenate([counts.sum(0)[None], *drawn]).reshape(-1, 2, bins)
        return statistic(every[:, 0], every[:, 1])

    def state_dict(self) -> dict[str, Any]:
        scores, labels = self._all()
        return {"scores": scores, "labels": labels, "rows": self.rows, "every": self.every, "histogram": self.histogram}

    def merge(self, state: dict[str, Any]) -> None:
        scores, labels = np.asarray(state["scores"]), np.asarray(state["labels"])
        if state["histogram"] is not None and self.histogram is None:
            self._thin()
        while self.every < state["every"]:
            self._thin()
        if self.histogram is not None:
            if state["histogram"] is None:
                self._bin(scores, labels)
            else:
                self.histogram = self.histogram + np.asarray(state["histogram"])
        step = self.every // state["every"]
        self._keep(scores[::step], labels[::step])
        self.rows += state["rows"]
        while self.kept > self.cap:
            self._thin()


def _exact(scores: Array, positive: Array) -> float:
    """The share of pairs that are in order, ties half (Mann and Whitney, 1947)."""
    if not positive.any() or positive.all():
        return float("nan")
    low, high = np.sort(scores[~positive]), np.sort(scores[positive])
    wins = 0
    for part in np.array_split(high, len(high) // 65536 + 1):
        wins += int(np.searchsorted(low, part).sum()) + int(np.searchsorted(low, part, side="right").sum())
    return wins / 2 / len(low) / len(high)


def _area(negative: Array, positive: Array) -> Array:
    """The same from counts in ascending bins (..., bins)."""
    below = np.cumsum(negative, -1) - negative / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return (positive * below).sum(-1) / negative.sum(-1) / positive.sum(-1)


def _exact_precision(scores: Array, positive: Array) -> float:
    """The same as `_precision`, a bin for each different score."""
    different, places = np.unique(scores, return_inverse=True)
    negatives, positives = (np.bincount(places[which], minlength=len(different)) for which in (~positive, positive))
    return float(_precision(negatives, positives))


def _precision(negative: Array, positive: Array) -> Array:
    """The average precision from counts in ascending bins (..., bins)."""
    hits, false = (np.cumsum(counts[..., ::-1], -1) for counts in (positive, negative))
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(hits > 0, hits / (hits + false), 0)
        return (precision * positive[..., ::-1]).sum(-1) / positive.sum(-1)


def _mean(areas: Array) -> float:
    areas = areas[np.isfinite(areas)]
    return float(areas.mean()) if len(areas) else float("nan")
