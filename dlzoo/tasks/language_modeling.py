"""The next token, everywhere in a text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from dlzoo import losses
from dlzoo.choices import Count, Share, TokenSource, Whole
from dlzoo.data.dataset import Pieces, Sample, Subset
from dlzoo.decoding import Sampling, generate
from dlzoo.errors import ConfigError, DataError
from dlzoo.features import Features
from dlzoo.heads.dense import Dense
from dlzoo.metrics.language import Language
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example, Task
from dlzoo.tasks import texts
from dlzoo.tasks.token_windows import TokenWindows
from dlzoo.transforms.text import END, MASK, PAD, START, UNKNOWN, restored


@TASKS.register("language_modeling")
class LanguageModeling(Task):
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
    accepts = ("sequence",)
    causal = True
    monitor = "-loss"
    baseline = "unigram frequencies"
    ragged = ("prompt",)
    writes = True

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
        self.tokenizer = texts.tokenizer(tokenizer, "characters", vocab, min_count, lower=False)
        self.context = context
        self.stride = stride or context
        self.look_back = context // 2 if look_back is None else look_back
        self.tie = tie
        self.smoothing = smoothing
        self.joined = False
        """Texts are documents with an end, not parts of one that goes on."""
        self.counts: list[int] = []
        self.column: str | None = None
        self.style: dict[str, Any] = {}
        """How the data writes its texts: a file to predict is read alike."""
        if not 0 <= self.look_back < context:
            raise ConfigError(
                [f"task.look_back: {self.look_back} is not below the context of {context}: nothing is left to score"]
            )

    def fit(self, data: Subset) -> None:
        self.joined = data.spans is None
        spans = [slice(*span) for span in data.spans] if data.spans is not None else [slice(None)] * len(data)
        own = [data[i]["text"][span] for i, span in enumerate(spans)]
        self.tokenizer.fit(own)
        counts = np.zeros(self.tokenizer.size, np.int64)
        for text in own:
            counts += np.bincount(self.tokenizer.encode(text), minlength=len(counts))
        if not counts.any():
            raise DataError("the training split has no text")
        counts[END] = len(own) if self.joined else 0
        self.counts = counts.tolist()
        self.column = getattr(data.dataset, "text", None)
        self.style = getattr(data.dataset, "style", {})
        self._ready()

    def _ready(self) -> None:
        self._bytes = torch.from_numpy(self.tokenizer.widths())

    def pieces(self, data: Subset, split: str) -> Pieces:
        stride = self.stride if split == "train" else None
        return TokenWindows(
            data, self.tokenizer, self.context, joined=self.joined, look_back=self.look_back, stride=stride
        )

    def facts(self) -> dict[str, Any]:
        return {"vocab_size": self.tokenizer.size, "context": self.context}

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        """A window of `pieces`; or a prompt (t,), of which the last `context` tokens are kept."""
        if "x" in sample:
            return {"x": sample["x"], "next": sample["next"]}
        tokens = self.tokenizer.encode(sample["text"])
        if self.joined or not len(tokens):
            tokens = np.concatenate([[END], tokens])
        return {"prompt": torch.from_numpy(tokens[-self.context :].astype(np.int64))}

    def collate(self, columns: Columns) -> Batch:
        if "prompt" in columns:
            lengths = torch.tensor([len(prompt) for prompt in columns["prompt"]])
            x = pad_sequence(columns["prompt"], batch_first=True, padding_value=PAD)
            mask = torch.arange(x.shape[1]) < lengths[:, None]
            return Batch({"x": x, "mask": mask, "scored": mask}, {}, count=int(lengths.sum()))
        x, after = columns["x"], columns["next"]
        scored = after != PAD
        return Batch({"x": x, "mask": x != PAD, "scored": scored}, {"next": after}, count=int(scored.sum()))

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        if (own := texts.lm_head(backbone)) is not None:
            if self.tie:
                raise ConfigError(["task.tie: this model has its own scores of tokens; leave it out"])
            return own
        if not self.tie:
            return Dense(backbone.features, self.tokenizer.size)
        embedding = getattr(backbone, "embed", None)
        if not isinstance(embedding, nn.Embedding):
            raise ConfigError(["task.tie: this model has no embedding of tokens to tie; leave tie out"])
        with torch.no_grad():  # as rows of a head, vectors longer than 1 would start with scores far from even
            embedding.weight /= embedding.weight.norm(dim=1).mean().clamp(min=1)
        return Dense(backbone.features, self.tokenizer.size, tie=embedding)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        after = batch.targets["next"]
        mask = None if batch.count == after.numel() else batch.inputs["scored"]
        smoothing = self.smoothing if outputs.requires_grad else 0.0  # perplexity is that of the text as it is
        return losses.cross_entropy(outputs, after, smoothing=smoothing, mask=mask)

    def scores(self, loss: float) -> dict[str, float]:
        return {"perplexity": math.exp(min(loss, 700.0)), "bits": loss / math.log(2)}

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        return self._answers(outputs.argmax(-1), batch)

    def truth(self, batch: Batch) -> list[Answer]:
        return self._answers(batch.targets["next"], batch)

    def _answers(self, tokens: Tensor, batch: Batch) -> list[Answer]:
        rows = [row[scored].tolist() for row, scored in zip(tokens, batch.inputs["scored"], strict=True)]
        return [{"text": self.tokenizer.decode(row), "tokens": row} for row in rows]

    def metrics(self) -> list[Metric]:
        return [Language(block=max(1, self.context // (self.context - self.look_back)))]

    def update(self, metrics: list[Metric], outputs: Tensor, batch: Batch) -> None:
        after, scored = batch.targets["next"], batch.inputs["scored"]
        nats = (
            F.cross_entropy(outputs.float().mT, after, reduction="none")
            .masked_fill(~scored, 0)
            .sum(1, dtype=torch.float64)
        )
        right = ((outputs.argmax(-1) == after) & scored).sum(1)
        size = self._bytes[after.cpu()].sum(1)  # padding has none
        for metric in metrics:
            assert isinstance(metric, Language)
            metric.update_arrays(
                scored.sum(1).cpu().numpy(),
                right.cpu().numpy(),
                nats.cpu().numpy(),
                size.numpy() if self.tokenizer.lossless else None,
            )

    def guess(self, batch: Batch) -> list[Answer]:
        """The most frequent token, everywhere; `nats` are those of the frequencies, each one more than was counted."""
        p = (torch.tensor(self.counts, dtype=torch.float64) + 1)[UNKNOWN:]
        nats = F.pad(-(p / p.sum()).log(), (UNKNOWN, 0))
        best = torch.full_like(batch.targets["next"], int(torch.tensor(self.counts).argmax()))
        scored, cost = batch.inputs["scored"].cpu(), nats[batch.targets["next"].cpu()]
        answers = self._answers(best, batch)
        return [
            answer | {"nats": float(row[own].sum())} for answer, row, own in zip(answers, cost, scored, strict=True)
        ]

    def answer(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        max_new_tokens: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        stop: str | None = None,
        seed: int = 0,
    ) -> list[Answer]:
        """Each prompt and how it goes on; `text` is both, `new` the second.

        Args:
            max_new_tokens: length of what is written
            temperature: above 1 more daring, below more cautious; 0 always takes the likeliest token
            top_k: draw from the k likeliest tokens only
            top_p: draw from the likeliest that together have this probability
            min_p: draw from those that have this share of the likeliest one's probability
            repetition_penalty: above 1, tokens that stand in the text become less likely
            stop: text that ends the writing; it is not given out
            seed: of the draws, which depend on it and on the prompt alone
        """
        if max_new_tokens < 0:
            raise ConfigError([f"max_new_tokens: {max_new_tokens} is negative"])
        tail = len(stop.encode()) + 8 if stop else 0
        written = generate(
            model,
            prompts := [row[mask] for row, mask in zip(batch.inputs["x"], batch.inputs["mask"], strict=True)],
            new=max_new_tokens,
            sampling=Sampling(temperature, top_k, top_p, min_p, repetition_penalty),
            seed=seed,
            end=END if self.joined else None,
            banned=(PAD, UNKNOWN, START, MASK, *(() if self.joined else (END,))),
            window=self._window(model.backbone),
            stop=(lambda tokens: stop in self.tokenizer.decode(tokens[-tail:])) if stop else None,
        )
        answers = []
        for prompt, tokens in zip(prompts, written, strict=True):
            new = self.tokenizer.decode(tokens)
            before = self.tokenizer.decode(prompt.tolist())
            new = new.split(stop)[0] if stop else new
            answers.append(
                {"text": before + (" " if before and new and not self.tokenizer.lossless else "") + new, "new": new}
            )
        return answers

    def _window(self, backbone: nn.Module | Tensor) -> int | None:
        """What the model may see at most: a state of fixed size (of an RNN, a TCN) goes on without end."""
        return self.context if hasattr(backbone, "position") or not hasattr(backbone, "step") else None

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        return texts.read(source, self.column, self.style)

    def state_dict(self) -> dict[str, Any]:
        kept = {"joined": self.joined, "counts": self.counts, "column": self.column, "style": self.style}
        return kept | {"tokenizer": self.tokenizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokenizer = restored(state["tokenizer"])
        self.joined, self.counts = state["joined"], state["counts"]
        self.column, self.style = state["column"], state.get("style", {})
        self._ready()
