"""ResNet: deep residual learning for image recognition (He et al., 2015, arXiv:1512.03385)."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from dlzoo.choices import Activation, Count
from dlzoo.features import Features
from dlzoo.layers.activation import activation as activate
from dlzoo.layers.conv import init_convs, large_enough
from dlzoo.layers.published import address, first_for, renamed
from dlzoo.registry import MODELS

STAGES = {  # depth: blocks of each stage
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STEMS = {  # name: size and stride of the first convolution, pixels that the stem joins in each direction
    "imagenet": (7, 2, 4),
    "half": (3, 1, 2),
    "cifar": (3, 1, 1),
}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, in_dim: int, width: int, stride: int, activation: Activation):
        super().__init__()
        self.conv1 = nn.Conv2d(in_dim, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.activation = activate(activation, inplace=True)
        self.downsample = shortcut(in_dim, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.activation(y + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1 down, 3x3 (which has the stride, as in torchvision), 1x1 up to four times the width, and a shortcut."""

    expansion = 4

    def __init__(self, in_dim: int, width: int, stride: int, activation: Activation):
        super().__init__()
        self.conv1 = nn.Conv2d(in_dim, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.activation = activate(activation, inplace=True)
        self.downsample = shortcut(in_dim, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.bn1(self.conv1(x)))
        y = self.activation(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.activation(y + self.downsample(x))


def shortcut(in_dim: int, dim: int, stride: int) -> nn.Module:
    """The identity, or a 1x1 convolution where the shape changes."""
    if stride == 1 and in_dim == dim:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_dim, dim, 1, stride, bias=False), nn.BatchNorm2d(dim))


@MODELS.register("resnet")
class ResNet(nn.Module):
    """Images (B, C, H, W) to a map (B, dim, H / stride, W / stride), or to the maps of all four stages.

    Its weights have torchvision's names, `fc` apart.

    Args:
        in_channels: channels of a picture
        image_size: height and width of a picture in pixels
        depth: number of layers with weights; from 50 on, of bottleneck blocks
        width: channels of the first stage; each later stage has twice as many
        activation: after every convolution, and after every sum
        stem: imagenet quarters the picture, half halves it, cifar leaves it whole; auto is cifar up to 64 pixels
        pretrained: weights to begin with: a .safetensors, .pt or .pth file with torchvision's names, or true to
            download torchvision's own; they are used to task.normalize imagenet
        out: the last map, or a pyramid of all four
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int | None = None,
        depth: Literal[10, 18, 34, 50, 101, 152] = 18,
        width: Count = 64,
        activation: Activation = "relu",
        stem: Literal["auto", "imagenet", "half", "cifar"] = "auto",
        pretrained: str | bool = False,
        out: Literal["map", "pyramid"] = "map",
    ):
        super().__init__()
        if stem == "auto":
            stem = "cifar" if image_size is not None and image_size <= 64 else "imagenet"
        kernel, stride, start = STEMS[stem]
        usual = width == 64 and stem == "imagenet" and activation == "relu" and depth > 10
        self.arch = f"resnet{depth}" if usual else None
        """Its name in torchvision, if it has one."""
        large_enough(image_size, 8 * start)
        self.conv1 = nn.Conv2d(in_channels, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.activation = activate(activation, inplace=True)
        self.maxpool = nn.Identity() if start == stride else nn.MaxPool2d(3, 2, 1)

        block = BasicBlock if depth < 50 else Bottleneck
        dim, stages, dims = width, [], []
        for i, blocks in enumerate(STAGES[depth]):
            strides = [1 if i == 0 else 2] + [1] * (blocks - 1)
            layers = []
            for stride in strides:
                layers.append(block(dim, width * 2**i, stride, activation))
                dim = width * 2**i * block.expansion
            stages.append(nn.Sequential(*layers))
            dims.append(dim)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        init_convs(self)

        self.pyramid = out == "pyramid"
        self.features = Features("map", dim, start * 8)
        if self.pyramid:
            self.features = Features("pyramid", tuple(dims), tuple(start * 2**i for i in range(4)))

    def published(self) -> str:
        """The address of torchvision's weights."""
        return address(self.arch)

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a whole network as this one's: without the classifier, for these channels."""
        return first_for(renamed(state, {"fc": ""}), "conv1.weight", self.conv1.in_channels)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        x = self.maxpool(self.activation(self.bn1(self.conv1(x))))
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps if self.pyramid else x
