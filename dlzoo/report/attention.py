"""Which words of a text the words that were written for it looked at."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlzoo.errors import printable
from dlzoo.report.figures import figure, save

if TYPE_CHECKING:
    from PIL import Image

LETTERS = 30
"""Of a longer word the beginning is shown."""
INCHES = 0.09
"""About the width of a letter."""
Words = list[tuple[str, int]]
"""Each word, and how many tokens it has."""


def drawn(attention: Tensor, read: Words, written: Words) -> Image.Image:
    """A picture of `attention` (T, S): the tokens of a word that was read are summed, of a written one averaged."""
    from PIL import Image

    columns = [part.sum(1) for part in attention.split([count for _, count in read], 1)]
    rows = [part.mean(0) for part in torch.stack(columns, 1).split([count for _, count in written])]
    across, down = ([_plain(word) for word, _ in side] for side in (read, written))
    width, height = (1 + INCHES * max(map(len, labels)) for labels in (down, across))
    drawing, (axis,) = figure(width + min(40, 0.3 * len(read)), height + min(40, 0.26 * len(written)))
    axis.imshow(torch.stack(rows).numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(read)), across, rotation=90)
    axis.set_yticks(range(len(written)), down)
    axis.set(xlabel="read", ylabel="written")
    axis.grid(False)
    file = io.BytesIO()
    save(drawing, file, dpi=100)
    return Image.open(file)


def _plain(word: str) -> str:
    word = printable(word.strip())
    word = word if len(word) <= LETTERS else f"{word[: LETTERS - 1]}…"
    return word.replace("$", r"\$") or "·"  # a dollar would begin a formula
