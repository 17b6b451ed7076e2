"""Texts of any length as windows of tokens, each of one text alone."""

from __future__ import annotations

import numpy as np
import torch

from dlzoo.data import packed
from dlzoo.data.dataset import Sample, Subset
from dlzoo.data.packed import Packed
from dlzoo.errors import DataError
from dlzoo.transforms.text import Tokenizer


def spanned(data: Subset, index: int) -> str:
    """A text of a split, or the span of it that is the split's."""
    text: str = data[index]["text"]
    return text if data.spans is None else text[slice(*data.spans[index])]


class DocumentWindows:
    """Each window has its `tokens` (t,) int64, `size` at most. A text that is longer is cut into as few as will do, of
    the same length but for one token; where a split has only a span of a text, it alone is cut. None overlap.
    """

    def __init__(self, data: Subset, tokenizer: Tokenizer, size: int):
        kind = torch.int16 if tokenizer.size <= np.iinfo(np.int16).max else torch.int32
        tokens = Packed(kind, packed.IN_MEMORY)
        self.ends = [0]
        """Where each window ends in all the tokens, after where the first one starts."""
        self.firsts: list[int] = []
        """The number of the first window of each text."""
        self.sources: list[str] = []
        for i in range(len(data)):
            ids = tokenizer.encode(spanned(data, i))
            count = -(-len(ids) // size)
            self.firsts.append(len(self))
            self.sources.append(data.source(i))
            self.ends += [self.ends[-1] + len(ids) * k // count for k in range(1, count + 1)] if count else []
            tokens.add(torch.from_numpy(ids).to(kind))
        self.tokens = tokens.close()
        if not len(self):
            raise DataError(f"{', '.join(self.sources[:3]) or 'a split'}: no text in it.")

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return {"tokens": self.tokens[self.ends[index] : self.ends[index + 1]].long(), "source": self.source(index)}

    def source(self, index: int) -> str:
        """The text that a window is of, and the place in it of the window's first token."""
        text = int(np.searchsorted(self.firsts, index, side="right")) - 1
        return f"{self.sources[text]}: token {self.ends[index] - self.ends[self.firsts[text]] + 1:,}"
