"""A tag for each word of a text: parts of speech, names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from dlzoo import jsontext
from dlzoo.choices import Chance, Count, Share, TokenSource
from dlzoo.data.dataset import Sample, Subset
from dlzoo.data.tagged_words import SUFFIXES, WORDS, read_tagged
from dlzoo.data.text_files import lines
from dlzoo.errors import DataError, printable
from dlzoo.features import Features
from dlzoo.heads.chosen import Chosen
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.metrics.tags import Tags, span_labels, spans
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example, Task
from dlzoo.tasks import texts
from dlzoo.tasks.classification import GAMMA
from dlzoo.tasks.labels import where
from dlzoo.tasks.one_label import OneLabel
from dlzoo.transforms.text import PAD, UNKNOWN, WORD, restored


@TASKS.register("token_classification")
class TokenClassification(Task):
    """Words, each as one token or several (B, T), to scores (N, K) of the N words' tags, at the first token of each.

    Each word is tokenized by itself, with the space before it. Where all tags mark spans (B-PER, I-PER, O ...), spans
    are answered and scored, too.

    Args:
        tokenizer: what a token is, or a tokenizer.json (or its folder/); null for wordpiece, or what the model brings
        vocab: largest vocabulary, the most frequent first; null for no limit (parts of words: 4096)
        min_count: times that an entry occurs in the training split at least; null for 2 (characters: 1)
        lower: make all letters small first; null for no
        context: longest text in tokens; a longer one is an error, as some of its words would have no tag
        word_dropout: share of the tokens of a training text that is made unknown
        smoothing: share of the target that is spread over all classes
    """

    needs = ("words", "tags")
    accepts = ("sequence",)
    monitor = "accuracy"
    baseline = "most frequent tag of each word"
    ragged = ("tokens", "first", "places", "letters", "tags")

    def __init__(
        self,
        tokenizer: TokenSource | None = None,
        vocab: Count | None = None,
        min_count: Count | None = None,
        lower: bool | None = None,
        context: Count = 256,
        word_dropout: Chance = 0.0,
        smoothing: Share = 0.0,
    ):
        self.tokenizer = texts.tokenizer(tokenizer, "wordpiece", vocab, min_count, bool(lower))
        self.context = context
        self.word_dropout = word_dropout
        self.labels = OneLabel("cross_entropy", smoothing, GAMMA, balance=False)
        self.usual: dict[str, int] = {}
        """The most frequent class of each word, where it is not that of all words."""
        self.style: dict[str, Any] = {}
        """How the data writes its words: a file to predict is read alike."""
        self.txt_columns = False
        """Whether a .txt file to predict is one of columns, not a text a line."""

    def fit(self, data: Subset) -> None:
        words, tags = data.column("words"), data.column("tags")
        self.labels.fit([tag for own in tags for tag in own])
        self.tokenizer.fit(" ".join(own) for own in words)
        counts: dict[str, Counter[str]] = {}
        for word, tag in (pair for both in zip(words, tags, strict=True) for pair in zip(*both, strict=True)):
            counts.setdefault(word, Counter())[tag] += 1
        best = {word: self.labels.index[min(found, key=lambda t: (-found[t], t))] for word, found in counts.items()}
        self.usual = {word: number for word, number in best.items() if number != self._most}
        self.style = getattr(data.dataset, "style", {})
        self.txt_columns = getattr(data.dataset, "txt_columns", False)
        self._ready()

    def _ready(self) -> None:
        self.spanned = bool(span_labels(self.labels.classes))
        self.monitor = "f1" if self.spanned else "accuracy"

    @property
    def _most(self) -> int:
        """The class that most words have."""
        return max(range(len(self.labels.counts)), key=self.labels.counts.__getitem__)

    def facts(self) -> dict[str, Any]:
        return {"vocab_size": self.tokenizer.size, "context": self.context}

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        """`tokens` (T,), which of them are the `first` (W,) of a word, `letters` (L,) of the text and the `places`
        (W, 2) where words begin and end in it; and the numbers of the `tags` (W,).

        A sample has words, or a text that is cut into words and marks.
        """
        if "words" in sample:
            text, ends = " ".join(sample["words"]), list(accumulate(len(word) + 1 for word in sample["words"]))
            places = [(end - 1 - len(word), end - 1) for word, end in zip(sample["words"], ends, strict=True)]
        else:
            text = sample["text"]
            places = [match.span() for match in WORD.finditer(text)]
        if not places:
            raise DataError(f"{where(sample)}there is no word in this text")
        ids = list(self.tokenizer.before)
        first = []
        for start, end in places:
            first.append(len(ids))
            word = text[start:end]
            ids += self.tokenizer.encode(f" {word}" if len(first) > 1 else word).tolist() or [UNKNOWN]
        ids += self.tokenizer.after
        if len(ids) > self.context:
            raise DataError(
                f"{where(sample)}{len(ids):,} tokens in {len(places):,} words, and task.context is {self.context}: "
                "cut the text into sentences, or train with a larger context"
            )
        example = {"tokens": torch.tensor(ids), "first": torch.tensor(first)}
        example |= {"letters": texts.letters(text), "places": torch.tensor(places)}
        return example | ({"tags": self._tags(sample)} if "tags" in sample else {})

    def _tags(self, sample: Sample) -> Tensor:
        index = self.labels.index
        if unknown := [i for i, tag in enumerate(sample["tags"]) if tag not in index]:
            word = f"word {unknown[0] + 1}, '{printable(sample['words'][unknown[0]])}'"
            self.labels.number(sample["tags"][unknown[0]], {"source": f"{sample.get('source', '')} {word}".strip()})
        return torch.tensor([index[tag] for tag in sample["tags"]])

    def collate(self, columns: Columns) -> Batch:
        x = pad_sequence(columns["tokens"], batch_first=True, padding_value=PAD)
        chosen = torch.zeros(x.shape, dtype=torch.bool)
        for row, first in zip(chosen, columns["first"], strict=True):
            row[first] = True
        inputs = {"x": x, "mask": x != PAD, "chosen": chosen}
        inputs |= {"letters": columns["letters"], "places": columns["places"]}
        targets = {"tags": torch.cat(columns["tags"])} if "tags" in columns else {}
        return Batch(inputs, targets, count=int(chosen.sum()))

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        return texts.lose_words(batch, self.word_dropout, rng)

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        assert isinstance(backbone.features.dim, int)
        return Chosen(nn.Linear(backbone.features.dim, len(self.labels.classes)))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return self.labels.loss(outputs, batch.targets["tags"])

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        scores, numbers = self.labels.probabilities(outputs).max(-1)
        return self._answers(numbers, scores, batch)

    def truth(self, batch: Batch) -> list[Answer]:
        return self._answers(batch.targets["tags"], torch.ones(batch.count), batch)

    def guess(self, batch: Batch) -> list[Answer]:
        words = [word for row in self._words(batch) for word in row]
        numbers = torch.tensor([self.usual.get(word, self._most) for word in words])
        return self._answers(numbers, torch.ones(batch.count), batch)

    def _words(self, batch: Batch) -> list[list[str]]:
        """The words of each text, as they are written there."""
        found = zip(map(texts.spelled, batch.inputs["letters"]), batch.inputs["places"], strict=True)
        return [[text[start:end] for start, end in places.tolist()] for text, places in found]

    def _answers(self, numbers: Tensor, scores: Tensor, batch: Batch) -> list[Answer]:
        counts = [len(places) for places in batch.inputs["places"]]
        answers = []
        for words, places, own, sure in zip(
            self._words(batch), batch.inputs["places"], numbers.split(counts), scores.split(counts), strict=True
        ):
            tags = [self.labels.classes[i] for i in own.tolist()]
            start, end = places.T.tolist()
            answer: Answer = {"words": words, "tags": tags, "scores": sure.tolist(), "start": start, "end": end}
            answers.append(answer | ({"spans": _spans(answer)} if self.spanned else {}))
        return answers

    def update(self, metrics: list[Metric], outputs: Tensor, batch: Batch) -> None:
        counts = [len(places) for places in batch.inputs["places"]]
        answers, truths = (
            [{"tags": [self.labels.classes[i] for i in own.tolist()]} for own in numbers.split(counts)]
            for numbers in (outputs.argmax(-1), batch.targets["tags"])
        )
        for metric in metrics:
            metric.update(answers, truths)

    def metrics(self) -> list[Metric]:
        return [Tags(self.labels.classes)]

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        """A file of columns or JSON lines with words; of another, each line is a text, and so is an argument; or it is
        a JSON object with words or a text.
        """
        if isinstance(source, Path):
            suffix = source.suffix.lower()
            if suffix not in SUFFIXES or (suffix == ".txt" and not self.txt_columns):
                return lines(source, self.style.get("encoding", "utf-8"))
            return read_tagged(source, **self._style(suffix), tagged=False)
        return iter([_spoken(source)])

    def _style(self, suffix: str) -> dict[str, Any]:
        """How a file with that suffix is read: a column's number says nothing of JSON lines, nor a key of columns."""
        word = self.style.get("word")
        alike = word is None or str(word).lstrip("-").isdigit() != (suffix == ".jsonl")
        return self.style if alike else self.style | {"word": None}

    def state_dict(self) -> dict[str, Any]:
        learned = {"usual": self.usual, "style": self.style, "txt_columns": self.txt_columns}
        return self.labels.state_dict() | learned | {"tokenizer": self.tokenizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.labels.load_state_dict(state)
        self.tokenizer = restored(state["tokenizer"])
        self.usual, self.style, self.txt_columns = state["usual"], state["style"], state["txt_columns"]
        self._ready()


def _spoken(source: str) -> Sample:
    """The sample in an argument or a line: a text, or a JSON object with words or a text."""
    try:
        row = jsontext.loads(source) if source.lstrip().startswith("{") else {}
    except ValueError:
        row = {}
    words = next((row[key] for key in WORDS if key in row), None)
    if isinstance(words, list) and words and all(isinstance(word, str) and word.strip() for word in words):
        return {"words": words, "source": source}
    return {"text": row["text"] if isinstance(row.get("text"), str) else source, "source": source}


def _spans(answer: Answer) -> list[dict[str, Any]]:
    """The spans that the tags of an answer mark, each as sure as its least sure word."""
    found = []
    for label, first, last in spans(answer["tags"]):
        words = slice(first, last)
        found.append(
            {
                "label": label,
                "text": " ".join(answer["words"][words]),
                "start": answer["start"][first],
                "end": answer["end"][last - 1],
                "score": min(answer["scores"][words]),
            }
        )
    return found
