"""The next token, everywhere in a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dlzoo.choices import Count, Share, TokenSource, Whole
from dlzoo.data.dataset import Pieces, Sample, Subset
from dlzoo.errors import DataError
from dlzoo.metrics.language import Language
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.registry import TASKS
from dlzoo.tasks import texts
from dlzoo.tasks.next_token import NextToken
from dlzoo.tasks.token_windows import TokenWindows
from dlzoo.transforms.text import END


@TASKS.register("language_modeling")
class LanguageModeling(NextToken):
    """Tokens (B, T) to the scores (B, T, V) of what comes after each.

    Documents are joined, each with an end; one long text is cut into the spans of its splits. In evaluation every
    token of a split is scored once, behind `look_back` tokens or more (but for the first ones of a text).

    Args:
        tokenizer: what a token is, or a tokenizer.json (or its folder/); null for characters, or what the model brings
        vocab: largest vocabulary, the most frequent first; null for no limit (parts of words: 4096)
        min_count: times that an entry occurs in the training split at least; null for 2 (characters: 1)
        context: tokens in one window
        stride: a training window starts every so many tokens; null for context, 1 for a window at every place
        look_back: tokens of an evaluation window before those that are scored; null for half of context
        tie: use one matrix for the embedding and for the scores; those of published weights are as they were
        smoothing: share of the target that is spread over the vocabulary in training
    """

    needs = ("text",)

    def __init__(
        self,
        tokenizer: TokenSource | None = None,
        vocab: Count | None = None,
        min_count: Count | None = None,
        context: Count = 256,
        stride: Count | None = None,
        look_back: Whole | None = None,
        tie: bool = False,
        smoothing: Share = 0.0,
    ):
        super().__init__(tokenizer, vocab, min_count, context, look_back, tie, smoothing)
        self.stride = stride or context
        self.joined = False
        """Texts are documents with an end, not parts of one that goes on."""
        self.column: str | None = None
        self.style: dict[str, Any] = {}
        """How the data writes its texts: a file to predict is read alike."""

    def fit(self, data: Subset) -> None:
        self.joined = data.spans is None
        spans = [slice(*span) for span in data.spans] if data.spans is not None else [slice(None)] * len(data)
        own = [data[i]["text"][span] for i, span in enumerate(spans)]
        self.tokenizer.fit(own)
        if not any(len(self.tokenizer.encode(text)) for text in own):
            raise DataError("the training split has no text")
        self.count(own, ends=len(own) if self.joined else 0)
        self.column = getattr(data.dataset, "text", None)
        self.style = getattr(data.dataset, "style", {})

    @property
    def ends(self) -> bool:  # type: ignore[override]
        return self.joined

    def pieces(self, data: Subset, split: str) -> Pieces:
        stride = self.stride if split == "train" else None
        return TokenWindows(
            data, self.tokenizer, self.context, joined=self.joined, look_back=self.look_back, stride=stride
        )

    def prompt(self, sample: Sample) -> np.ndarray:
        tokens = self.tokenizer.encode(sample["text"])
        return np.concatenate([[END], tokens]) if self.joined or not len(tokens) else tokens

    def told(self, prompt: Tensor, new: str) -> str:
        """The prompt and how it goes on."""
        before = self.tokenizer.decode(prompt.tolist())
        return before + (" " if before and new and not self.tokenizer.lossless else "") + new

    def answered(self, prompt: Tensor, new: str) -> Answer:
        return {"text": self.told(prompt, new), "new": new}

    def metrics(self) -> list[Metric]:
        return [Language(block=max(1, self.context // (self.context - self.look_back)))]

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        return texts.read(source, self.column, self.style)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"joined": self.joined, "column": self.column, "style": self.style}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.joined = state["joined"]
        self.column, self.style = state["column"], state.get("style", {})
