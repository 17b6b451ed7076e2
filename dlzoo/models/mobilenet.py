"""MobileNetV2: inverted residuals and linear bottlenecks (Sandler et al., 2018, arXiv:1801.04381)."""

from typing import Literal

from torch import Tensor, nn

from dlzoo.choices import Activation, Positive
from dlzoo.features import Features
from dlzoo.layers.conv import conv_norm, init_convs, large_enough
from dlzoo.registry import MODELS

STAGES = (  # expansion, channels, blocks, stride: table 2 of the paper
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """1x1 up, 3x3 depthwise, 1x1 down without activation; added to the input where the shape stays."""

    def __init__(self, in_dim: int, dim: int, stride: int, expansion: int, activation: Activation):
        super().__init__()
        hidden = in_dim * expansion
        up = [conv_norm(in_dim, hidden, 1, activation=activation)] if expansion != 1 else []
        deep = conv_norm(hidden, hidden, 3, stride, groups=hidden, activation=activation)
        self.conv = nn.Sequential(*up, deep, *conv_norm(hidden, dim, 1, activation=None))
        self.residual = stride == 1 and in_dim == dim

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


def divisible(channels: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below (as in the authors' code)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


@MODELS.register("mobilenet")
class MobileNetV2(nn.Module):
    """Images (B, C, H, W) to a map (B, dim, H / stride, W / stride).

    Its weights have torchvision's names, with `layers` for `features` and no `classifier`.

    Args:
        in_channels: channels of a picture
        image_size: height and width of a picture in pixels
        width: factor on the channels of every layer
        activation: after every convolution that widens or looks around
        stem: imagenet halves the picture five times, cifar three times; auto is cifar up to 64 pixels
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int | None = None,
        width: Positive = 1.0,
        activation: Activation = "relu6",
        stem: Literal["auto", "imagenet", "cifar"] = "auto",
    ):
        super().__init__()
        if stem == "auto":
            stem = "cifar" if image_size is not None and image_size <= 64 else "imagenet"
        small = stem == "cifar"
        large_enough(image_size, 8 if small else 32)
        dim, last = divisible(32 * width), divisible(1280 * max(1.0, width))
        layers: list[nn.Module] = [conv_norm(in_channels, dim, 3, 1 if small else 2, activation=activation)]
        for i, (expansion, channels, blocks, stride) in enumerate(STAGES):
            out = divisible(channels * width)
            for j in range(blocks):
                first = 1 if j or (small and i == 1) else stride
                layers.append(InvertedResidual(dim, out, first, expansion, activation))
                dim = out
        self.layers = nn.Sequential(*layers, conv_norm(dim, last, 1, activation=activation))
        init_convs(self)
        self.features = Features("map", last, 8 if small else 32)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
