"""Normalisations by name."""

from typing import Literal

from torch import Tensor, nn


def norm(name: Literal["layer", "rms"], dim: int, eps: float = 1e-5) -> nn.Module:
    """LayerNorm (Ba et al., 2016) or RMSNorm (Zhang and Sennrich, 2019) over the last dimension, of size `dim`."""
    return nn.LayerNorm(dim, eps) if name == "layer" else nn.RMSNorm(dim, eps)


class MapNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map (B, D, H, W), at each place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)
