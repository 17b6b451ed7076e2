"""Conversations as windows of whole turns, in which the assistant's are scored."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import torch

from dlzoo.data import packed
from dlzoo.data.dataset import Sample, Subset
from dlzoo.data.packed import Packed
from dlzoo.transforms.text import PAD, START

Window = tuple[int, int, int]
"""Of the tokens of a conversation: the first that is read, the first that may be scored, the one after the last."""


class TurnWindows:
    """Windows over conversations: `x` (t,), t at most `context`, and the tokens after them, `next` (t,), PAD where none
    is scored.

    `render` makes a conversation's messages its tokens (T,), each turn behind START, and says which are scored (T,).
    Each of these is scored in one window, as `windows` cuts them; the first of `lead(tokens)` tokens stand at the front
    of every window of their conversation.
    """

    def __init__(
        self,
        data: Subset,
        render: Callable[[list[dict[str, str]]], tuple[np.ndarray, np.ndarray]],
        lead: Callable[[np.ndarray], int],
        context: int,
        look_back: int,
    ):
        self.data = data
        tokens, scored = Packed(torch.int32, packed.IN_MEMORY), Packed(torch.bool, packed.IN_MEMORY)
        self.begins = [0]
        """Where each conversation begins among the tokens of all."""
        self.windows: list[tuple[slice, slice, int]] = []
        """Of the tokens of all: the front of a conversation, what follows it, and the first that may be scored."""
        for messages in data.column("messages"):
            own, counts = render(messages)
            start, front = self.begins[-1], lead(own) if len(own) > context + 1 else 0
            found = windows(np.flatnonzero(own == START), counts, context - front, look_back - front)
            self.windows += [
                (slice(start, start + front), slice(start + max(front, begin), start + stop), start + first)
                for begin, first, stop in found
            ]
            tokens.add(torch.from_numpy(own))
            scored.add(torch.from_numpy(counts))
            self.begins.append(start + len(own))
        self.tokens, self.scored = tokens.close(), scored.close()

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Sample:
        front, rest, first = self.windows[index]
        tokens = torch.cat([self.tokens[front], self.tokens[rest]]).long()
        counts = torch.cat([torch.zeros_like(self.scored[front]), self.scored[rest]])
        counts[: len(counts) - (rest.stop - first)] = False
        return {"x": tokens[:-1], "next": tokens[1:].masked_fill(~counts[1:], PAD), "source": self.source(index)}

    def source(self, index: int) -> str:
        """The conversation, and the turn in it of the first token that the window scores."""
        _, _, first = self.windows[index]
        place = bisect_right(self.begins, first) - 1
        scored = first + int(self.scored[first:].int().argmax())
        turn = int((self.tokens[self.begins[place] : scored] == START).sum())
        return f"{self.data.source(place)}: turn {turn}"


def windows(starts: np.ndarray, scored: np.ndarray, context: int, look_back: int) -> list[Window]:
    """Windows of a conversation in which each token that is `scored` (T,) is so once, behind what a reply would see.

    They are cut at `starts` (N,), where turns begin: a window begins with all turns that none has read yet, as far as
    they and the first reply fit, and before them has turns of `look_back` tokens or less. Only a turn that is longer
    than that is cut inside; then its last `look_back` tokens are read again.
    """
    found: list[Window] = []
    edges = np.append(starts, len(scored))
    replies = np.flatnonzero(scored)
    at = place = 0
    while place < len(replies):
        turn = int(np.searchsorted(starts, replies[place], side="right")) - 1
        base = max(at, int(starts[turn]))  # behind it everything is new
        before = starts[starts < base] if base == starts[turn] else starts[:0]
        unread = (before >= at) & (edges[turn + 1] - before <= context + 1)
        whole = before[unread | (base - before <= look_back)]
        begin = int(whole[0]) if len(whole) else max(0, base - look_back)
        limit = begin + context + 1
        ends = edges[(edges > base) & (edges <= limit)]
        at = int(ends[-1]) if len(ends) else limit
        after = int(np.searchsorted(replies, at))
        if after > place:
            at = int(replies[after - 1]) + 1
            found.append((begin, base, at))
        place = after
    return found
