"""Feature pyramid (Lin et al., 2017, arXiv:1612.03144)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class FeaturePyramid(nn.Module):
    """Maps (B, dims[i], H, W), the finest first, to maps (B, dim, H, W) that know what the coarser ones know."""

    def __init__(self, dims: Sequence[int], dim: int):
        super().__init__()
        self.across = nn.ModuleList(nn.Conv2d(own, dim, 1) for own in dims)
        self.smooth = nn.ModuleList(nn.Conv2d(dim, dim, 3, padding=1) for _ in dims)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        found = [layer(x) for layer, x in zip(self.across, maps, strict=True)]
        for i in range(len(found) - 2, -1, -1):
            found[i] = found[i] + F.interpolate(found[i + 1], size=found[i].shape[2:], mode="nearest")
        return [layer(x) for layer, x in zip(self.smooth, found, strict=True)]
