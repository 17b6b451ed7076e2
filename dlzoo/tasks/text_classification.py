"""One label for each text, or any number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from dlzoo.choices import Amount, Chance, ClassificationLoss, Count, Pool, Share, TokenSource
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import DataError
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled
from dlzoo.metrics.metric import Answer
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example
from dlzoo.tasks import texts
from dlzoo.tasks.classification import ClassificationTask
from dlzoo.transforms.text import PAD, WORD, restored

AT_ONCE = 64
"""Texts without a word that are answered together."""


@TASKS.register("text_classification")
class TextClassification(ClassificationTask):
    """Texts, as tokens (B, T) with a mask (B, T), to scores (B, K).

    Args:
        tokenizer: what a token is, or a tokenizer.json (or its folder/); null for words, or what the model brings
        vocab: largest vocabulary, the most frequent first; null for no limit (parts of words: 4096)
        min_count: times that an entry occurs in the training split at least; null for 2 (characters: 1)
        lower: make all letters small first; null for yes, unless the tokenizer was learned elsewhere
        context: longest text in tokens; of a longer one the beginning is kept
        word_dropout: share of the tokens of a training text that is made unknown
        dropout: share of the pooled features that is dropped before the scores
        multi_label: a text has any number of labels, each with a score of its own
        loss: focal looks more at what is hard; binary_cross_entropy is each class against the rest; null is that for
            multi_label, else cross_entropy
        smoothing: share of the target that is spread over all classes
        gamma: of the focal loss, how much more it looks at what is hard
        balance: weigh classes by one over their frequency
        pool: how features become one vector; auto is the mean, or the last place of a causal model
    """

    needs = ("text", "label")
    accepts = ("vector", "sequence")
    ragged = ("tokens", "letters")
    shown = ("explain",)

    def __init__(
        self,
        tokenizer: TokenSource | None = None,
        vocab: Count | None = None,
        min_count: Count | None = None,
        lower: bool | None = None,
        context: Count = 256,
        word_dropout: Chance = 0.0,
        dropout: Share = 0.0,
        multi_label: bool = False,
        loss: ClassificationLoss | None = None,
        smoothing: Share = 0.0,
        gamma: Amount = 2.0,
        balance: bool = False,
        pool: Pool = "auto",
    ):
        super().__init__(loss, smoothing, gamma, balance, multi_label)
        self.needs = ("text", self.labels.key)
        self.tokenizer = texts.tokenizer(tokenizer, "words", vocab, min_count, lower)
        self.context = context
        self.word_dropout = word_dropout
        self.dropout = dropout
        self.pool = pool
        self.column: str | None = None
        self.style: dict[str, Any] = {}
        """How the data writes its texts: a file to predict is read alike."""
        self.notes: list[str] = []

    def fit(self, data: Subset) -> None:
        self.fit_labels(data)
        own = data.column("text")
        self.tokenizer.fit(own)
        self.column = getattr(data.dataset, "text", None)
        self.style = getattr(data.dataset, "style", {})
        cut = sum(len(self.tokenizer.encode(text)) > self.context for text in own)
        if cut:
            self.notes = [
                f"{cut:,} of {len(own):,} training texts are longer than context: {self.context}; their end is not read"
            ]

    def facts(self) -> dict[str, Any]:
        return {"vocab_size": self.tokenizer.size, "context": self.context}

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        tokens = texts.places(self.tokenizer, sample["text"], self.context)
        found = {"tokens": tokens, **self.encode_label(sample)}
        return found if self.labels.key in sample else found | {"letters": texts.letters(sample["text"])}

    def collate(self, columns: Columns) -> Batch:
        x = pad_sequence(columns["tokens"], batch_first=True, padding_value=PAD)
        letters = {key: columns[key] for key in ("letters",) if key in columns}
        return Batch({"x": x, "mask": x != PAD, **letters}, self.targets(columns), count=len(x))

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        return texts.lose_words(batch, self.word_dropout, rng)

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Pooled(backbone.features, len(self.labels.classes), self.pool, dropout=self.dropout)

    def answer(
        self, model: nn.Module, batch: Batch, *, threshold: str | None = None, explain: bool = False
    ) -> list[Answer]:
        """The likeliest class of each text, unless a threshold says otherwise.

        Args:
            threshold: CLASS=SCORE: a text is CLASS from that score on, else the likeliest of the other classes; of
                multi_label SCORE for all classes, or CLASS=SCORE;CLASS=SCORE, instead of .5
            explain: add how much each word weighed for the label (the likeliest one), the most first
        """
        probabilities = self.labels.probabilities(model(**batch.inputs))
        answers = self.labels.answers(probabilities, threshold)
        if explain:
            for answer, best, letters in zip(answers, probabilities.argmax(1), batch.inputs["letters"], strict=True):
                label = self.labels.index[answer["label"]] if "label" in answer else int(best)
                answer["words"] = self._weighed(model, texts.spelled(letters), label, letters.device)
        return answers

    def _weighed(self, model: nn.Module, text: str, label: int, device: torch.device) -> list[Answer]:
        """By how much the log odds of a label fall where a word is left out of the text (representation erasure:
        Li et al., 2016, arXiv:1612.08220), and where the word stands in it, in characters; the weightiest first.
        """
        words = list(WORD.finditer(text))
        others = [f"{text[: word.start()].rstrip()}{text[word.end() :]}".strip() for word in words]
        odds = []
        for start in range(0, len(words) + 1, AT_ONCE):
            some = [text, *others][start : start + AT_ONCE]
            tokens = [texts.places(self.tokenizer, other, self.context) for other in some]
            batch = self.collate({"tokens": tokens}).to(device)
            odds.append(self.labels.probabilities(model(**batch.inputs))[:, label].double().logit(1e-7))
        whole, *without = torch.cat(odds).tolist()
        found = [
            {"word": word.group(), "weight": whole - left, "start": word.start(), "end": word.end()}
            for word, left in zip(words, without, strict=True)
        ]
        return sorted(found, key=lambda word: -abs(word["weight"]))

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        return texts.read(source, self.column, self.style)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "tokenizer": self.tokenizer.state_dict(),
            "column": self.column,
            "style": self.style,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.tokenizer = restored(state["tokenizer"])
        self.column, self.style = state["column"], state.get("style", {})
