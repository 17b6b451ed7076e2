"""The two halves of a U-Net's level (Ronneberger et al., 2015, arXiv:1505.04597), with BatchNorm and padding."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.choices import Activation
from dlzoo.layers.conv import conv_norm


def double_conv(in_dim: int, dim: int, activation: Activation = "relu") -> nn.Sequential:
    """Two 3x3 convolutions: (B, in_dim, H, W) to (B, dim, H, W)."""
    return nn.Sequential(
        conv_norm(in_dim, dim, 3, activation=activation), conv_norm(dim, dim, 3, activation=activation)
    )


class Up(nn.Module):
    """A coarse map (B, in_dim, h, w) and the finer one beside it (B, skip_dim, H, W) to (B, dim, H, W).

    The coarse one is made as large as the finer, whatever that is: sides need not be powers of two.
    """

    def __init__(self, in_dim: int, skip_dim: int, dim: int, activation: Activation = "relu"):
        super().__init__()
        self.reduce = nn.Conv2d(in_dim, dim, 1, bias=False)
        self.conv = double_conv(dim + skip_dim, dim, activation)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(self.reduce(x), skip.shape[-2:], mode="bilinear", align_corners=False)
        return self.conv(torch.cat([skip, x], 1))
