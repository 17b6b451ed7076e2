"""A tokenizer that somebody else has trained with the library `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dlzoo import jsontext
from dlzoo.errors import DataError, printable
from dlzoo.transforms.subwords import Subwords
from dlzoo.transforms.text import RESERVED, UNKNOWN

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


class FromFile(Subwords):
    """A tokenizer.json of the library's, or a folder with one.

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
