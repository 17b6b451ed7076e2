"""What the tasks share that foretell the next token: what is scored, and how they write."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from dlzoo import losses
from dlzoo.choices import TokenSource
from dlzoo.data.dataset import Sample
from dlzoo.decoding import Reader, generate
from dlzoo.decoding import stream as drawn
from dlzoo.errors import ConfigError, UserError
from dlzoo.metrics.language import Language
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.task import Batch, Columns, Example, Task
from dlzoo.tasks import texts
from dlzoo.tasks.writing import Writing
from dlzoo.transforms.text import END, MASK, PAD, START, UNKNOWN, restored


class NextToken(Task):
    """Tokens (B, T) to the scores (B, T, V) of what comes after each; targets `next` (B, T), PAD where none is scored.

    A sample is a window of `pieces`, with `x` and `next`; or one to predict, which `prompt` makes tokens of.
    """

    accepts = ("sequence",)
    causal = True
    monitor = "-loss"
    baseline = "unigram frequencies"
    ragged: tuple[str, ...] = ("prompt",)
    writes = True
    ends = True
    """END is a token that can come next: it ends what is written."""

    def __init__(
        self,
        tokenizer: TokenSource | None,
        vocab: int | None,
        min_count: int | None,
        context: int,
        look_back: int | None,
        tie: bool,
        smoothing: float,
    ):
        self.tokenizer = texts.tokenizer(tokenizer, "characters", vocab, min_count, lower=False)
        self.context = context
        self.look_back = context // 2 if look_back is None else look_back
        self.tie = tie
        self.smoothing = smoothing
        self.counts: list[int] = []
        """How often each token is scored in the training split."""
        if not 0 <= self.look_back < context:
            raise ConfigError(
                [f"task.look_back: {self.look_back} is not below the context of {context}: nothing is left to score"]
            )

    def count(self, own: Iterable[str], ends: int) -> None:
        """Learn how often tokens occur in texts, behind which END stands so many times."""
        counts = np.zeros(self.tokenizer.size, np.int64)
        for text in own:
            counts += np.bincount(self.tokenizer.encode(text), minlength=len(counts))
        counts[END] = ends
        self.counts = counts.tolist()
        self._ready()

    def _ready(self) -> None:
        self._bytes = torch.from_numpy(self.tokenizer.widths())

    def facts(self) -> dict[str, Any]:
        return {"vocab_size": self.tokenizer.size, "context": self.context}

    @abstractmethod
    def prompt(self, sample: Sample) -> np.ndarray:
        """The tokens (t,), one at least, behind which the answer to a sample is written."""

    @abstractmethod
    def told(self, prompt: Tensor, new: str) -> str:
        """The text that answers a prompt (t,), once `new` has been written behind it."""

    @abstractmethod
    def answered(self, prompt: Tensor, new: str) -> Answer:
        """The answer that has this text."""

    def fitting(self, prompt: Tensor, room: int) -> Tensor:
        """As much of a prompt (t,) as is read, where `room` tokens leave place for what is written."""
        return prompt[-self.context :]

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        """A window of `pieces`; or a prompt (t,), t at most `context`."""
        if "x" in sample:
            return {"x": sample["x"], "next": sample["next"]}
        prompt = torch.from_numpy(self.prompt(sample).astype(np.int64))
        return {"prompt": self.fitting(prompt, self.context)}

    def collate(self, columns: Columns) -> Batch:
        if "prompt" in columns:
            lengths = torch.tensor([len(prompt) for prompt in columns["prompt"]])
            x = _padded(columns["prompt"])
            mask = torch.arange(x.shape[1]) < lengths[:, None]
            return Batch({"x": x, "mask": mask, "scored": mask}, {}, count=int(lengths.sum()))
        x, after = _padded(columns["x"]), _padded(columns["next"])
        scored = after != PAD
        return Batch({"x": x, "mask": x != PAD, "scored": scored}, {"next": after}, count=int(scored.sum()))

    def head(self, backbone: nn.Module) -> nn.Module:
        return texts.scores(backbone, self.tokenizer.size, self.tie, getattr(backbone, "embed", None))

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
        return [Language()]

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
        max_new_tokens: int = Writing.max_new_tokens,
        temperature: float = Writing.temperature,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = Writing.repetition_penalty,
        stop: list[str] | None = None,
        seed: int = Writing.seed,
    ) -> list[Answer]:
        """What is written behind each prompt. Raises UserError for windows, whose next tokens are known.

        Args:
            max_new_tokens: length of what is written
            temperature: above 1 more daring, below more cautious; 0 always takes the likeliest token
            top_k: draw from the k likeliest tokens only
            top_p: draw from the likeliest that together have this probability
            min_p: draw from those that have this share of the likeliest one's probability
            repetition_penalty: above 1, tokens that stand in the text become less likely
            stop: text that ends the writing, and is not given out; may be given several times
            seed: of the draws, which depend on it and on the prompt alone
        """
        if batch.targets:
            raise UserError("the next tokens of the text are scored, not what is written freely: leave the options out")
        writing = Writing(temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, tuple(stop or ()), seed)
        prompts = self._prompts(batch, writing)
        written = generate(model, prompts, **self._drawing(model, writing))
        texts = [writing.text(self.tokenizer, tokens) for tokens in written]
        return [self.answered(prompt, new) for prompt, new in zip(prompts, texts, strict=True)]

    def stream(self, model: nn.Module, batch: Batch, reader: Reader | None = None, **options: Any) -> Iterator[str]:
        """The text of the answer to a batch of one, piece by piece as it is written; options are `answer`'s.

        reader: of an earlier call, whose state is gone on with where the prompt is.
        """
        writing = Writing(**options)
        (prompt,) = self._prompts(batch, writing)
        tokens: list[int] = []
        said = 0
        for found in drawn(model, [prompt], reader=reader, **self._drawing(model, writing)):
            tokens += [token for _, token in found]
            text = self.told(prompt, writing.settled(self.tokenizer, tokens))
            if text[said:]:
                yield text[said:]
            said = max(said, len(text))
        if rest := self.told(prompt, writing.text(self.tokenizer, tokens))[said:]:
            yield rest

    def reader(self, model: nn.Module) -> Reader:
        """What `stream` can keep from one answer to the next."""
        return Reader(model, self._window(model.backbone))

    def _prompts(self, batch: Batch, writing: Writing) -> list[Tensor]:
        room = self.context - min(writing.max_new_tokens, self.context // 2)
        rows = zip(batch.inputs["x"], batch.inputs["mask"], strict=True)
        return [self.fitting(row[mask], room) for row, mask in rows]

    def _drawing(self, model: nn.Module, writing: Writing) -> dict[str, Any]:
        return {
            "new": writing.max_new_tokens,
            "sampling": writing,
            "seed": writing.seed,
            "end": END if self.ends else None,
            "banned": (PAD, UNKNOWN, START, MASK, *(() if self.ends else (END,))),
            "window": self._window(model.backbone),
            "stop": (lambda tokens: writing.stopped(self.tokenizer, tokens)) if writing.stop else None,
        }

    def _window(self, backbone: nn.Module | Tensor) -> int | None:
        """What the model may see at most: a state of fixed size (of an RNN, a TCN) goes on without end."""
        return self.context if hasattr(backbone, "position") or not hasattr(backbone, "step") else None

    def state_dict(self) -> dict[str, Any]:
        return {"counts": self.counts, "tokenizer": self.tokenizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokenizer, self.counts = restored(state["tokenizer"]), state["counts"]
        self._ready()


def _padded(rows: Tensor | list[Tensor]) -> Tensor:
    return rows if isinstance(rows, Tensor) else pad_sequence(rows, batch_first=True, padding_value=PAD)
