"""Where in a picture a network found what it answers, and that laid over the picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from dlzoo.transforms.pictures import enlarged

LEAST = 224
"""Pixels of the shorter side of what is drawn: a smaller picture is shown larger."""


def grad_cam(features: Tensor, head: Callable[[Tensor], Tensor], chosen: Tensor) -> Tensor:
    """Heat (B, H, W) from 0 to 1 for a class of each picture, from the map (B, D, H, W) that the head scores (B, K).

    Grad-CAM (Selvaraju et al., 2017, arXiv:1610.02391, eq. 1 and 2): the channels summed, each weighed by the mean
    gradient of the class's score, negative sums cut off; then divided by its largest value. 0 where nothing speaks for
    the class. `chosen` (B,) are the numbers of the classes. It works under inference mode, too.
    """
    with torch.inference_mode(False), torch.enable_grad():
        maps = features.detach().float().clone().requires_grad_()
        scores = head(maps)[torch.arange(len(maps), device=maps.device), chosen.clone()]
        (gradient,) = torch.autograd.grad(scores.sum(), maps)
    heat = (gradient.mean((2, 3), keepdim=True) * maps.detach()).sum(1).relu()
    return heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12)


def laid_over(picture: Tensor, heat: Tensor) -> Tensor:
    """A uint8 picture (C, H, W) in grey under a heat map (h, w) in colours from blue to red, uint8 (3, H, W)."""
    from matplotlib import colormaps

    picture = enlarged(picture, LEAST)
    size = list(picture.shape[1:])
    smooth = F.interpolate(heat[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    colours = torch.from_numpy(colormaps["turbo"](smooth.numpy())[..., :3]).movedim(-1, 0) * 255
    grey = picture.float().mean(0, keepdim=True)
    return (0.6 * grey + 0.4 * colours).round().to(torch.uint8)
