"""Translations beside those of people: BLEU, chrF and TER, by sacrebleu (Post, 2018, arXiv:1804.08771)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dlzoo.errors import ConfigError
from dlzoo.metrics.bootstrap import Array, Groups
from dlzoo.metrics.metric import Answer, Metric


class Translation(Metric):
    """Reads `text` of answers and of truths; all three are of the whole, from sums over the samples.

    bleu (Papineni et al., 2002) and chrf (Popović, 2015) reach 100; ter (Snover et al., 2006) is the share of edits,
    0 at best, in percent. Each is computed as its signature says, in sacrebleu's way: a translation is detokenized, and
    its case counts. Raises ConfigError where sacrebleu is not installed.
    """

    def __init__(self) -> None:
        try:
            from sacrebleu.metrics import BLEU, CHRF, TER
        except ImportError as error:
            hint = "pip install 'dlzoo[seq2seq]'"
            raise ConfigError(
                [f"task.score: translation needs a package that is not here ({error}): {hint}"]
            ) from error
        self.scorers: dict[str, Any] = {"bleu": BLEU(), "chrf": CHRF(), "ter": TER()}
        widths = [len(scorer._extract_corpus_statistics([""], [[""]])[0]) for scorer in self.scorers.values()]
        ends = np.cumsum(widths).tolist()
        self.places = {
            name: slice(end - width, end) for name, width, end in zip(self.scorers, widths, ends, strict=True)
        }
        """The columns of `groups` that each of them reads."""
        self.groups = Groups(ends[-1])

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        if not answers:
            return
        texts, references = [answer["text"] for answer in answers], [truth["text"] for truth in truths]
        sums = [scorer._extract_corpus_statistics(texts, [references]) for scorer in self.scorers.values()]
        self.groups.add(np.concatenate([np.array(part, np.float64) for part in sums], 1))

    def _score(self, name: str, sums: Array) -> Array:
        """The metric of sums (R, F), (R,); nan where there is nothing."""
        scorer = self.scorers[name]
        if not self.groups.count:
            return np.full(len(sums), np.nan)
        return np.array([scorer._compute_score_from_stats(row).score for row in sums[:, self.places[name]].tolist()])

    def compute(self) -> dict[str, float]:
        total = self.groups.total()[None]
        return {name: float(self._score(name, total)[0]) for name in self.scorers}

    def intervals(self) -> dict[str, tuple[float, float]]:
        found = {name: self.groups.interval(partial(self._score, name)) for name in self.scorers}
        return {name: span for name, span in found.items() if np.isfinite(span[0])}

    @property
    def signatures(self) -> dict[str, str]:
        return {name: str(scorer.get_signature()) for name, scorer in self.scorers.items()}

    def state_dict(self) -> dict[str, Any]:
        return self.groups.state_dict()

    def merge(self, state: dict[str, Any]) -> None:
        self.groups.merge(state)
