"""Tokenizers whose tokens are parts of words, by the library `tokenizers`: trained here, or read from a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from string import punctuation
from typing import Any

import numpy as np

from dlzoo import jsontext
from dlzoo.errors import DataError, printable
from dlzoo.transforms.text import RESERVED, UNKNOWN, Tokenizer, frequent

LIMIT = 4096
"""The largest vocabulary where none is given."""
LETTERS = 1000
"""Different letters that a vocabulary of word pieces has at most."""
LOST = "[UNK]"
SPACES = ("Ġ", "▁", "Ċ", "ĉ")
"""How vocabularies spell a space, a new line and a tab at the front of an entry."""
FILE = "tokenizer.json"
ROLES = ("pad_token", "unk_token", "eos_token", "bos_token", "mask_token")
"""What tokenizer_config.json calls PAD, UNKNOWN, END, START and MASK, in this order."""
OTHER_ROLES = {"eos_token": "sep_token", "bos_token": "cls_token"}
"""What BERT and its kin have in their place."""
USUAL = {
    "pad_token": ("[PAD]", "<pad>", "<|pad|>"),
    "unk_token": ("[UNK]", "<unk>"),
    "eos_token": ("</s>", "<|endoftext|>", "<|im_end|>", "<eos>", "[SEP]"),
    "bos_token": ("<s>", "<|im_start|>", "<bos>", "[CLS]"),
    "mask_token": ("[MASK]", "<mask>"),
}
"""How these are spelled, where there is no tokenizer_config.json beside the file."""


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


class FromFile(Subwords):
    """One that somebody else has trained: a tokenizer.json of the library's, or a folder with one.

    Ids are the file's in their order, behind the reserved ones, which the file's own padding, unknown, end, start and
    mask become: `order` (size,) is the file's id of each, -1 where the file has no such token.
    """

    name = "file"
    lossless = False
    shift = 0

    def __init__(self, path: str = "") -> None:
        self.path = Path(path)
        self.order = np.empty(0, np.int64)

    @property
    def size(self) -> int:
        return len(self.order)

    def learn(self, texts: Iterable[str]) -> None:
        """Read the file; nothing is learned. Raises DataError for one that is missing or none."""
        from tokenizers import Tokenizer as Library

        file = self.path / FILE if self.path.is_dir() else self.path
        name = printable(str(file))
        if not file.is_file():
            raise DataError(f"task.tokenizer: {name} does not exist; choose characters, words, bpe, ... or name a file")
        try:
            library = Library.from_str(file.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises nothing finer
            raise DataError(
                f"{name}: this is no tokenizer of the library `tokenizers`: {printable(str(error))[:200]}"
            ) from None
        library.no_padding()
        library.no_truncation()
        self._take(library, _roles(file.parent, library))

    def _take(self, library: Any, reserved: list[int | None]) -> None:
        self._keep(library)
        own = [i for i in reserved if i is not None]
        rest = np.setdiff1d(np.arange(library.get_vocab_size()), own)
        self.reserved = reserved
        self.order = np.concatenate([[-1 if i is None else i for i in reserved], rest])
        self._ours = np.full(library.get_vocab_size(), UNKNOWN, np.int32)
        self._ours[rest] = np.arange(RESERVED, len(self.order))
        for ours, theirs in reversed(list(enumerate(reserved))):  # where one token has two roles, the first counts
            if theirs is not None:
                self._ours[theirs] = ours
        known = library.decode([int(rest[0])]) if len(rest) else "a"
        marked = library.encode(known, add_special_tokens=True)
        inner = [i for i, special in enumerate(marked.special_tokens_mask) if not special]
        ids = self._ours[marked.ids].tolist()
        self.before, self.after = (tuple(ids[: inner[0]]), tuple(ids[inner[-1] + 1 :])) if inner else ((), ())

    def ids(self, text: str) -> np.ndarray:
        try:
            return self._ours[super().ids(text)]
        except Exception as error:  # the library raises nothing finer
            raise DataError(f"this tokenizer cannot read '{printable(text[:60])}': {printable(str(error))}") from None

    def _theirs(self, i: int) -> int:
        return int(self.order[i])

    def decode(self, ids: Iterable[int]) -> str:
        theirs = [int(self.order[i]) for i in ids if i == UNKNOWN or i >= RESERVED]
        return self._library.decode([i for i in theirs if i >= 0], skip_special_tokens=False)

    def widths(self) -> np.ndarray:
        return np.zeros(self.size, np.int64)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"reserved": self.reserved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._take(self._library, state["reserved"])


def continuing(entries: list[str]) -> list[bool]:
    """Which entries of a vocabulary go on with a word: those with WordPiece's `##`, or else those without the sign for
    a space, a new line or a tab in front (byte-level: Ġ, Ċ, ĉ; SentencePiece: ▁) that begin with no punctuation.
    """
    if any(entry.startswith("##") for entry in entries):
        return [entry.startswith("##") for entry in entries]
    if not any(entry.startswith(SPACES[:2]) for entry in entries):
        return [False] * len(entries)
    return [not entry.startswith(SPACES) and entry[:1] not in punctuation for entry in entries]


def _roles(folder: Path, library: Any) -> list[int | None]:
    """The file's ids of PAD, UNKNOWN, END, START and MASK: as tokenizer_config.json says, else by their usual names."""
    try:
        said = jsontext.load(folder / "tokenizer_config.json")
    except (OSError, ValueError):
        said = {}
    found: list[int | None] = []
    for role in ROLES:
        named = [said.get(role), said.get(OTHER_ROLES.get(role, ""))] if said else []
        names = [name.get("content") if isinstance(name, dict) else name for name in named]
        ids = [library.token_to_id(name) for name in (*names, *USUAL[role]) if isinstance(name, str)]
        found.append(next((i for i in ids if i is not None), None))
    return found


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
