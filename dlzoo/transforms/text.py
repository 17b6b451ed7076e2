"""Tokenizers: text to numbers and back. Learned from the training split, kept as plain values in the run."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from dlzoo.choices import TokenSource
from dlzoo.errors import ConfigError

PAD, UNKNOWN, END, START, MASK = range(5)
"""Ids that every tokenizer keeps: padding, what the vocabulary lacks, the end and the start of a text, a hidden token.
Text encodes to none of them but the second, whatever it spells.
"""
RESERVED = 5
NO_BYTES = [int(i == UNKNOWN) for i in range(RESERVED)]
WORD = re.compile(r"\w+(?:['’]\w+)*|([^\w\s])\1*")
"""A word with its inner apostrophes, or a run of one punctuation mark (`!!!`)."""


class Tokenizer(ABC):
    """Text (str) to ids (int32 array) and back; ids below RESERVED are not the text's own."""

    name: ClassVar[str]
    lossless: bool = True
    """`decode(encode(text)) == text` wherever nothing was unknown."""
    lower: bool = False
    """All letters are made small first."""
    settled: bool = False
    """It was learned elsewhere, and a model knows its ids: `fit` leaves it as it is."""
    before: tuple[int, ...] = ()
    """Ids that stand before every text, and `after` it, where a model has been trained with such."""
    after: tuple[int, ...] = ()

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of ids, the reserved ones included."""

    def fit(self, texts: Iterable[str]) -> None:
        """Learn the vocabulary from the training split."""
        if not self.settled:
            self.learn(text.lower() for text in texts) if self.lower else self.learn(texts)

    def encode(self, text: str) -> np.ndarray:
        """Ids (T,) int32 of a text; empty for an empty one."""
        return self.ids(text.lower() if self.lower else text)

    @abstractmethod
    def learn(self, texts: Iterable[str]) -> None:
        """`fit` for texts whose letters are as they are to be."""

    @abstractmethod
    def ids(self, text: str) -> np.ndarray:
        """`encode` of such a text."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; reserved ones give none, but for the unknown, which gives the sign U+FFFD."""

    def begins(self, ids: np.ndarray) -> np.ndarray:
        """Whether each of ids (T,) begins a word, (T,) bool: all do, but for parts of words that go on with one."""
        return np.ones(len(ids), bool)

    @abstractmethod
    def widths(self) -> np.ndarray:
        """Bytes (V,) int64 of UTF-8 that each id stands for: what bits per byte are counted with."""

    def state_dict(self) -> dict[str, Any]:
        """What `restored` makes it from again: its name and what `fit` learned, as plain values."""
        return {"name": self.name, "lower": self.lower}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Learn what `fit` did of the one whose `state_dict` this is."""
        if state["lower"]:
            self.make_lower()

    def make_lower(self) -> None:
        """Let all letters be made small first."""
        self.lower, self.lossless = True, False


class Characters(Tokenizer):
    """One id a character (code point): the `limit` most frequent, each seen `least` times or more."""

    name = "characters"

    def __init__(self, limit: int | None = None, least: int = 1) -> None:
        self.limit, self.least = limit, least
        self._set("")

    def _set(self, symbols: str) -> None:
        self.symbols = symbols
        codes = _codes(symbols)
        self._table = np.full(int(codes.max(initial=0)) + 2, UNKNOWN, np.int32)  # its last place is for all beyond
        self._table[codes] = np.arange(RESERVED, RESERVED + len(symbols))

    @property
    def size(self) -> int:
        return RESERVED + len(self.symbols)

    def learn(self, texts: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        self._set("".join(sorted(frequent(counts, self.limit, self.least))))

    def ids(self, text: str) -> np.ndarray:
        return self._table[np.minimum(_codes(text), len(self._table) - 1)]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.symbols[i - RESERVED] if i >= RESERVED else "�" for i in _own(ids))

    def widths(self) -> np.ndarray:
        return np.array(NO_BYTES + [len(symbol.encode("utf-8", "surrogatepass")) for symbol in self.symbols])

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"symbols": self.symbols}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._set(state["symbols"])


class Words(Tokenizer):
    """One id a word or a run of punctuation; the space between them is not kept.

    The vocabulary has the `limit` most frequent words, each seen `least` times or more.
    """

    name = "words"
    lossless = False

    def __init__(self, limit: int | None = None, least: int = 2) -> None:
        self.limit, self.least = limit, least
        self.words: list[str] = []
        self._ids: dict[str, int] = {}

    @property
    def size(self) -> int:
        return RESERVED + len(self.words)

    def learn(self, texts: Iterable[str]) -> None:
        counts = Counter(match.group() for text in texts for match in WORD.finditer(text))
        self._set(frequent(counts, self.limit, self.least))

    def _set(self, words: list[str]) -> None:
        self.words = words
        self._ids = {word: i for i, word in enumerate(words, RESERVED)}

    def ids(self, text: str) -> np.ndarray:
        ids = self._ids
        return np.array([ids.get(match.group(), UNKNOWN) for match in WORD.finditer(text)], np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(self.words[i - RESERVED] if i >= RESERVED else "�" for i in _own(ids))

    def widths(self) -> np.ndarray:
        return np.array(NO_BYTES + [len(word.encode("utf-8", "surrogatepass")) + 1 for word in self.words])

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"words": self.words}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._set(list(state["words"]))


class Bytes(Tokenizer):
    """One id a byte of UTF-8: nothing is unknown, nothing is learned."""

    name = "bytes"

    @property
    def size(self) -> int:
        return RESERVED + 256

    def learn(self, texts: Iterable[str]) -> None:
        """Nothing to learn."""

    def ids(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int32) + RESERVED

    def decode(self, ids: Iterable[int]) -> str:
        return bytes(i - RESERVED for i in ids if i >= RESERVED).decode("utf-8", "replace")

    def widths(self) -> np.ndarray:
        return np.repeat([0, 1], [RESERVED, 256])


def tokenizer(name: TokenSource, limit: int | None = None, least: int | None = None, lower: bool = False) -> Tokenizer:
    """A fresh tokenizer by name, or that of a tokenizer.json (or of a folder with one), which `fit` reads.

    `limit` is the largest vocabulary (4096 for parts of words where it is not given), `least` how often an entry is
    seen at least (characters: 1, words, bpe and wordpiece: 2). Raises ConfigError for what a tokenizer cannot do.
    """
    own = _fresh(name, limit, least)
    if lower:
        own.make_lower()
    return own


def _fresh(name: TokenSource, limit: int | None, least: int | None) -> Tokenizer:
    from dlzoo.transforms import subwords
    from dlzoo.transforms.tokenizer_file import FromFile

    fixed = [word for word, value in (("vocab", limit), ("min_count", least)) if value is not None]
    if name == "unigram":
        fixed = [word for word in fixed if word == "min_count"]
    if fixed and name not in ("characters", "words", "bpe", "wordpiece"):
        raise ConfigError([f"task.{word}: says nothing for tokenizer: {name}; leave it out" for word in fixed])
    if name == "bytes":
        return Bytes()
    if name == "characters":
        return Characters(limit, least or 1)
    if name == "words":
        return Words(limit, least or 2)
    if name == "wordpiece":
        return subwords.WordPieces(limit or subwords.LIMIT, least or 2)
    if name not in ("bpe", "unigram"):
        return FromFile(name)
    if limit is not None and limit < 256:
        raise ConfigError(
            [f"task.vocab: {limit} is too small for tokenizer: {name}, which has every byte: 256 or more"]
        )
    limit = limit or subwords.LIMIT
    return subwords.Unigram(limit) if name == "unigram" else subwords.BytePairs(limit, least or 2)


def restored(state: dict[str, Any]) -> Tokenizer:
    """The tokenizer whose `state_dict` this is."""
    from dlzoo.transforms import subwords
    from dlzoo.transforms.tokenizer_file import FromFile

    kinds: tuple[type[Tokenizer], ...] = (
        Characters,
        Words,
        Bytes,
        subwords.BytePairs,
        subwords.Unigram,
        subwords.WordPieces,
        FromFile,
    )
    own = next(kind for kind in kinds if kind.name == state["name"])()
    own.load_state_dict(state)
    return own


def _own(ids: Iterable[int]) -> Iterable[int]:
    """Those that stand for some text: not the reserved ones, but the unknown."""
    return (i for i in ids if i == UNKNOWN or i >= RESERVED)


def frequent(counts: Counter[str], limit: int | None, least: int) -> list[str]:
    """The most frequent first; equals in alphabetical order, so that the same texts always give the same list."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [entry for entry, n in ranked if n >= least][:limit]


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
