"""Summaries beside those of people: ROUGE (Lin, 2004)."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from typing import Any

import numpy as np

from dlzoo.metrics.bootstrap import Array, Groups
from dlzoo.metrics.metric import Answer, Metric

WORD = re.compile(r"[^\W_]+")
NAMES = ("rouge1", "rouge2", "rouge_l")


class Summary(Metric):
    """Reads `text` of answers and of truths: the mean F1 of words (rouge1), of pairs of words (rouge2) and of the
    longest common subsequence of words (rouge_l).

    The numbers are those of Google's rouge-score without stemming; words of other scripts than Latin count, too.
    """

    def __init__(self) -> None:
        self.groups = Groups(1 + len(NAMES))
        """Samples, then the sum of each number."""

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        pairs = zip(answers, truths, strict=True)
        rows = [[1.0, *rouge(answer["text"], truth["text"])] for answer, truth in pairs]
        self.groups.add(np.array(rows).reshape(-1, 1 + len(NAMES)))

    def compute(self) -> dict[str, float]:
        total = self.groups.total()[None]
        return {name: float(_mean(i, total)[0]) for i, name in enumerate(NAMES, 1)}

    def intervals(self) -> dict[str, tuple[float, float]]:
        found = {name: self.groups.interval(partial(_mean, i)) for i, name in enumerate(NAMES, 1)}
        return {name: span for name, span in found.items() if np.isfinite(span[0])}

    def state_dict(self) -> dict[str, Any]:
        return self.groups.state_dict()

    def merge(self, state: dict[str, Any]) -> None:
        self.groups.merge(state)


def _mean(column: int, sums: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return sums[:, column] / sums[:, 0]


def rouge(text: str, reference: str) -> list[float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L of a text, as F1 from 0 to 1."""
    words, wanted = (WORD.findall(each.lower()) for each in (text, reference))
    found = [_shared(words, wanted), _shared(_pairs(words), _pairs(wanted))]
    return [*found, _f1(_common(words, wanted), len(words), len(wanted))]


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(zip(words, words[1:], strict=False))


def _shared(ones: list[Any], others: list[Any]) -> float:
    both = Counter(ones) & Counter(others)
    return _f1(both.total(), len(ones), len(others))


def _f1(both: int, one: int, other: int) -> float:
    return 2 * both / (one + other) if both else 0.0


def _common(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = row
        row = [0]
        for j, wanted in enumerate(other):
            row.append(before[j] + 1 if word == wanted else max(row[j], before[j + 1]))
    return row[-1]
