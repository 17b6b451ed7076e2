"""Which words of a text the words that were written for it looked at."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dlzoo.report.figures import figure

if TYPE_CHECKING:
    from PIL import Image

Words = list[tuple[str, int]]
"""Each word, and how many tokens it has."""


def drawn(attention: Tensor, read: Words, written: Words) -> Image.Image:
    """A picture of `attention` (T, S): the tokens of a word that was read are summed, of a written one averaged."""
    from PIL import Image

    columns = [part.sum(1) for part in attention.split([count for _, count in read], 1)]
    rows = [part.mean(0) for part in torch.stack(columns, 1).split([count for _, count in written])]
    drawing, (axis,) = figure(min(40, 1.5 + 0.3 * len(read)), min(40, 1.2 + 0.26 * len(written)))
    axis.imshow(torch.stack(rows).numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(read)), [_plain(word) for word, _ in read], rotation=90)
    axis.set_yticks(range(len(written)), [_plain(word) for word, _ in written])
    axis.set(xlabel="read", ylabel="written")
    axis.grid(False)
    file = io.BytesIO()
    drawing.savefig(file, format="png", dpi=100)
    return Image.open(file)


def _plain(word: str) -> str:
    return word.strip().replace("$", r"\$") or "·"  # a dollar would begin a formula
