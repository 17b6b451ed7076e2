"""Random changes to a batch of pictures and their masks alike, on the device, drawn from one generator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dlzoo.choices import Warp


def warp(x: Tensor, mask: Tensor, kind: Warp, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures (B, C, H, W) and masks (B, H, W) moved alike; what comes in from outside is mirrored.

    flip: half of them left to right. zoom_flip: besides, a part of half to all of the height and width, at full size.
    zoom_turn: besides, half of them upside down and half of them, if they are square, on their side.
    """
    if kind == "none":
        return x, mask
    B, _, H, W = x.shape
    draw = torch.rand(6, B, generator=rng, device=x.device)
    part = 1 - 0.5 * draw[0] if kind != "flip" else torch.ones_like(draw[0])
    sign = 1 - 2 * (draw[1:3] < 0.5).float()
    theta = x.new_zeros(B, 2, 3, dtype=torch.float32)
    theta[:, 0, 0] = part * sign[0]
    theta[:, 1, 1] = part * (sign[1] if kind == "zoom_turn" else 1)
    theta[:, 0, 2] = (draw[3] * 2 - 1) * (1 - part)
    theta[:, 1, 2] = (draw[4] * 2 - 1) * (1 - part)
    if kind == "zoom_turn" and H == W:
        turned = draw[5] < 0.5
        theta[turned] = theta[turned][:, [1, 0]]
    grid = F.affine_grid(theta, [B, 1, H, W], align_corners=False)
    moved = F.grid_sample(x, grid.to(x.dtype), padding_mode="reflection", align_corners=False)
    labels = F.grid_sample(mask[:, None].float(), grid, mode="nearest", padding_mode="reflection", align_corners=False)
    return moved, labels[:, 0].to(mask.dtype)
