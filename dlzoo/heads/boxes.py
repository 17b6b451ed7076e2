"""Boxes on a pyramid, without anchors: at every place a score for each class, and the way to the four sides."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.features import Features
from dlzoo.layers.conv import init_convs
from dlzoo.layers.pyramid import FeaturePyramid

LEVELS = 3
"""Maps of the pyramid that are used, the coarsest ones."""
DEPTH = 2
"""Convolutions before the scores, and before the sides."""
RARE = 0.01
"""Score of every class at the start (Lin et al., 2017, arXiv:1708.02002): nearly all places are of none."""


class Boxes(NamedTuple):
    """What is said at the A places of all levels."""

    scores: Tensor
    """(B, A, K), before the sigmoid."""
    boxes: Tensor
    """(B, A, 4): x1, y1, x2, y2 in pixels of the picture."""
    centres: Tensor
    """(A, 2): x and y of each place."""
    stride: int
    """Pixels between the places of the finest level."""


class BoxHead(nn.Module):
    """A pyramid (a list of maps) to `Boxes` of K classes.

    The last three maps go through a feature pyramid of width `dim`, then through two branches that all levels share, as
    in FCOS (Tian et al., 2019, arXiv:1904.01355), here of two convolutions each with group norm. The way to a side is
    softplus(x + 2) strides.
    """

    def __init__(self, features: Features, classes: int, dim: int):
        super().__init__()
        assert isinstance(features.dim, tuple) and isinstance(features.stride, tuple)
        self.strides = features.stride[-LEVELS:]
        self.pyramid = FeaturePyramid(features.dim[-LEVELS:], dim)
        self.scores = nn.Sequential(*_branch(dim), nn.Conv2d(dim, classes, 3, padding=1))
        self.sides = nn.Sequential(*_branch(dim), nn.Conv2d(dim, 4, 3, padding=1))
        init_convs(self)
        for last, bias in ((self.scores[-1], math.log(RARE / (1 - RARE))), (self.sides[-1], 2.0)):
            nn.init.normal_(cast(Tensor, last.weight), std=0.01)
            nn.init.constant_(cast(Tensor, last.bias), bias)

    def forward(self, features: list[Tensor]) -> Boxes:
        scores, boxes, centres = [], [], []
        for x, stride in zip(self.pyramid(features[-LEVELS:]), self.strides, strict=True):
            place = _centres(x, stride)
            sides = F.softplus(self.sides(x).flatten(2).mT.float()) * stride
            scores.append(self.scores(x).flatten(2).mT)
            boxes.append(torch.cat([place - sides[..., :2], place + sides[..., 2:]], -1))
            centres.append(place)
        return Boxes(torch.cat(scores, 1), torch.cat(boxes, 1), torch.cat(centres), self.strides[0])


def _branch(dim: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(DEPTH):
        layers += [nn.Conv2d(dim, dim, 3, padding=1, bias=False), nn.GroupNorm(math.gcd(dim, 16), dim), nn.ReLU(True)]
    return layers


def _centres(x: Tensor, stride: int) -> Tensor:
    """The middles (H * W, 2), x and y in pixels, of the places of a map, row by row."""
    y, x = (torch.arange(side, device=x.device, dtype=torch.float32) + 0.5 for side in x.shape[2:])
    return torch.stack([x.repeat(len(y)), y.repeat_interleave(len(x))], 1) * stride
