"""Pictures of a batch mixed with one another, and how much of each is left of its own: mixup and CutMix."""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor


def mix(x: Tensor, mixup: float, cutmix: float, rng: torch.Generator) -> tuple[Tensor, Tensor, float]:
    """Pictures (B, C, H, W) mixed with those of `partner` (B,), and the share of the targets that stays their own.

    mixup: x' = s x + (1 - s) x[partner] (Zhang et al., 2018, arXiv:1710.09412, eq. 2). cutmix: a rectangle of 1 - s of
    the area is that of the partner, less where the border cuts it, and s is then counted anew (Yun et al., 2019,
    arXiv:1905.04899). s is drawn once a batch from Beta(a, a), a being `mixup` or `cutmix`; of both a coin picks one.
    """
    partner = torch.randperm(len(x), generator=rng, device=x.device)
    seed = torch.randint(2**62, (), generator=rng, device=x.device)
    draw = Random(int(seed))  # torch has no beta distribution that a generator decides
    if mixup and (not cutmix or draw.random() < 0.5):
        own = draw.betavariate(mixup, mixup)
        return x * own + x[partner] * (1 - own), partner, own
    height, width = x.shape[2:]
    side = (1 - draw.betavariate(cutmix, cutmix)) ** 0.5
    rows, columns = _stretch(height, side, draw), _stretch(width, side, draw)
    mixed = x.clone()
    mixed[:, :, rows, columns] = x[partner][:, :, rows, columns]
    hole = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, partner, 1 - hole / (height * width)


def _stretch(size: int, part: float, draw: Random) -> slice:
    """`part` of a side about a random middle, cut at the border."""
    middle, half = draw.randrange(size), int(size * part) // 2
    return slice(max(0, middle - half), min(size, middle + half))
