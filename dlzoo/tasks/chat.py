"""What an assistant says next in a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlzoo import jsontext
from dlzoo.choices import Count, Share, TokenSource, Whole
from dlzoo.data import conversation_files, text_files
from dlzoo.data.dataset import Pieces, Sample, Subset
from dlzoo.errors import DataError
from dlzoo.metrics.metric import Answer
from dlzoo.registry import TASKS
from dlzoo.tasks.next_token import NextToken
from dlzoo.tasks.turn_windows import TurnWindows
from dlzoo.transforms.text import END, START

ASSISTANT = "assistant"


@TASKS.register("chat")
class Chat(NextToken):
    """Tokens (B, T) of a conversation to the scores (B, T, V) of what comes after each; the assistant's turns count.

    A turn is START, its role, a new line, what is said, END: ids that no text can spell. A conversation that is longer
    than the context is cut into windows of whole turns; each token of the assistant's is scored once. The system's turn
    stands at the front of every window, unless it is longer than look_back or half of the context.

    Args:
        tokenizer: what a token is, or a tokenizer.json (or its folder/); null for characters, or what the model brings
        vocab: largest vocabulary, the most frequent first; null for no limit (parts of words: 4096)
        min_count: times that an entry occurs in the training split at least; null for 2 (characters: 1)
        context: tokens in one window
        look_back: tokens of a window, in whole turns, that an earlier one has read already, the system's turn among
            them; null for half of context
        tie: use one matrix for the embedding and for the scores
        smoothing: share of the target that is spread over the vocabulary in training
    """

    needs = ("messages",)
    ragged = ("x", "next", "prompt")

    def __init__(
        self,
        tokenizer: TokenSource | None = None,
        vocab: Count | None = None,
        min_count: Count | None = None,
        context: Count = 256,
        look_back: Whole | None = None,
        tie: bool = False,
        smoothing: Share = 0.0,
    ):
        super().__init__(tokenizer, vocab, min_count, context, look_back, tie, smoothing)

    def fit(self, data: Subset) -> None:
        turns = [turn for messages in data.column("messages") for turn in messages]
        self.tokenizer.fit(text for turn in turns for text in (_heading(turn["role"]), turn["content"]))
        replies = [turn["content"] for turn in turns if turn["role"] == ASSISTANT]
        if not replies:
            raise DataError("the training split has no turn of the assistant")
        self.count(replies, ends=len(replies))

    def render(self, messages: Sequence[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        """Messages as tokens (T,) int32, and which of them are scored (T,): what the assistant says, and its END."""
        tokens, scored = [np.empty(0, np.int32)], [np.empty(0, bool)]
        for turn in messages:
            heading, said = self._opened[turn["role"]], self.tokenizer.encode(turn["content"])
            said = np.append(said, np.int32(END))
            tokens += [heading, said]
            scored += [np.zeros(len(heading), bool), np.full(len(said), turn["role"] == ASSISTANT)]
        return np.concatenate(tokens), np.concatenate(scored)

    def _ready(self) -> None:
        super()._ready()
        headings = {role: self.tokenizer.encode(_heading(role)) for role in conversation_files.ROLES}
        self._opened = {role: np.append(np.int32(START), tokens) for role, tokens in headings.items()}

    def pieces(self, data: Subset, split: str) -> Pieces:
        return TurnWindows(data, self.render, self._lead, self.context, self.look_back)

    def _lead(self, tokens: np.ndarray) -> int:
        """How many of tokens (T,) are the system's turn, which all windows begin with; 0 of one that is too long."""
        opened = self._opened["system"]
        if not np.array_equal(tokens[: len(opened)], opened):
            return 0
        size = int((tokens[1:] == START).argmax()) + 1
        return size if size <= min(self.look_back, (self.context - 1) // 2) else 0

    def prompt(self, sample: Sample) -> np.ndarray:
        """The conversation, and the beginning of the assistant's turn. Raises DataError where it has spoken last."""
        if sample["messages"][-1]["role"] == ASSISTANT:
            raise DataError("the conversation ends with the assistant's turn: end it with what is to be answered")
        return np.concatenate([self.render(sample["messages"])[0], self._opened[ASSISTANT]])

    def fitting(self, prompt: Tensor, room: int) -> Tensor:
        """The system's turn and the last whole turns; of a turn that is longer than the room, the end."""
        if len(prompt) <= room:
            return prompt
        lead = self._lead(prompt.numpy(force=True))
        front, rest, room = prompt[:lead], prompt[lead:], room - lead
        starts = (rest == START).nonzero()[:-1, 0]  # but for the beginning of the reply
        fits = starts[len(rest) - starts <= room]
        return torch.cat([front, rest[int(fits[0]) :] if len(fits) else rest[-room:]])

    def told(self, prompt: Tensor, new: str) -> str:
        """The reply alone."""
        return new

    def answered(self, prompt: Tensor, new: str) -> Answer:
        return {"reply": new}

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        """Conversations in a JSON file, line or argument, each to be answered; any other text is a user's turn."""
        if isinstance(source, Path):
            if source.suffix.lower() in conversation_files.SUFFIXES:
                yield from conversation_files.read(source)
                return
            for sample in text_files.read_texts(source):
                yield sample if isinstance(sample, DataError) else _alone(sample["text"], sample["source"])
            return
        try:
            value = jsontext.loads(source)
        except ValueError:
            value = None
        if isinstance(value, dict) and value.keys() & conversation_files.FORMS.keys():
            yield conversation_files.conversation(value, source)
        else:
            yield _alone(source, source)


def _heading(role: str) -> str:
    return f"{role}\n"


def _alone(text: str, source: str) -> Sample:
    return {"messages": [{"role": "user", "content": text}], "source": source}
