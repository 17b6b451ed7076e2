"""Tokens that are to be found, the next or hidden ones: the share of right guesses, and nats a token."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlzoo.metrics.bootstrap import Array, Groups
from dlzoo.metrics.metric import Answer, Metric


class Language(Metric):
    """Reads `tokens`, a list, of answers and truths: accuracy is the share that agree.

    nats (the mean of -log p) comes from answers that have their sum, or from the fast path; bits_per_byte where that
    gives the bytes of UTF-8, too.

    Windows of one text depend on their neighbours, so intervals resample runs of at least `block` windows.
    """

    def __init__(self, block: int = 1):
        self.groups = Groups(5, max(1, block))
        """Tokens, right ones, tokens with nats, nats, bytes."""

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        pairs = [(a["tokens"], t["tokens"]) for a, t in zip(answers, truths, strict=True)]
        right = [sum(x == y for x, y in zip(a, t, strict=True)) for a, t in pairs]
        nats = np.array([answer["nats"] for answer in answers]) if answers and "nats" in answers[0] else None
        self.update_arrays(np.array([len(t) for _, t in pairs]), np.array(right), nats)

    def update_arrays(self, tokens: Array, right: Array, nats: Array | None = None, size: Array | None = None) -> None:
        """The fast path, all (B,): of each window the tokens, how many were right, the sum of -log p, and the bytes."""
        nothing = np.zeros(len(tokens))
        sums = [
            tokens,
            right,
            *((nothing, nothing) if nats is None else (tokens, nats)),
            nothing if size is None else size,
        ]
        self.groups.add(np.stack(sums, 1).astype(np.float64))

    def compute(self) -> dict[str, float]:
        total = self.groups.total()[None]
        with np.errstate(divide="ignore", invalid="ignore"):
            return {name: float(of(total)[0]) for name, of in self._numbers().items()}

    def intervals(self) -> dict[str, tuple[float, float]]:
        found = {name: self.groups.interval(of) for name, of in self._numbers().items()}
        return {name: span for name, span in found.items() if np.isfinite(span[0])}

    def _numbers(self) -> dict[str, Any]:
        _, _, counted, _, size = self.groups.total()
        return (
            {"accuracy": _accuracy} | ({"nats": _nats} if counted else {}) | ({"bits_per_byte": _bits} if size else {})
        )

    def state_dict(self) -> dict[str, Any]:
        return self.groups.state_dict()

    def merge(self, state: dict[str, Any]) -> None:
        self.groups.merge(state)


def _accuracy(sums: Array) -> Array:
    return sums[:, 1] / sums[:, 0]


def _nats(sums: Array) -> Array:
    return sums[:, 3] / sums[:, 2]


def _bits(sums: Array) -> Array:
    return sums[:, 3] / sums[:, 4] / np.log(2)
