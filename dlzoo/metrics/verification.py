"""Same or not: how well the similarity of two embeddings tells pairs of one label from pairs of two."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np

from dlzoo.metrics.bootstrap import Array, percentiles, resample
from dlzoo.metrics.metric import Answer, Metric

CAP = 2000
"""Embeddings that are kept, which makes two million pairs."""
FOLDS = 10
FARS = {"tar_at_far_1e-2": 0.01, "tar_at_far_1e-3": 0.001}
SAMPLE, REPLICAS = 10_000, 500
"""Pairs of one label, and of two, that an interval is computed from; how often labels are drawn for it."""
FEW = 8
"""Labels below which there is no interval."""


class Verification(Metric):
    """Reads `embedding`, a Tensor (D,) of length 1, of answers, and `label` of truths; scores all pairs of samples.

    eer: the equal error rate, where as many pairs of two labels are taken for the same as pairs of one are not;
    `threshold` is the cosine similarity there. auroc. tar_at_far_1e-2: the share of pairs of one label above a
    threshold that 1 % of the others pass at most; so 1e-3. pair_accuracy: of ten folds of pairs (Huang et al., 2007,
    the protocol of LFW), each at the threshold that is best on the other nine, the mean; pairs of one and of two labels
    weigh alike, which in LFW's lists they do by number.

    Up to 2,000 samples are kept. Beyond, whole couples of a label's samples are dropped by a hash, so that there always
    are pairs of one label. With `listed` (the places of the one and of the other, each (P,), and the fold of each pair
    or None), samples whose truth has a `place` are all kept, and scored are the pairs of the list alone. Intervals
    resample labels, not pairs, which depend on each other (Bolle et al., 2004).
    """

    def __init__(self, cap: int = CAP, listed: tuple[Array, Array, Array | None] | None = None):
        self.cap = cap
        self.listed = listed
        self.kept: list[tuple[Array, str, int, int]] = []
        """Embedding, label, hash of the couple, place in the list or -1."""
        self.seen: dict[str, int] = {}
        self.every = 1

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        embeddings = np.array([answer["embedding"].cpu().numpy() for answer in answers])
        places = [truth["place"] for truth in truths] if truths and "place" in truths[0] else None
        self.update_arrays(embeddings, [truth["label"] for truth in truths], places)

    def update_arrays(self, embeddings: Array, labels: list[str], places: list[int] | None = None) -> None:
        """The fast path: embeddings (B, D), and the labels and places of as many samples."""
        for i, (embedding, label) in enumerate(zip(embeddings, labels, strict=True)):
            number = self.seen[label] = self.seen.get(label, -1) + 1
            couple = crc32(f"{number // 2} {label}".encode())
            self._keep((embedding.astype(np.float32), label, couple, -1 if places is None else places[i]))

    def _keep(self, sample: tuple[Array, str, int, int]) -> None:
        if sample[3] >= 0:
            self.kept.append(sample)
        elif sample[2] % self.every == 0:
            self.kept.append(sample)
            while len(self.kept) > self.cap:
                self.every *= 2
                self.kept = [sample for sample in self.kept if sample[2] % self.every == 0]

    def pairs(self) -> tuple[Array, Array]:
        """Of all pairs that are scored: the similarity, and whether they have one label, each (P,)."""
        scores, _, _, same, _ = self._pairs()
        return scores, same

    def _pairs(self) -> tuple[Array, Array, Array, Array, Array]:
        """Similarity, the numbers of the two labels, whether they are the same, and the fold."""
        if not self.kept:
            nothing = np.zeros(0, int)
            return np.zeros(0), nothing, nothing, np.zeros(0, bool), nothing
        # in an order that is the same however samples were dealt to processes, as pairs are dealt to folds by it
        kept = sorted(self.kept, key=lambda sample: (sample[1], sample[0].tolist()))
        embeddings = np.stack([sample[0] for sample in kept])
        number = np.unique([sample[1] for sample in kept], return_inverse=True)[1]
        places = np.array([sample[3] for sample in kept])
        if self.listed is not None and places[0] >= 0:
            one, other, fold = self.listed
            at = np.full(max(one.max(), other.max()) + 1, -1)
            at[places] = np.arange(len(places))
            there = (at[one] >= 0) & (at[other] >= 0)
            one, other, fold = at[one[there]], at[other[there]], None if fold is None else fold[there]
            similarity = (embeddings[one] * embeddings[other]).sum(1)
        else:
            (one, other), fold = np.triu_indices(len(number), 1), None
            similarity = (embeddings @ embeddings.T)[one, other]
        same = number[one] == number[other]
        return similarity, number[one], number[other], same, _dealt(same) if fold is None else fold

    def compute(self) -> dict[str, float]:
        scores, _, _, same, fold = self._pairs()
        if same.all() or not same.any():
            return dict.fromkeys(NAMES, float("nan"))
        curve = Curve(scores, same)
        eer, threshold = curve.equal()
        numbers = [curve.accuracy(fold), curve.area(), eer, *map(curve.accepted, FARS.values()), threshold]
        return dict(zip(NAMES, numbers, strict=True))

    def intervals(self) -> dict[str, tuple[float, float]]:
        scores, one, other, same, _ = self._pairs()
        labels = len({sample[1] for sample in self.kept})
        if labels < FEW or not same.any():
            return {}
        some = np.concatenate([_some(np.flatnonzero(same)), _some(np.flatnonzero(~same))])
        scores, one, other, same = (values[some] for values in (scores, one, other, same))
        found = []
        for weights in resample(labels, REPLICAS):
            for weight in weights:
                drawn = np.where(same, weight[one], weight[one] * weight[other])
                if drawn[same].any() and drawn[~same].any():
                    curve = Curve(scores, same, drawn)
                    found.append((curve.area(), curve.equal()[0]))
        areas, errors = np.array(found).reshape(-1, 2).T
        return {"auroc": percentiles(areas), "eer": percentiles(errors)}

    def state_dict(self) -> dict[str, Any]:
        embeddings, *rest = zip(*self.kept, strict=True) if self.kept else [()] * 4
        return {"embeddings": np.array(embeddings), "kept": rest, "seen": self.seen, "every": self.every}

    def merge(self, state: dict[str, Any]) -> None:
        self.every = max(self.every, state["every"])
        both = [*self.kept, *zip(np.asarray(state["embeddings"]), *state["kept"], strict=True)]
        self.kept = []
        for sample in both:
            self._keep(sample)
        for label, number in state["seen"].items():
            self.seen[label] = self.seen.get(label, -1) + number + 1


NAMES = ("pair_accuracy", "auroc", "eer", *FARS, "threshold")


class Curve:
    """The trade between false and true acceptances, from scores (N,), whether each is right (N,), and weights (N,)."""

    def __init__(self, scores: Array, right: Array, weights: Array | None = None):
        self.order = np.argsort(-scores, kind="stable")
        self.scores, self.right = scores[self.order], right[self.order]
        self.last = np.append(np.flatnonzero(np.diff(self.scores)), len(scores) - 1)
        """Of equal scores, which are accepted together, the last."""
        weight = np.ones(len(scores)) if weights is None else weights[self.order].astype(float)
        self.tar, self.far = (self._share(weight * part) for part in (self.right, ~self.right))

    def _share(self, weights: Array) -> Array:
        """Of `weights`, in the order of the scores, the share that is accepted at each place, from none on."""
        summed = np.cumsum(weights)
        return np.append(0.0, summed[self.last]) / summed[-1]

    def area(self) -> float:
        """Under the ROC curve; equal scores count half."""
        return float(np.trapezoid(self.tar, self.far))

    def equal(self) -> tuple[float, float]:
        """The equal error rate, on the straight line between the two places around it; and the threshold."""
        gap = self.far + self.tar - 1
        place = int(np.argmax(gap >= 0))
        share = -gap[place - 1] / (gap[place] - gap[place - 1])
        error = self.far[place - 1] + share * (self.far[place] - self.far[place - 1])
        return float(error), self._threshold(place)

    def _threshold(self, place: int) -> float:
        """Halfway between the last score that is accepted at a place and the next."""
        levels = self.scores[self.last]
        return float(levels[max(0, place - 1) : place + 1].mean())

    def accepted(self, far: float) -> float:
        """The largest true acceptance rate with at most `far` of false ones."""
        return float(self.tar[self.far <= far].max())

    def accuracy(self, fold: Array) -> float:
        """The mean over folds (N,) of (1 + TAR - FAR) / 2, each at the threshold that is best on the others."""
        fold, found = fold[self.order], []
        for number in range(int(fold.max()) + 1):
            inside = fold == number
            right, others = self.right[inside], self.right[~inside]
            if right.any() and others.any() and not right.all() and not others.all():
                curve = Curve(self.scores[~inside], others)
                above = self.scores[inside] >= curve._threshold(int(np.argmax(curve.tar - curve.far)))
                found.append((above[right].mean() + (~above)[~right].mean()) / 2)
        return float(np.mean(found)) if found else float("nan")


def _some(places: Array) -> Array:
    """Up to SAMPLE of the places, evenly spread."""
    return places[np.linspace(0, len(places) - 1, min(len(places), SAMPLE)).astype(int)]


def _dealt(same: Array) -> Array:
    """A fold for each pair, those of one label and those of two dealt in turn."""
    return np.where(same, np.cumsum(same), np.cumsum(~same)) % FOLDS
