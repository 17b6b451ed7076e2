"""Pictures and their boxes on a canvas of one size: scaled, placed, flipped, cut; and how far boxes overlap.

A box is x1, y1, x2, y2 in pixels, from the left and from the top: the corners, not the middles of the corner pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

VISIBLE = 0.3
"""Share of a box that must lie on the canvas; of one that is cut more, too little is left to tell what it is."""
ZOOM = 2.0
"""Factor up to which a random zoom makes a picture larger, or smaller."""
FAINT = 0.01
"""Score from which on a box is answered."""
CANDIDATES, ANSWERED = 1000, 100
"""Boxes of a picture that are compared with each other, and answered, at most."""


def fitted(height: int, width: int, canvas: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a picture that is scaled to lie on the canvas (height, width) and fills a side of it."""
    scale = min(canvas[0] / height, canvas[1] / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


@dataclass(frozen=True)
class Placement:
    """Where a picture lies on a canvas; parts of it may lie outside."""

    height: int
    width: int
    top: int = 0
    left: int = 0
    flip: bool = False
    """Left becomes right, of the whole canvas."""

    @classmethod
    def drawn(cls, height: int, width: int, canvas: tuple[int, int], zoom: bool, rng: Random) -> Placement:
        """Half of the time flipped; with `zoom`, up to twice as large or as small as fits, anywhere on the canvas."""
        h, w = fitted(height, width, canvas)
        top = left = 0
        if zoom:
            factor = math.exp(rng.uniform(-1, 1) * math.log(ZOOM))
            h, w = max(1, round(h * factor)), max(1, round(w * factor))
            top, left = (round(rng.random() * (room - size)) for room, size in zip(canvas, (h, w), strict=True))
        return cls(h, w, top, left, rng.random() < 0.5)

    def picture(self, image: Tensor, canvas: tuple[int, int], colour: Tensor) -> Tensor:
        """A uint8 picture (C, H, W), scaled with antialiasing, on a canvas of one `colour` (C,)."""
        _, H, W = image.shape
        whole = colour.to(image.dtype)[:, None, None].expand(-1, *canvas).clone()
        (top, bottom, first, last), (left, right, start, stop) = (
            _seen(size, before, room, source)
            for size, before, room, source in zip(
                (self.height, self.width), (self.top, self.left), canvas, (H, W), strict=True
            )
        )
        if bottom > top and right > left:
            part = image[None, :, first:last, start:stop]
            if part.shape[2:] != (bottom - top, right - left):
                part = F.interpolate(part, (bottom - top, right - left), mode="bilinear", antialias=True)
            whole[:, top:bottom, left:right] = part[0]
        return whole.flip(2) if self.flip else whole

    def boxes(self, boxes: Tensor, height: int, width: int, canvas: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (N, 4) of a picture of that height and width, on the canvas; and which of them (N,) are still seen."""
        scale = boxes.new_tensor([self.width / width, self.height / height] * 2)
        moved = boxes * scale + boxes.new_tensor([self.left, self.top] * 2)
        if self.flip:
            moved = boxes.new_tensor([canvas[1], 0, canvas[1], 0]) + moved[:, [2, 1, 0, 3]] * boxes.new_tensor(
                [-1, 1, -1, 1]
            )
        cut = clipped(moved, *canvas)
        return cut, area(cut) > VISIBLE * area(moved)


def _seen(size: int, before: int, room: int, source: int) -> tuple[int, int, int, int]:
    """Of one side: from where to where a picture is seen on the canvas, and which of its own pixels that are."""
    start, stop = max(0, before), min(room, before + size)
    first = math.floor((start - before) * source / size)
    return start, stop, first, max(first + 1, math.ceil((stop - before) * source / size))


def clipped(boxes: Tensor, height: float, width: float) -> Tensor:
    """Boxes (..., 4) with what sticks out cut off."""
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))


def area(boxes: Tensor) -> Tensor:
    """Areas (...) of boxes (..., 4) in square pixels."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def overlap(a: Tensor, b: Tensor, generalized: bool = False) -> Tensor:
    """Intersection over union of boxes (..., 4) that broadcast, 0 to 1.

    generalized: less the share of the smallest box around both that neither fills, -1 to 1 (Rezatofighi et al., 2019,
    arXiv:1902.09630), which tells also of boxes apart how far they are.
    """
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    both = sides.clamp(min=0).prod(-1)
    either = area(a) + area(b) - both
    found = both / either.clamp(min=1e-9)
    if not generalized:
        return found
    around = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1).clamp(min=1e-9)
    return found - (around - either) / around


def distinct(scores: Tensor, boxes: Tensor, most: float) -> list[dict[str, Tensor]]:
    """Of each picture the best boxes of which no two of a class overlap by more than `most`: 100 at most.

    scores (B, A, K), before the sigmoid, and boxes (B, A, 4) give `boxes` (N, 4), `labels` (N,) and `scores` (N,),
    the best first. Non-maximum suppression is torchvision's.
    """
    from torchvision.ops import batched_nms

    found = []
    for own, sides in zip(scores.float().sigmoid(), boxes.float(), strict=True):
        best, order = own.flatten().topk(min(CANDIDATES, own.numel()))
        order, best = order[best > FAINT], best[best > FAINT]
        places, labels = order // own.shape[1], order % own.shape[1]
        kept = batched_nms(sides[places], best, labels, most)[:ANSWERED]
        found.append({"boxes": sides[places[kept]], "labels": labels[kept], "scores": best[kept]})
    return found
