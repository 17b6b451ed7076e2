"""The tokens that are hidden in a text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from dlzoo import losses
from dlzoo.choices import Count, Factor, TokenSource
from dlzoo.data.dataset import Pieces, Sample, Subset
from dlzoo.errors import ConfigError, DataError, UserError
from dlzoo.features import Features
from dlzoo.heads.chosen import Chosen
from dlzoo.layers.lm_head import LMHead
from dlzoo.metrics.language import Language
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example, Task
from dlzoo.tasks import texts
from dlzoo.tasks.document_windows import DocumentWindows, spanned
from dlzoo.transforms.text import MASK, PAD, RESERVED, UNKNOWN, restored

BLANK = "[MASK]"
"""What a user writes for a hidden token."""


@TASKS.register("masked_language_modeling")
class MaskedLanguageModeling(Task):
    """Tokens (B, T), some of them hidden, to the scores (N, V) of what stands at the N hidden places.

    Of those that are chosen .8 are hidden, .1 become another token and .1 stay (Devlin et al., 2018, arXiv:1810.04805);
    what the vocabulary lacks is never chosen. In an evaluation the choice is always the same.

    Args:
        tokenizer: what a token is, or a tokenizer.json (or its folder/); null for wordpiece, or what the model brings
        vocab: largest vocabulary, the most frequent first; null for no limit (parts of words: 4096)
        min_count: times that an entry occurs in the training split at least; null for 2 (characters: 1)
        lower: make all letters small first; null for yes, unless the tokenizer was learned elsewhere
        context: tokens in one window; a longer text is cut into several
        masked: share of the tokens that are to be found
        whole_words: choose all parts of a word, or none
        tie: use one matrix for the embedding and for the scores
    """

    needs = ("text",)
    accepts = ("sequence",)
    causal = False
    monitor = "-loss"
    baseline = "most frequent token"
    draws = True
    stochastic = True
    ragged = ("tokens", "hidden", "was")

    def __init__(
        self,
        tokenizer: TokenSource | None = None,
        vocab: Count | None = None,
        min_count: Count | None = None,
        lower: bool | None = None,
        context: Count = 128,
        masked: Factor = 0.15,
        whole_words: bool = False,
        tie: bool = True,
    ):
        self.tokenizer = texts.tokenizer(tokenizer, "wordpiece", vocab, min_count, lower)
        self.context = context
        self.masked = masked
        self.whole_words = whole_words
        self.tie = tie
        self.frequent = UNKNOWN
        """The most frequent token."""
        self.column: str | None = None
        self.style: dict[str, Any] = {}
        """How the data writes its texts: a file to predict is read alike."""

    def fit(self, data: Subset) -> None:
        own = [spanned(data, i) for i in range(len(data))]
        self.tokenizer.fit(own)
        counts = np.zeros(self.tokenizer.size, np.int64)
        for text in own:
            counts += np.bincount(self.tokenizer.encode(text), minlength=len(counts))
        if not counts[RESERVED:].any():
            raise DataError("the training split has no text")
        if self._room < 1:
            around = len(self.tokenizer.before) + len(self.tokenizer.after)
            raise ConfigError([f"task.context: {self.context} leaves no token beside {around} around every text"])
        self.frequent = RESERVED + int(counts[RESERVED:].argmax())
        self.column = getattr(data.dataset, "text", None)
        self.style = getattr(data.dataset, "style", {})

    @property
    def _room(self) -> int:
        """Tokens of a text in one window."""
        return self.context - len(self.tokenizer.before) - len(self.tokenizer.after)

    def pieces(self, data: Subset, split: str) -> Pieces:
        return DocumentWindows(data, self.tokenizer, self._room)

    def facts(self) -> dict[str, Any]:
        return {"vocab_size": self.tokenizer.size, "context": self.context}

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        """A window of `pieces`, with what `rng` hides of it; or a text of a user's with his blanks.

        `hidden` (n,) are the hidden places, `was` (n,) what stood there.
        """
        if "tokens" not in sample:
            return self._asked(sample["text"])
        assert rng is not None, "what is hidden is drawn"
        own = sample["tokens"]
        hidden = self._chosen(own.numpy(), rng)
        tokens = own.clone()
        for place in hidden:
            fate = rng.random()
            if fate < 0.9:
                tokens[place] = MASK if fate < 0.8 else rng.randrange(RESERVED, self.tokenizer.size)
        return self._placed(tokens, hidden) | {"was": own[hidden]}

    def _chosen(self, ids: np.ndarray, rng: Random) -> list[int]:
        """Places of tokens that are to be found, in order: `masked` of all, one at least; of none in a text of
        unknown ones. Whole words are taken in random order as long as they leave no more than that.
        """
        begins = self.tokenizer.begins(ids) if self.whole_words else np.ones(len(ids), bool)
        begins[0] = True
        words = np.split(np.arange(len(ids)), np.flatnonzero(begins)[1:])
        known = [word.tolist() for word in words if (ids[word] >= RESERVED).all()]
        most = max(1, round(self.masked * len(ids)))
        chosen: list[int] = []
        for word in rng.sample(known, len(known)):
            if not chosen or len(chosen) + len(word) <= most:
                chosen += word
            if len(chosen) >= most:
                break
        return sorted(chosen)

    def _placed(self, tokens: Tensor, hidden: list[int]) -> Example:
        """Tokens between what the tokenizer puts around every text, and the hidden places among them."""
        before, after = self.tokenizer.before, self.tokenizer.after
        tokens = torch.cat([torch.tensor(before).long(), tokens, torch.tensor(after).long()])
        return {"tokens": tokens, "hidden": torch.tensor(hidden).long() + len(before)}

    def _asked(self, text: str) -> Example:
        parts = text.split(BLANK)
        if len(parts) == 1:
            raise DataError(f"there is no {BLANK} in this text: write one for each token that is to be found")
        spaces = self.tokenizer.name in ("characters", "bytes")  # of others a space is part of what comes after it
        ids: list[int] = []
        hidden = []
        for i, part in enumerate(parts):
            if i:
                hidden.append(len(ids))
                ids.append(MASK)
            last = i == len(parts) - 1
            ids += self.tokenizer.encode(part if spaces or last else part.rstrip()).tolist()
        if len(ids) > self._room:
            raise DataError(f"this text has {len(ids):,} tokens, and the context is {self.context}: shorten it")
        return self._placed(torch.tensor(ids), hidden)

    def collate(self, columns: Columns) -> Batch:
        x = pad_sequence(columns["tokens"], batch_first=True, padding_value=PAD)
        chosen = torch.zeros(x.shape, dtype=torch.bool)
        for row, hidden in zip(chosen, columns["hidden"], strict=True):
            row[hidden] = True
        targets = {"was": torch.cat(columns["was"])} if "was" in columns else {}
        return Batch({"x": x, "mask": x != PAD, "chosen": chosen}, targets, count=int(chosen.sum()))

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        if (own := texts.lm_head(backbone)) is not None:
            if not self.tie:
                raise ConfigError(["task.tie: this model has its own scores of tokens; leave it out"])
            return Chosen(own)
        tie = texts.tied(backbone, getattr(backbone, "embed", None)) if self.tie else None
        assert isinstance(backbone.features.dim, int)
        return Chosen(LMHead(backbone.features.dim, self.tokenizer.size, tie))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return losses.cross_entropy(outputs, batch.targets["was"])

    def scores(self, loss: float) -> dict[str, float]:
        return {"perplexity": math.exp(min(loss, 700.0))}

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        return self._answers(*_likeliest(outputs, 1), batch)

    def truth(self, batch: Batch) -> list[Answer]:
        was = batch.targets["was"]
        return self._answers(torch.ones(len(was), 1), was[:, None], batch)

    def guess(self, batch: Batch) -> list[Answer]:
        was = batch.targets["was"]
        return self._answers(torch.ones(len(was), 1), torch.full_like(was, self.frequent)[:, None], batch)

    def _answers(self, scores: Tensor, tokens: Tensor, batch: Batch) -> list[Answer]:
        """Of each text the likeliest token of its hidden places, and all `tokens` (N, k) with their `scores` (N, k)."""
        x, mask, chosen = (batch.inputs[key] for key in ("x", "mask", "chosen"))
        filled = x.masked_scatter(chosen, tokens[:, 0])
        counts = chosen.sum(1).tolist()
        answers = []
        for row, real, best, likely in zip(filled, mask, tokens.split(counts), scores.split(counts), strict=True):
            blanks = [
                [{"token": self.tokenizer.decode([token]), "score": score} for token, score in zip(*pair, strict=True)]
                for pair in zip(best.tolist(), likely.tolist(), strict=True)
            ]
            text = self.tokenizer.decode(row[real].tolist())
            answers.append({"text": text, "tokens": best[:, 0].tolist(), "blanks": blanks})
        return answers

    def metrics(self) -> list[Metric]:
        return [Language()]

    def answer(self, model: nn.Module, batch: Batch, *, top_k: int = 5) -> list[Answer]:
        """Each text with its blanks filled, and what else they may be.

        Args:
            top_k: candidates of each blank
        """
        if top_k < 1:
            raise UserError(f"--top-k {top_k}: of each blank one candidate is shown at least")
        return self._answers(*_likeliest(model(**batch.inputs), top_k), batch)

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        return texts.read(source, self.column, self.style)

    def state_dict(self) -> dict[str, Any]:
        kept = {"frequent": self.frequent, "column": self.column, "style": self.style}
        return kept | {"tokenizer": self.tokenizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokenizer = restored(state["tokenizer"])
        self.frequent, self.column, self.style = state["frequent"], state["column"], state["style"]


def _likeliest(outputs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The probabilities (N, k) and the ids (N, k) of the likeliest tokens, the first first."""
    found = outputs.float().softmax(-1).topk(min(count, outputs.shape[1]))
    return found.values, found.indices
