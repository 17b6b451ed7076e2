"""Large pictures in parts that overlap, each place answered by the part in whose middle it lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 8
"""Tiles that go through the network at a time."""


@dataclass(frozen=True)
class Span:
    """Pixels `start` to `start + size` of a side, of which `first` to `stop` are answered."""

    start: int
    first: int
    stop: int


def spans(side: int, size: int, overlap: float) -> list[Span]:
    """Evenly placed spans of `size` pixels that cover a side, neighbours sharing the part `overlap` of them or more."""
    shared = int(size * overlap)
    count = max(1, -(-(side - shared) // (size - shared)))
    starts = [round(i * (side - size) / max(1, count - 1)) for i in range(count)]
    borders = [0, *((a + size + b) // 2 for a, b in zip(starts, starts[1:], strict=False)), side]
    return [Span(start, borders[i], borders[i + 1]) for i, start in enumerate(starts)]


def by_tiles(image: Tensor, size: int, overlap: float, answer: Callable[[Tensor], Tensor]) -> Tensor:
    """`answer` maps tiles (N, C, size, size) to (N, size, size); the same of a picture (C, H, W): (H, W).

    A side shorter than a tile is filled up with its mirror image.
    """
    C, H, W = image.shape
    image = mirrored(image, max(H, size), max(W, size))
    places = [
        (row, column) for row in spans(image.shape[1], size, overlap) for column in spans(image.shape[2], size, overlap)
    ]
    whole = torch.empty(image.shape[1:], dtype=torch.uint8)
    for first in range(0, len(places), CHUNK):
        part = places[first : first + CHUNK]
        tiles = torch.stack([image[:, y.start : y.start + size, x.start : x.start + size] for y, x in part])
        for (y, x), found in zip(part, answer(tiles).cpu(), strict=True):
            whole[y.first : y.stop, x.first : x.stop] = found[
                y.first - y.start : y.stop - y.start, x.first - x.start : x.stop - x.start
            ]
    return whole[:H, :W]


def mirrored(image: Tensor, height: int, width: int) -> Tensor:
    """A picture (C, H, W) continued below and to the right, by mirroring, to (C, height, width)."""
    while image.shape[1] < height or image.shape[2] < width:  # each mirror adds at most the picture less a row
        below = min(height - image.shape[1], max(0, image.shape[1] - 1))
        right = min(width - image.shape[2], max(0, image.shape[2] - 1))
        if not below and not right:  # a single row or column
            return F.pad(image[None].float(), (0, width - image.shape[2], 0, height - image.shape[1]), "replicate")[
                0
            ].to(image.dtype)
        image = F.pad(image[None].float(), (0, right, 0, below), "reflect")[0].to(image.dtype)
    return image
