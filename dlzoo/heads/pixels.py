"""An output at every pixel of the picture."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.features import Features
from dlzoo.layers.conv import init_convs
from dlzoo.layers.unet import Up


class Pixels(nn.Module):
    """A map (B, D, h, w), or a pyramid of maps, the finest first, to (B, out, H, W) for a picture x (B, C, H, W).

    A pyramid goes up as in a U-Net: `width` channels at its finest map, twice as many at each coarser one.
    """

    def __init__(self, features: Features, out: int, width: int = 32):
        super().__init__()
        dims = features.dim if isinstance(features.dim, tuple) else (features.dim,)
        dim = dims[-1]
        self.up = nn.ModuleList()
        for level in reversed(range(len(dims) - 1)):
            self.up.append(Up(dim, dims[level], width * 2**level))
            dim = width * 2**level
        init_convs(self)
        self.conv = nn.Conv2d(dim, out, 1)

    def forward(self, features: Tensor | list[Tensor], x: Tensor) -> Tensor:
        *finer, y = [features] if isinstance(features, Tensor) else features
        for up in self.up:
            y = up(y, finer.pop())
        y = self.conv(y)
        return y if y.shape[-2:] == x.shape[-2:] else F.interpolate(y, x.shape[-2:], mode="bilinear")
