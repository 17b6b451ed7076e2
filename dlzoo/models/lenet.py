"""LeNet-5: gradient-based learning applied to document recognition (LeCun et al., 1998)."""

from typing import Literal

from torch import Tensor, nn

from dlzoo.choices import Activation, Count, Share
from dlzoo.features import Features
from dlzoo.layers.activation import activation as activate
from dlzoo.layers.conv import large_enough
from dlzoo.layers.dropout import Dropout
from dlzoo.registry import MODELS


@MODELS.register("lenet")
class LeNet(nn.Module):
    """Images (B, C, H, W) to a vector of features (B, hidden[-1]).

    The paper's: activation tanh, pool mean, same false. Today's: norm batch, dropout, channels [32, 64, 128].

    Args:
        in_channels: channels of a picture
        image_size: height and width of a picture in pixels
        channels: of each convolution; null for the paper's [6, 16]
        hidden: widths of the fully connected layers; null for the paper's [120, 84]
        kernel: height and width of the convolutions
        activation: after every layer
        pool: how each convolution's output is halved
        norm: before every activation
        dropout: share of the features dropped before each fully connected layer, and in the features
        same: pad every convolution, so that only pooling shrinks the picture; false pads the first alone, as the paper
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        channels: list[Count] | None = None,
        hidden: list[Count] | None = None,
        kernel: Count = 5,
        activation: Activation = "relu",
        pool: Literal["max", "mean"] = "max",
        norm: Literal["none", "batch"] = "none",
        dropout: Share = 0.0,
        same: bool = True,
    ):
        super().__init__()
        channels, hidden = channels or [6, 16], hidden or [120, 84]
        size, needed = image_size, 1
        for i in reversed(range(len(channels))):
            needed = 2 * needed + (0 if same or i == 0 else kernel - 1)
        large_enough(image_size, needed)

        convs: list[nn.Module] = []
        dim = in_channels
        for i, out in enumerate(channels):
            padding = kernel // 2 if same or i == 0 else 0
            convs.append(nn.Conv2d(dim, out, kernel, padding=padding, bias=norm == "none"))
            convs += [nn.BatchNorm2d(out)] if norm == "batch" else []
            convs += [activate(activation), nn.MaxPool2d(2) if pool == "max" else nn.AvgPool2d(2)]
            size = (size + 2 * padding - kernel + 1) // 2
            dim = out

        linears: list[nn.Module] = []
        dim = dim * size * size
        for out in hidden:
            linears += [Dropout(dropout), nn.Linear(dim, out, bias=norm == "none")]
            linears += [nn.BatchNorm1d(out)] if norm == "batch" else []
            linears.append(activate(activation))
            dim = out
        self.convs = nn.Sequential(*convs)
        self.linears = nn.Sequential(*linears, Dropout(dropout))
        self.features = Features("vector", dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linears(self.convs(x).flatten(1))
