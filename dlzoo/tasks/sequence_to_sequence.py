"""A text to be written for another: translation, summaries."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from dlzoo import losses
from dlzoo.choices import Count, Share, TokenSource, Writing
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import ConfigError, DataError
from dlzoo.heads.dense import Dense
from dlzoo.metrics.language import Language
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.metrics.summary import Summary
from dlzoo.metrics.translation import Translation
from dlzoo.registry import TASKS
from dlzoo.report import attention as pictures
from dlzoo.task import Batch, Columns, Example, Task
from dlzoo.tasks import texts
from dlzoo.tasks.target_writing import write
from dlzoo.transforms.text import END, PAD, START, Tokenizer, restored

if TYPE_CHECKING:
    from PIL import Image

SENTENCE = re.compile(r"(?<=[.!?])\s+")
LEAD = 3
"""Sentences that the trivial summary has."""


@TASKS.register("sequence_to_sequence")
class SequenceToSequence(Task):
    """Tokens (B, S) and the target's, each a place late (B, T), to the scores (B, T, V) of the target's tokens.

    In training every token of the target is foretold from those before it. `dlzoo evaluate` and the test score the
    texts that are written; the validation of a training looks at the loss and at accuracy, and so at tokens that follow
    on right ones.

    Args:
        tokenizer: what a token is, or a tokenizer.json (or its folder/); null for bpe, or what the model brings
        vocab: largest vocabulary of a tokenizer, the most frequent first; null for no limit (parts of words: 4096)
        min_count: times that an entry occurs in the training split at least; null for 2 (characters: 1)
        shared: one tokenizer for both sides; false learns one of each
        context: longest text in tokens; of a longer one the beginning is kept
        target_context: longest target, likewise, its end included; also of what is written
        tie: use one matrix for the target's embedding and for the scores; null for yes, but with scores that come with
            the model's weights
        smoothing: share of the target that is spread over the vocabulary in training
        score: what is written: a translation has BLEU, chrF and TER, a summary ROUGE
    """

    needs = ("text", "target")
    inputs = ("x", "target")
    accepts = ("sequence",)
    monitor = "-loss"
    ragged = ("x", "next", "words", "reference")
    generates = True
    draws_alone = True
    kept = 0

    def __init__(
        self,
        tokenizer: TokenSource | None = None,
        vocab: Count | None = None,
        min_count: Count | None = None,
        shared: bool = True,
        context: Count = 128,
        target_context: Count = 128,
        tie: bool | None = None,
        smoothing: Share = 0.1,
        score: Writing = "translation",
    ):
        def fresh() -> Tokenizer:
            return texts.tokenizer(tokenizer, "bpe", vocab, min_count, lower=False)

        self.tokenizer = fresh()
        self.target_tokenizer = None if shared else fresh()
        """That of the target, where it has one of its own."""
        self.context, self.target_context = context, target_context
        self.tie, self.smoothing, self.score = tie, smoothing, score
        self.lead: int | None = None
        """Words that the trivial summary has; None where it has sentences."""
        self.column: str | None = None
        self.style: dict[str, Any] = {}
        """How the data writes its texts: a file to predict is read alike."""
        self.notes: list[str] = []

    @property
    def _target(self) -> Tokenizer:
        return self.target_tokenizer or self.tokenizer

    @property
    def baseline(self) -> str:  # type: ignore[override]
        """What the trivial answer copies from the text."""
        if self.score == "translation":
            return "copy of the text"
        return f"first {LEAD} sentences" if self.lead is None else f"first {self.lead} words"

    def fit(self, data: Subset) -> None:
        self.written()  # a package that is missing is missed before the training, not after it
        own, targets = data.column("text"), data.column("target")
        self.tokenizer.fit(own if self.target_tokenizer else [*own, *targets])
        if self.target_tokenizer:
            self.target_tokenizer.fit(targets)
        if median(len(SENTENCE.split(target)) for target in targets) < 2:
            self.lead = round(median(len(target.split()) for target in targets))
        self.column = getattr(data.dataset, "text", None)
        self.style = getattr(data.dataset, "style", {})
        for kind, key, side, tokenizer, most, ends in (
            ("texts", "context", own, self.tokenizer, self.context, 0),
            ("targets", "target_context", targets, self._target, self.target_context, 1),
        ):
            if cut := sum(len(tokenizer.encode(text)) > most - ends for text in side):
                number = f"{cut:,} of {len(side):,} training {kind}"
                self.notes.append(f"{number} are longer than {key}: {most}; their end is not read")

    def facts(self) -> dict[str, Any]:
        sizes = {"vocab_size": self.tokenizer.size, "context": self.context, "target_context": self.target_context}
        return {**sizes, "target_vocab_size": self.target_tokenizer.size if self.target_tokenizer else None}

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        if not sample["text"].strip():
            raise DataError("the text is empty: there is nothing to write for it")
        example = {"x": texts.places(self.tokenizer, sample["text"], self.context)}
        if "target" not in sample:
            return example
        tokens = self._target.encode(sample["target"])[: self.target_context - 1]
        after = torch.tensor([*tokens.tolist(), END])
        written = {"words": texts.letters(sample["text"]), "reference": texts.letters(sample["target"])}
        return {**example, "next": after, **written}

    def collate(self, columns: Columns) -> Batch:
        x = pad_sequence(columns["x"], batch_first=True, padding_value=PAD)
        inputs = {"x": x, "mask": x != PAD}
        if "next" not in columns:
            return Batch(inputs, {}, count=len(x))
        after = pad_sequence(columns["next"], batch_first=True, padding_value=PAD)
        before = F.pad(after[:, :-1], (1, 0), value=START).masked_fill(after == PAD, PAD)
        targets = {"next": after, "words": columns["words"], "reference": columns["reference"]}
        return Batch(inputs | {"target": before}, targets, count=int((after != PAD).sum()))

    def head(self, backbone: nn.Module) -> nn.Module:
        own = texts.scores(backbone, self._target.size, self.tie, getattr(backbone, "embed_target", None))
        if self.tie is False and not isinstance(own, Dense):
            raise ConfigError(["task.tie: this model has its own scores of tokens; leave it out"])
        return own

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        after = batch.targets["next"]
        smoothing = self.smoothing if outputs.requires_grad else 0.0  # perplexity is that of the text as it is
        return losses.cross_entropy(outputs, after, smoothing=smoothing, mask=after != PAD)

    def scores(self, loss: float) -> dict[str, float]:
        return {"perplexity": math.exp(min(loss, 700.0))}

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        """What is foretold at each place, after the right tokens."""
        scored = batch.inputs["target"] != PAD
        rows = [row[real].tolist() for row, real in zip(outputs.argmax(-1), scored, strict=True)]
        return [{"text": self._target.decode(row), "tokens": row} for row in rows]

    def truth(self, batch: Batch) -> list[Answer]:
        """The target as it was written, and its tokens."""
        rows = (row[row != PAD].tolist() for row in batch.targets["next"])
        pairs = zip(batch.targets["reference"], rows, strict=True)
        return [{"text": texts.spelled(text), "tokens": row} for text, row in pairs]

    def metrics(self) -> list[Metric]:
        return [Language()]

    def written(self) -> list[Metric]:
        return [Translation() if self.score == "translation" else Summary()]

    def update(self, metrics: list[Metric], outputs: Tensor, batch: Batch) -> None:
        after = batch.targets["next"]
        real = after != PAD
        right = ((outputs.argmax(-1) == after) & real).sum(1)
        for metric in metrics:
            cast(Language, metric).update_arrays(real.sum(1).cpu().numpy(), right.cpu().numpy())

    def guess(self, batch: Batch) -> list[Answer]:
        return [{"text": self._copied(texts.spelled(words))} for words in batch.targets["words"]]

    def _copied(self, text: str) -> str:
        if self.score == "translation":
            return text
        return " ".join(SENTENCE.split(text)[:LEAD] if self.lead is None else text.split()[: self.lead])

    def answer(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        beams: int = 1,
        length_penalty: float | None = None,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        seed: int = 0,
    ) -> list[Answer]:
        """What is written for each text; with beams also its `score`, log p / length^length_penalty.

        Args:
            beams: beginnings of a text that are followed at once; 1 goes on with one token at a time
            length_penalty: of beams: 1 (and null) compares log p a token, 0 log p, more prefers longer texts
            max_new_tokens: length of what is written at most; null for target_context
            temperature: 0 always takes the likeliest token, 1 draws as the model thinks, more is more daring
            top_k: draw from the k likeliest tokens only
            top_p: draw from the likeliest that together have this probability
            min_p: draw from those that have this share of the likeliest one's probability
            repetition_penalty: above 1, tokens that stand in what is written already become less likely
            seed: of the draws, which depend on it and on the text alone
        """
        drawn = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
        written = write(
            model,
            batch,
            new=self.target_context if max_new_tokens is None else max_new_tokens,
            beams=beams,
            length_penalty=length_penalty,
            sampling={**drawn, "repetition_penalty": repetition_penalty},
            seed=seed,
        )
        return [{"text": self._target.decode(answer["tokens"].tolist()), **answer} for answer in written]

    def draw(self, sample: Sample, answer: Answer) -> Mapping[str, Tensor | Image.Image]:
        """Which words of the text each written word looked at, where the model has attention and wrote something."""
        if "attention" not in answer or not len(answer["tokens"]):
            return {}
        read, written = answer["read"].tolist(), answer["tokens"].tolist()
        sides = texts.words(self.tokenizer, read), texts.words(self._target, written)
        return {"attention": pictures.drawn(answer["attention"], *sides)}

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        return texts.read(source, self.column, self.style, lines=True)

    def state_dict(self) -> dict[str, Any]:
        own = self.target_tokenizer.state_dict() if self.target_tokenizer else None
        kept = {"column": self.column, "style": self.style, "lead": self.lead}
        return {"tokenizer": self.tokenizer.state_dict(), "target_tokenizer": own, **kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokenizer = restored(state["tokenizer"])
        self.target_tokenizer = restored(state["target_tokenizer"]) if state["target_tokenizer"] else None
        self.column, self.style, self.lead = state["column"], state["style"], state["lead"]
