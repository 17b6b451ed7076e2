"""How a language model writes: how tokens are drawn, when it stops, and which text is there for good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dlzoo.decoding import Sampling
from dlzoo.errors import ConfigError
from dlzoo.transforms.text import Tokenizer

PARTS = 8
"""Tokens that a stop text may begin and end in the midst of, more than are looked through."""


@dataclass(frozen=True)
class Writing(Sampling):
    """Sampling, and what ends the writing. Raises ConfigError for what makes no sense.

    Args:
        max_new_tokens: length of what is written
        stop: texts that end the writing; they are not given out
        seed: of the draws
    """

    max_new_tokens: int = 200
    stop: Sequence[str] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_new_tokens < 0:
            raise ConfigError([f"max_new_tokens: {self.max_new_tokens} is negative"])
        if "" in self.stop:
            raise ConfigError(["stop: an empty text would end the writing before it begins; leave it out"])

    def stopped(self, tokenizer: Tokenizer, tokens: list[int]) -> bool:
        """Whether the last of the written tokens complete a stop text."""
        longest = max((len(stop.encode("utf-8", "replace")) for stop in self.stop), default=0)
        return bool(self.stop) and self._cut(text := tokenizer.decode(tokens[-longest - PARTS :])) != text

    def text(self, tokenizer: Tokenizer, tokens: Iterable[int]) -> str:
        """What all the written tokens say, up to the first stop text."""
        return self._cut(tokenizer.decode(tokens))

    def settled(self, tokenizer: Tokenizer, tokens: Iterable[int]) -> str:
        """The front of `text` that no later token changes: without part of a character, or of a stop text."""
        text = self.text(tokenizer, tokens).rstrip("\ufffd")
        begun = (size for stop in self.stop for size in range(1, len(stop)) if text.endswith(stop[:size]))
        return text[: len(text) - max(begun, default=0)]

    def _cut(self, text: str) -> str:
        return text[: min((place for stop in self.stop if (place := text.find(stop)) >= 0), default=len(text))]
