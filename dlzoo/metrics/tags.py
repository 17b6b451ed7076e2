"""A tag for each word: the share of right ones; where tags mark spans (names), precision, recall and F1 of those."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from dlzoo.metrics.bootstrap import Array, Groups
from dlzoo.metrics.metric import Answer, Metric

OUTSIDE = "O"
MARK = re.compile("([BIESLUM])-(.+)")
"""A tag of a word in a span: its place there, and what the span is."""
Span = tuple[str, int, int]
"""What a span is, its first word, and the one after its last."""


def span_labels(classes: Iterable[str]) -> list[str]:
    """What spans may be, sorted, where all tags are of BIO (in either form), BIOES, BILOU or BMES; else none."""
    marks = [MARK.fullmatch(name) for name in classes if name != OUTSIDE]
    return sorted({mark[2] for mark in marks if mark}) if all(marks) else []


def spans(tags: list[str]) -> list[Span]:
    """The spans that tags mark, as conlleval (Tjong Kim Sang and Buchholz, 2000) and seqeval read them, also where
    tags are not well formed: one goes on as long as the label stays and nothing begins or ends.
    """
    found: list[Span] = []
    before: tuple[str, str] | None = None
    for i, tag in enumerate(tags):
        mark = MARK.fullmatch(tag)
        if mark is None:
            before = None
            continue
        place, label = mark[1], mark[2]
        if before and before[1] == label and place not in "BSU" and before[0] not in "ESLU":
            found[-1] = (label, found[-1][1], i + 1)
        else:
            found.append((label, i, i + 1))
        before = place, label
    return found


class Tags(Metric):
    """Reads `tags`, a list, of answers and truths: accuracy is the share of words with the right one.

    Where tags mark spans: precision, recall and f1 of spans that have the right words and label, of all labels together
    and of each (`f1.LABEL`). State: 2,000 groups of 2 + 3 K counts.
    """

    def __init__(self, classes: list[str]):
        self.labels = span_labels(classes)
        self.groups = Groups(2 + 3 * len(self.labels))
        """Words, right ones; of each label the spans that were found, answered wrongly, missed."""

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        rows = [self._counts(a["tags"], t["tags"]) for a, t in zip(answers, truths, strict=True)]
        self.groups.add(np.array(rows, np.float64).reshape(-1, 2 + 3 * len(self.labels)))

    def _counts(self, answered: list[str], true: list[str]) -> list[int]:
        right = sum(a == t for a, t in zip(answered, true, strict=True))
        if not self.labels:
            return [len(true), right]
        ours, theirs = set(spans(answered)), set(spans(true))
        parts = [Counter(label for label, _, _ in part) for part in (ours & theirs, ours - theirs, theirs - ours)]
        return [len(true), right, *(part[label] for part in parts for label in self.labels)]

    def compute(self) -> dict[str, float]:
        total = self.groups.total()[None]
        with np.errstate(divide="ignore", invalid="ignore"):
            return {name: float(of(total)[0]) for name, of in self._numbers().items()}

    def intervals(self) -> dict[str, tuple[float, float]]:
        found = {name: self.groups.interval(of) for name, of in self._numbers().items()}
        return {name: span for name, span in found.items() if np.isfinite(span[0])}

    def _numbers(self) -> dict[str, Callable[[Array], Array]]:
        numbers: dict[str, Callable[[Array], Array]] = {"accuracy": lambda sums: sums[:, 1] / sums[:, 0]}
        of: list[tuple[str, list[int]]] = [("", list(range(len(self.labels))))] if self.labels else []
        of += [(f".{label}", [k]) for k, label in enumerate(self.labels)]
        for name, chosen in of:
            for score, parts in {"precision": (1, 1, 0), "recall": (1, 0, 1), "f1": (2, 1, 1)}.items():
                numbers[score + name] = partial(self._share, chosen=chosen, parts=parts)
        return numbers

    def _share(self, sums: Array, chosen: list[int], parts: tuple[int, int, int]) -> Array:
        """Spans that were found over those and the others that count, of the chosen labels."""
        counts = sums[:, 2:].reshape(len(sums), 3, -1)[:, :, chosen].sum(2)
        return parts[0] * counts[:, 0] / (counts @ np.array(parts))

    def state_dict(self) -> dict[str, Any]:
        return self.groups.state_dict()

    def merge(self, state: dict[str, Any]) -> None:
        self.groups.merge(state)
