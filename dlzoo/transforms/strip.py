"""A strip of a video's frames, with a score over time below it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

HEIGHT, BAND = 96, 48
"""Of the frames and of the score's band, in pixels."""
BAR, BEST, PAPER = (120, 160, 200), (220, 120, 40), (245, 245, 245)
"""Colours (red, green, blue) of the score, of the score where it counts, and of what is behind it."""


def strip(frames: Tensor) -> Tensor:
    """Frames (N, C, H, W) uint8 side by side, made 96 pixels high, in colour: (3, 96, N * width)."""
    _, _, H, W = frames.shape
    small = F.interpolate(frames, (HEIGHT, max(1, HEIGHT * W // H)), mode="bilinear", antialias=True)
    return torch.cat(list(small.expand(-1, 3, -1, -1)), 2)


def band(scores: Tensor, best: Tensor) -> Tensor:
    """Scores (W,) from 0 to 1, one a column, as bars of up to 48 pixels: (3, 48, W); of another colour where `best`."""
    heights = torch.arange(BAND, 0, -1)[:, None] / BAND
    filled = scores >= heights  # (48, W)
    bar, peak, paper = (torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1) for colour in (BAR, BEST, PAPER))
    return torch.where(filled, torch.where(best, peak, bar), paper)
