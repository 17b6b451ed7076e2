"""C3D: learning spatiotemporal features with 3D convolutional networks (Tran et al., 2015, arXiv:1412.0767)."""

from torch import Tensor, nn

from dlzoo.choices import Activation, Count, Share
from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.layers.activation import activation as activate
from dlzoo.layers.conv import init_convs
from dlzoo.layers.dropout import Dropout
from dlzoo.registry import MODELS


@MODELS.register("c3d")
class C3D(nn.Module):
    """Videos (B, C, T, H, W) to a sequence (B, T / stride, channels[-1]), the mean of each moment's picture.

    The paper's stages of convolutions and a pool; with batch norms, and the mean in place of fully connected layers.

    Args:
        in_channels: channels of a frame
        frames: frames that are seen at a time
        channels: of each stage; null for the paper's [64, 128, 256, 512, 512]
        depths: convolutions of each stage; null for the paper's [1, 1, 2, 2, 2], or the first of them
        kernel: of the first convolution, in pixels; it is 3 steps long, as the others are in all directions
        stride: of the first convolution, in pixels
        activation: after every convolution
        dropout: share of the features that is dropped in training
    """

    def __init__(
        self,
        in_channels: int,
        frames: int,
        channels: list[Count] | None = None,
        depths: list[Count] | None = None,
        kernel: Count = 3,
        stride: Count = 1,
        activation: Activation = "relu",
        dropout: Share = 0.0,
    ):
        super().__init__()
        channels = channels or [64, 128, 256, 512, 512]
        depths = depths or [1, 1, *[2] * len(channels)][: len(channels)]
        if len(channels) != len(depths):
            raise ConfigError([f"model.depths: {len(depths)} stages, and model.channels has {len(channels)}"])
        dim, size, step, shortened = in_channels, kernel, stride, 1
        layers: list[nn.Module] = []
        for i, (width, depth) in enumerate(zip(channels, depths, strict=True)):
            for _ in range(depth):
                padding = (1, (size - 1) // 2, (size - 1) // 2)
                layers.append(nn.Conv3d(dim, width, (3, size, size), (1, step, step), padding, bias=False))
                layers += [nn.BatchNorm3d(width), activate(activation)]
                dim, size, step = width, 3, 1
            halves = 2 if i and frames > shortened else 1
            layers.append(nn.MaxPool3d((halves, 2, 2), ceil_mode=True))
            shortened *= halves
        self.layers = nn.Sequential(*layers)
        self.dropout = Dropout(dropout)
        self.features = Features("sequence", dim, shortened)
        init_convs(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.layers(x).mean((3, 4)).mT)
