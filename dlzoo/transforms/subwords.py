"""Tokenizers whose tokens are parts of words, trained by the library `tokenizers`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from string import punctuation
from typing import Any

import numpy as np

from dlzoo.transforms.text import RESERVED, UNKNOWN, Tokenizer, frequent

LIMIT = 4096
"""The largest vocabulary where none is given."""
LETTERS = 1000
"""Different letters that a vocabulary of word pieces has at most."""
LOST = "[UNK]"
SPACES = ("Ġ", "▁", "Ċ", "ĉ")
"""How vocabularies spell a space, a new line and a tab at the front of an entry."""


class Subwords(Tokenizer):
    """What a trained tokenizer of the library does. Its id i is our i + `shift`: no text can spell a reserved one."""

    shift = RESERVED
    _library: Any = None
    _goes_on: np.ndarray | None = None

    def _keep(self, library: Any) -> None:
        library.encode_special_tokens = True  # "[MASK]" in a user's text is text
        self._library, self._goes_on = library, None

    @property
    def size(self) -> int:
        return self.shift + (self._library.get_vocab_size() if self._library else 256)

    def ids(self, text: str) -> np.ndarray:
        text = text.encode("utf-8", "replace").decode()  # half a character, from a terminal: the library raises
        return np.array(self._library.encode(text, add_special_tokens=False).ids, np.int32) + np.int32(self.shift)

    def decode(self, ids: Iterable[int]) -> str:
        return self._library.decode([i - self.shift for i in ids if i >= RESERVED], skip_special_tokens=False)

    def entries(self) -> list[str]:
        """The library's vocabulary, in the order of its ids."""
        vocabulary = self._library.get_vocab()
        return sorted(vocabulary, key=vocabulary.__getitem__)

    def begins(self, ids: np.ndarray) -> np.ndarray:
        if self._goes_on is None:
            theirs = continuing(self.entries())
            self._goes_on = np.array([i >= RESERVED and theirs[self._theirs(i)] for i in range(self.size)])
        return ~self._goes_on[ids]

    def _theirs(self, i: int) -> int:
        """The library's id of one of ours that is not reserved."""
        return i - self.shift

    def widths(self) -> np.ndarray:
        # of a byte-level tokenizer each character of an entry stands for one byte
        return np.array([0] * RESERVED + [len(entry) for entry in self.entries()])

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | ({"library": json.loads(self._library.to_str())} if self._library else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        from tokenizers import Tokenizer as Library

        super().load_state_dict(state)
        self._keep(Library.from_str(json.dumps(state["library"])))


class BytePairs(Subwords):
    """Byte-pair encoding over bytes (Sennrich et al., 2016; Radford et al., 2019)."""

    name = "bpe"

    def __init__(self, limit: int = LIMIT, least: int = 2) -> None:
        self.limit, self.least = limit, least

    def learn(self, texts: Iterable[str]) -> None:
        from tokenizers import models, trainers

        library, letters = _over_bytes(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=self.limit, min_frequency=self.least, initial_alphabet=letters, show_progress=False
        )
        library.train_from_iterator(texts, trainer)
        self._keep(library)


class Unigram(Subwords):
    """The likeliest pieces under a unigram model (Kudo, 2018, arXiv:1804.10959), over bytes: nothing is unknown."""

    name = "unigram"

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit

    def learn(self, texts: Iterable[str]) -> None:
        from tokenizers import models, trainers

        library, letters = _over_bytes(models.Unigram())
        trainer = trainers.UnigramTrainer(vocab_size=self.limit, initial_alphabet=letters, show_progress=False)
        library.train_from_iterator(texts, trainer)
        pieces = json.loads(library.to_str())["model"]["vocab"]
        self._keep(_over_bytes(models.Unigram(_ordered(pieces)))[0])


class WordPieces(Subwords):
    """The longest pieces of each word from its front (Wu et al., 2016), as BERT has them; spaces are not kept."""

    name = "wordpiece"
    lossless = False
    shift = RESERVED - 1  # the library's id 0 is the unknown

    def __init__(self, limit: int = LIMIT, least: int = 2) -> None:
        self.limit, self.least = limit, least

    def learn(self, texts: Iterable[str]) -> None:
        from tokenizers import models, trainers

        texts = list(texts)
        counts = Counter(letter for text in texts for letter in text if not letter.isspace())
        letters = sorted(frequent(counts, LETTERS, 1))
        # named beforehand, letters have an order: that of the library's hash table would break ties between pieces
        fixed = [LOST, *letters, *(f"##{letter}" for letter in letters)]
        library = self._pieces(models.WordPiece(unk_token=LOST))
        trainer = trainers.WordPieceTrainer(
            vocab_size=max(self.limit + 1, len(fixed)),
            min_frequency=self.least,
            special_tokens=fixed,
            show_progress=False,
        )
        library.train_from_iterator(texts, trainer)
        self._keep(self._pieces(models.WordPiece(library.get_vocab(), unk_token=LOST)))

    @staticmethod
    def _pieces(model: Any) -> Any:
        from tokenizers import Tokenizer as Library
        from tokenizers import decoders, pre_tokenizers

        library = Library(model)
        library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        library.decoder = decoders.WordPiece()
        return library

    def ids(self, text: str) -> np.ndarray:
        ids = super().ids(text)
        return np.where(ids == self.shift, np.int32(UNKNOWN), ids)

    def decode(self, ids: Iterable[int]) -> str:
        known = [0 if i == UNKNOWN else i - self.shift for i in ids if i == UNKNOWN or i >= RESERVED]
        return self._library.decode(known, skip_special_tokens=False).replace(LOST, "�")

    def widths(self) -> np.ndarray:
        return super().widths()[1:]


def continuing(entries: list[str]) -> list[bool]:
    """Which entries of a vocabulary go on with a word: those with WordPiece's `##`, or else those without the sign for
    a space, a new line or a tab in front (byte-level: Ġ, Ċ, ĉ; SentencePiece: ▁) that begin with no punctuation.
    """
    if any(entry.startswith("##") for entry in entries):
        return [entry.startswith("##") for entry in entries]
    if not any(entry.startswith(SPACES[:2]) for entry in entries):
        return [False] * len(entries)
    return [not entry.startswith(SPACES) and entry[:1] not in punctuation for entry in entries]


def _ordered(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Pieces by their scores, the same in every process. The library goes through its texts in the order of a hash
    table: on it depend the last digits, and which comes first of the letters that were left over, .0001 apart.
    """
    letters = sorted((score, piece) for piece, score in pieces if len(piece) == 1)
    gaps = [after[0] - before[0] for before, after in pairwise(letters)]
    left = letters[: next((i for i, gap in enumerate(gaps) if gap > 1.5e-4), len(gaps)) + 1]
    renamed = zip(sorted(piece for _, piece in left), (score for score, _ in reversed(left)), strict=True)
    ranked = dict(pieces) | dict(renamed)
    return sorted(((piece, round(score, 6)) for piece, score in ranked.items()), key=lambda pair: (-pair[1], pair[0]))


def _over_bytes(model: Any) -> tuple[Any, list[str]]:
    """The library's tokenizer over bytes, each spelled as a letter, and these letters in order."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, pre_tokenizers

    library = Library(model)
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    return library, sorted(pre_tokenizers.ByteLevel.alphabet())
