"""U-Net: convolutional networks for biomedical image segmentation (Ronneberger et al., 2015, arXiv:1505.04597)."""

from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.choices import Activation, Count, Share
from dlzoo.features import Features
from dlzoo.layers.conv import init_convs, large_enough
from dlzoo.layers.unet import Up, double_conv
from dlzoo.registry import MODELS


@MODELS.register("unet")
class UNet(nn.Module):
    """Images (B, C, H, W) to a map of the same size (B, width, H, W).

    Unlike the paper's it pads its convolutions, normalises them, and goes up by interpolation.

    Args:
        in_channels: channels of a picture
        image_size: height and width of a picture in pixels
        width: channels of the finest level; each coarser one has twice as many
        depth: how often the picture is halved
        activation: after every convolution
        dropout: share of the channels dropped in the coarsest level
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int | None = None,
        width: Count = 32,
        depth: Count = 4,
        activation: Activation = "relu",
        dropout: Share = 0.0,
    ):
        super().__init__()
        large_enough(image_size, 2**depth)
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            double_conv(*dims, activation) for dims in zip([in_channels, *widths], widths, strict=False)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.up = nn.ModuleList(Up(2 * dim, dim, dim, activation) for dim in reversed(widths[:-1]))
        init_convs(self)
        self.features = Features("map", width)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for level, conv in enumerate(self.down):
            x = conv(F.max_pool2d(x, 2) if level else x)
            levels.append(x)
        x = self.dropout(levels.pop())
        for up in self.up:
            x = up(x, levels.pop())
        return x
