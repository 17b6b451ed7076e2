"""Long texts as windows of tokens: packed once, sliced a batch at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dlzoo.data import packed
from dlzoo.data.dataset import Sample, Subset
from dlzoo.data.packed import Packed
from dlzoo.errors import DataError
from dlzoo.task import Columns
from dlzoo.transforms.text import END, PAD, Tokenizer

REACH = 64
"""Characters that a token is taken to have at most, where the tokens before a span are looked up."""


class TokenWindows:
    """Windows over packed tokens: `x` (context,) and the tokens after them, `next` (context,), PAD where none is
    scored.

    A text that is cut into spans is a stretch of its own. Documents that are `joined` are one stretch: an end stands
    before the first, and after each. The first token of a stretch is only read, never scored.

    With `stride` (training) a window starts every so many tokens, the last one flush with the end, and all its tokens
    are scored. Else (evaluation) each token is scored in one window, behind `look_back` others or more where there are
    as many; the tokens before a span are looked at, and not scored.
    """

    def __init__(
        self,
        data: Subset,
        tokenizer: Tokenizer,
        context: int,
        *,
        joined: bool,
        look_back: int,
        stride: int | None = None,
    ):
        self.context, self.look_back, self.stride = context, look_back, stride
        self.unit = "character" if tokenizer.name == "characters" else "token"
        self.places: list[tuple[int, int, str]] = []
        """For each document: where its own tokens start, the number of the first of them in its file, and the file."""
        kind = torch.int16 if tokenizer.size <= np.iinfo(np.int16).max else torch.int32
        tokens = Packed(kind, packed.IN_MEMORY)
        stretches: list[tuple[int, int, int]] = []  # where it starts, where scoring starts, where it ends
        at = 0
        for i in range(len(data)):
            text = data[i]["text"]
            start, stop = data.spans[i] if data.spans is not None else (0, len(text))
            own = tokenizer.encode(text[start:stop])
            before = self._before(tokenizer, text[:start]) if not joined or not i else own[:0]
            after = np.array([END] if joined else [], np.int32)
            offset = start if self.unit == "character" else 0
            self.places.append((at + len(before), offset, data.source(i)))
            tokens.add(torch.from_numpy(np.concatenate([before, own, after])).to(kind))
            end = at + len(before) + len(own) + len(after)
            if joined and stretches:
                stretches[0] = (*stretches[0][:2], end)
            else:
                stretches.append((at, at + len(before), end))
            at = end
        self.tokens = tokens.close()
        self.begins, self.scored, self.ends = np.array(stretches, np.int64).reshape(-1, 3).T
        if stride:
            counts = np.where(
                self.ends > self.scored, -(-np.maximum(self.ends - self.scored - context, 0) // stride) + 1, 0
            )
        else:
            counts = -(-(self.ends - self.scored) // (context - look_back))
        self.firsts = np.concatenate([[0], counts.cumsum()])
        """The number of the first window of each stretch, and of all windows."""
        if not len(self):
            raise DataError(
                f"{', '.join(data.source(i) for i in range(min(len(data), 3))) or 'a split'}: no text in it."
            )

    def _before(self, tokenizer: Tokenizer, text: str) -> np.ndarray:
        """The tokens that the first window of a stretch looks back at: one at least, an end where there is no text."""
        n = 1 if self.stride else self.look_back + 1
        found: Any = tokenizer.encode(text[-n * (1 if self.unit == "character" else REACH) :])[-n:] if text else []
        return np.array(found, np.int32) if len(found) else np.array([END], np.int32)

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def _window(self, index: Any) -> tuple[Any, Any, Any, Any]:
        """Of windows (B,): the first token read, the first scored, the one after the last, the end of the stretch."""
        stretch = np.searchsorted(self.firsts, index, side="right") - 1
        k = index - self.firsts[stretch]
        begin, scored, end = self.begins[stretch], self.scored[stretch], self.ends[stretch]
        if self.stride:
            start = np.minimum(scored - 1 + k * self.stride, np.maximum(end - 1 - self.context, scored - 1))
            return start, start + 1, end, end
        first = scored + k * (self.context - self.look_back)
        start = np.maximum(first - 1 - self.look_back, begin)
        return start, first, np.minimum(first + self.context - self.look_back, end), end

    def gather(self, indices: Sequence[int]) -> Columns:
        """Windows (B, context) of int64 at once, as `encode` and stacking would give them."""
        start, first, last, end = (
            torch.from_numpy(part)[:, None] for part in self._window(np.asarray(indices, np.int64))
        )
        places = start + torch.arange(self.context + 1)
        tokens = self.tokens[places.clamp(max=len(self.tokens) - 1)].long().masked_fill_(places >= end, PAD)
        ahead = places[:, 1:]
        return {
            "x": tokens[:, :-1].contiguous(),
            "next": tokens[:, 1:].masked_fill((ahead < first) | (ahead >= last), PAD),
        }

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        window = self.gather([index])
        return {"x": window["x"][0], "next": window["next"][0], "source": self.source(index)}

    def source(self, index: int) -> str:
        """The file, and the place in it of the first token that the window scores."""
        first = int(self._window(np.array([index]))[1][0])
        start, offset, name = self.places[max(0, bisect_right(self.places, first, key=lambda place: place[0]) - 1)]
        return f"{name}: {self.unit} {offset + first - start + 1:,}"
