"""Tokenizers: text to numbers and back. Learned from the training split, kept as plain values in the run."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from dlzoo.choices import Tokens
from dlzoo.errors import ConfigError

PAD, UNKNOWN, END = 0, 1, 2
"""Ids that every tokenizer keeps: padding, what the vocabulary lacks, the end of a text. No text encodes to 0 or 2."""
RESERVED = 3
WORD = re.compile(r"\w+(?:['’]\w+)*|([^\w\s])\1*")
"""A word with its inner apostrophes, or a run of one punctuation mark (`!!!`)."""


class Tokenizer(ABC):
    """Text (str) to ids (int32 array) and back; ids below RESERVED are not the text's own."""

    name: ClassVar[str]
    lossless: ClassVar[bool] = True
    """`decode(encode(text)) == text` wherever nothing was unknown."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of ids, the reserved ones included."""

    @abstractmethod
    def fit(self, texts: Iterable[str]) -> None:
        """Learn the vocabulary from the training split."""

    @abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """Ids (T,) int32 of a text; empty for an empty one."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; reserved ones give none, but for the unknown, which gives the sign U+FFFD."""

    @abstractmethod
    def widths(self) -> np.ndarray:
        """Bytes (V,) int64 of UTF-8 that each id stands for: what bits per byte are counted with."""

    def state_dict(self) -> dict[str, Any]:
        """What `fit` learned, as plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """The inverse of `state_dict`."""


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

    def fit(self, texts: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        self._set("".join(sorted(_frequent(counts, self.limit, self.least))))

    def encode(self, text: str) -> np.ndarray:
        return self._table[np.minimum(_codes(text), len(self._table) - 1)]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.symbols[i - RESERVED] if i >= RESERVED else "�" for i in ids if i not in (PAD, END))

    def widths(self) -> np.ndarray:
        return np.array([0, 1, 0] + [len(symbol.encode("utf-8", "surrogatepass")) for symbol in self.symbols])

    def state_dict(self) -> dict[str, Any]:
        return {"symbols": self.symbols}

    def load_state_dict(self, state: dict[str, Any]) -> None:
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

    def fit(self, texts: Iterable[str]) -> None:
        counts = Counter(match.group() for text in texts for match in WORD.finditer(text))
        self._set(_frequent(counts, self.limit, self.least))

    def _set(self, words: list[str]) -> None:
        self.words = words
        self._ids = {word: i for i, word in enumerate(words, RESERVED)}

    def encode(self, text: str) -> np.ndarray:
        ids = self._ids
        return np.array([ids.get(match.group(), UNKNOWN) for match in WORD.finditer(text)], np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(self.words[i - RESERVED] if i >= RESERVED else "�" for i in ids if i not in (PAD, END))

    def widths(self) -> np.ndarray:
        return np.array([0, 1, 0] + [len(word.encode("utf-8", "surrogatepass")) + 1 for word in self.words])

    def state_dict(self) -> dict[str, Any]:
        return {"words": self.words}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._set(list(state["words"]))


class Bytes(Tokenizer):
    """One id a byte of UTF-8: nothing is unknown, nothing is learned."""

    name = "bytes"

    @property
    def size(self) -> int:
        return RESERVED + 256

    def fit(self, texts: Iterable[str]) -> None:
        """Nothing to learn."""

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int32) + RESERVED

    def decode(self, ids: Iterable[int]) -> str:
        return bytes(i - RESERVED for i in ids if i >= RESERVED).decode("utf-8", "replace")

    def widths(self) -> np.ndarray:
        return np.repeat([0, 1], [RESERVED, 256])


class BytePairs(Tokenizer):
    """Byte-pair encoding over bytes (Sennrich et al., 2016; Radford et al., 2019), trained by `tokenizers`.

    Its ids are shifted by RESERVED, so no text of a user can spell a reserved one.
    """

    name = "bpe"

    def __init__(self, limit: int | None = None, least: int = 2) -> None:
        self.limit, self.least = limit or 4096, least
        self._bpe: Any = None

    @property
    def size(self) -> int:
        return RESERVED + (self._bpe.get_vocab_size() if self._bpe else 256)

    def fit(self, texts: Iterable[str]) -> None:
        from tokenizers import Tokenizer as Library
        from tokenizers import decoders, models, pre_tokenizers, trainers

        self._bpe = Library(models.BPE())
        self._bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.limit,
            min_frequency=self.least,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        self._bpe.train_from_iterator(texts, trainer)

    def encode(self, text: str) -> np.ndarray:
        text = text.encode("utf-8", "replace").decode()  # half a character, from a terminal: the library raises
        return np.array(self._bpe.encode(text).ids, np.int32) + np.int32(RESERVED)

    def decode(self, ids: Iterable[int]) -> str:
        return self._bpe.decode([i - RESERVED for i in ids if i >= RESERVED], skip_special_tokens=False)

    def widths(self) -> np.ndarray:
        # in byte-level BPE each character of an entry stands for one byte
        entries = self._bpe.get_vocab()
        return np.array([0] * RESERVED + [len(entry) for entry in sorted(entries, key=entries.__getitem__)])

    def state_dict(self) -> dict[str, Any]:
        return {"bpe": json.loads(self._bpe.to_str())} if self._bpe else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        from tokenizers import Tokenizer as Library

        self._bpe = Library.from_str(json.dumps(state["bpe"]))


def tokenizer(name: Tokens, limit: int | None = None, least: int | None = None) -> Tokenizer:
    """A fresh tokenizer by name.

    `limit` is the largest vocabulary (bpe: 4096 where it is not given), `least` how often an entry is seen at least
    (characters: 1, words and bpe: 2). Bytes take neither. Raises ConfigError for what a tokenizer cannot do.
    """
    if name == "bytes":
        if limit is not None or least is not None:
            raise ConfigError(["task: `vocab` and `min_count` say nothing for tokenizer: bytes; leave them out"])
        return Bytes()
    if name == "bpe" and limit is not None and limit < 256:
        raise ConfigError([f"task.vocab: {limit} is too small for tokenizer: bpe, which has every byte: 256 or more"])
    if name == "characters":
        return Characters(limit, least or 1)
    return (Words if name == "words" else BytePairs)(limit, least or 2)


def _frequent(counts: Counter[str], limit: int | None, least: int) -> list[str]:
    """The most frequent first; equals in alphabetical order, so that the same texts always give the same list."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [entry for entry, n in ranked if n >= least][:limit]


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
