"""Random changes to a whole batch of pictures at once, on its device, drawn from one generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dlzoo.choices import Augment


def augment(x: Tensor, kind: Augment, erase: float, rng: torch.Generator) -> Tensor:
    """Pictures (B, C, H, W), changed as `kind` says; `erase` is the chance of a picture to lose a rectangle."""
    if kind == "zoom_flip":
        x = zoom(x, rng)
    elif kind.startswith("tilt"):
        x = tilt(x, kind.endswith("flip"), rng)
    elif kind != "none":
        x = shift(x, 0.125 if kind.startswith("shift") else 0.0, kind.endswith("flip"), rng)
    return rectangle(x, erase, rng) if erase else x


def shift(x: Tensor, reach: float, flip: bool, rng: torch.Generator) -> Tensor:
    """Each picture moved by up to `reach` of its sides, what is uncovered mirrored; half of them flipped left to right.

    The usual crop from a padded picture (He et al., 2016), as one gather for the batch.
    """
    B, C, H, W = x.shape
    rows = _moved(B, H, reach, rng, x.device)
    columns = _moved(B, W, reach, rng, x.device)
    if flip:
        flips = torch.rand(B, generator=rng, device=x.device) < 0.5
        columns = torch.where(flips[:, None], columns.flip(1), columns)
    places = (rows[:, :, None] * W + columns[:, None, :]).view(B, 1, H * W)
    return x.reshape(B, C, H * W).gather(2, places.expand(B, C, -1)).view(B, C, H, W)


def _moved(B: int, size: int, reach: float, rng: torch.Generator, device: torch.device) -> Tensor:
    """Where each place of a side comes from (B, size): moved by one random step a picture, mirrored at the border."""
    most = int(size * reach + 0.5)
    places = torch.arange(size, device=device).expand(B, size)
    if most:
        places = places + torch.randint(-most, most + 1, (B, 1), generator=rng, device=device)
        places = places.abs()
        places = size - 1 - (size - 1 - places).abs()
    return places


def zoom(x: Tensor, rng: torch.Generator, least: float = 0.35) -> Tensor:
    """A random part of each picture, `least` to 1 of its area, 3/4 to 4/3 in shape, at full size; half of them flipped.

    The random resized crop of Szegedy et al. (2015), bilinear.
    """
    B = len(x)
    draw = torch.rand(5, B, generator=rng, device=x.device)
    area = least + (1 - least) * draw[0]
    ratio = torch.exp((draw[1] * 2 - 1) * 0.2877)  # log(4/3)
    wide, high = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    theta = x.new_zeros(B, 2, 3)
    theta[:, 0, 0] = torch.where(draw[4] < 0.5, -wide, wide)
    theta[:, 1, 1] = high
    theta[:, 0, 2] = (draw[2] * 2 - 1) * (1 - wide)
    theta[:, 1, 2] = (draw[3] * 2 - 1) * (1 - high)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def colours(x: Tensor, reach: float, rng: torch.Generator) -> Tensor:
    """Each normalised picture with a contrast of 1 - reach to 1 + reach, and each channel brighter by up to `reach`."""
    B, C, _, _ = x.shape
    draw = (torch.rand(B, 1 + C, generator=rng, device=x.device) * 2 - 1) * reach
    return x * (1 + draw[:, :1, None, None]) + draw[:, 1:, None, None]


def tilt(x: Tensor, flip: bool, rng: torch.Generator, turn: float = 15.0, reach: float = 0.1) -> Tensor:
    """Each picture turned by up to `turn` degrees, scaled and moved by up to `reach` of it; half of them flipped.

    Bilinear; what comes in from outside is mirrored.
    """
    B, _, H, W = x.shape
    draw = torch.rand(5, B, generator=rng, device=x.device)
    angle = (draw[0] * 2 - 1) * math.radians(turn)
    scale = 1 + (draw[1] * 2 - 1) * reach
    side = torch.where(draw[4] < 0.5, -1.0, 1.0) if flip else torch.ones_like(angle)
    theta = x.new_zeros(B, 2, 3, dtype=torch.float32)
    theta[:, 0, 0] = scale * angle.cos() * side
    theta[:, 0, 1] = -scale * angle.sin() * H / W  # places are counted in halves of a side
    theta[:, 1, 0] = scale * angle.sin() * side * W / H
    theta[:, 1, 1] = scale * angle.cos()
    theta[:, :, 2] = ((draw[2:4] * 2 - 1) * 2 * reach).T
    grid = F.affine_grid(theta, [B, 1, H, W], align_corners=False)
    return F.grid_sample(x, grid.to(x.dtype), padding_mode="reflection", align_corners=False)


def rectangle(x: Tensor, chance: float, rng: torch.Generator) -> Tensor:
    """Random erasing (Zhong et al., 2017): a rectangle of 2 to 25 % of a picture becomes 0, the mean colour."""
    B, _, H, W = x.shape
    draw = torch.rand(5, B, 1, generator=rng, device=x.device)
    area = 0.02 + 0.23 * draw[0]
    ratio = torch.exp((draw[1] * 2 - 1) * 0.6931)  # log 2
    hole = (
        _inside(H, (area * ratio).sqrt(), draw[2])[:, :, None] & _inside(W, (area / ratio).sqrt(), draw[3])[:, None, :]
    )
    hole &= (draw[4] < chance)[:, :, None]
    return x.masked_fill(hole[:, None], 0)


def _inside(size: int, part: Tensor, start: Tensor) -> Tensor:
    """Which places of a side (B, size) lie in a stretch that takes `part` of it."""
    places = (torch.arange(size, device=part.device) + 0.5) / size
    begin = start * (1 - part)
    return (places >= begin) & (places < begin + part)
