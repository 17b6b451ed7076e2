"""ConvNeXt: a ConvNet for the 2020s (Liu et al., 2022, arXiv:2201.03545)."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from dlzoo.choices import Activation, Amount, Count, Share
from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.layers.activation import activation as activate
from dlzoo.layers.conv import large_enough
from dlzoo.layers.drop_path import DropPath, rising
from dlzoo.layers.norm import MapNorm
from dlzoo.layers.published import address, first_for, renamed
from dlzoo.registry import MODELS

SIZES = {  # blocks and channels of the four stages; those below tiny are timm's
    "atto": ([2, 2, 6, 2], [40, 80, 160, 320]),
    "femto": ([2, 2, 6, 2], [48, 96, 192, 384]),
    "pico": ([2, 2, 6, 2], [64, 128, 256, 512]),
    "nano": ([2, 2, 8, 2], [80, 160, 320, 640]),
    "tiny": ([3, 3, 9, 3], [96, 192, 384, 768]),
    "small": ([3, 3, 27, 3], [96, 192, 384, 768]),
    "base": ([3, 3, 27, 3], [128, 256, 512, 1024]),
}


NAMES = {  # torchvision's: ours
    r"classifier\.2": "",
    r"classifier\.0\.": "norm.",
    r"features\.0\.": "stem.",
} | {
    pattern: name
    for stage in range(4)
    for pattern, name in {
        rf"features\.{2 * stage}\.(\d+)\.": rf"downs.{stage - 1}.\1.",
        rf"features\.{2 * stage + 1}\.(\d+)\.block\.0\.": rf"stages.{stage}.\1.conv.",
        rf"features\.{2 * stage + 1}\.(\d+)\.block\.2\.": rf"stages.{stage}.\1.norm.",
        rf"features\.{2 * stage + 1}\.(\d+)\.block\.3\.": rf"stages.{stage}.\1.up.",
        rf"features\.{2 * stage + 1}\.(\d+)\.block\.5\.": rf"stages.{stage}.\1.down.",
        rf"features\.{2 * stage + 1}\.(\d+)\.layer_scale": rf"stages.{stage}.\1.scale",
    }.items()
}


class Block(nn.Module):
    """7x7 depthwise convolution, norm, two linear layers at each place, scaled and added to the input (B, D, H, W)."""

    def __init__(self, dim: int, activation: Activation, drop_path: float, layer_scale: float):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, 1e-6)
        self.up = nn.Linear(dim, 4 * dim)
        self.activation = activate(activation)
        self.down = nn.Linear(4 * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), layer_scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x).movedim(1, -1))
        y = self.scale * self.down(self.activation(self.up(y)))
        return x + self.drop_path(y.movedim(-1, 1))


@MODELS.register("convnext")
class ConvNeXt(nn.Module):
    """Images (B, C, H, W) to a map (B, dim, H / stride, W / stride), its mean (B, dim), or the maps of all stages.

    Args:
        in_channels: channels of a picture
        image_size: height and width of a picture in pixels
        size: blocks and channels of the stages, by name
        depths: blocks of each stage; null takes those of `size`
        dims: channels of each stage; null takes those of `size`
        patch: pixels that the stem joins in each direction; null for 4, or 2 for pictures up to 64 pixels, 1 below 16
        activation: of every block
        drop_path: share of the samples for which the last block is skipped in training, rising to it from 0
        layer_scale: initial scale of every residual branch
        pretrained: weights to begin with: a .safetensors, .pt or .pth file with torchvision's names, or true to
            download torchvision's own; they are used to task.normalize imagenet
        out: the last map, normalised; its mean, normalised, as in the paper; or a pyramid of the maps of all stages
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int | None = None,
        size: Literal["atto", "femto", "pico", "nano", "tiny", "small", "base"] = "tiny",
        depths: list[Count] | None = None,
        dims: list[Count] | None = None,
        patch: Count | None = None,
        activation: Activation = "gelu",
        drop_path: Share = 0.0,
        layer_scale: Amount = 1e-6,
        pretrained: str | bool = False,
        out: Literal["map", "vector", "pyramid"] = "map",
    ):
        super().__init__()
        depths, dims = depths or SIZES[size][0], dims or SIZES[size][1]
        if len(depths) != len(dims):
            raise ConfigError([f"model.dims: {len(dims)} stages, but model.depths has {len(depths)}"])
        usual = size in ("tiny", "small", "base") and (depths, dims) == SIZES[size] and activation == "gelu"
        self.arch = f"convnext_{size}" if usual else None
        """Its name in torchvision, if it has one."""
        if patch is None:
            patch = 4 if image_size is None or image_size > 64 else 2 if image_size >= 16 else 1
        strides = tuple(patch * 2**i for i in range(len(dims)))
        large_enough(image_size, strides[-1])

        rates = iter(rising(drop_path, sum(depths)))
        self.stem = nn.Sequential(nn.Conv2d(in_channels, dims[0], patch, patch), MapNorm(dims[0], 1e-6))
        self.downs = nn.ModuleList(
            nn.Sequential(MapNorm(a, 1e-6), nn.Conv2d(a, b, 2, 2)) for a, b in zip(dims, dims[1:], strict=False)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*[Block(dim, activation, next(rates), layer_scale) for _ in range(depth)])
            for dim, depth in zip(dims, depths, strict=True)
        )
        self.norm = nn.LayerNorm(dims[-1], 1e-6) if out == "vector" else MapNorm(dims[-1], 1e-6)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        self.out = out
        self.features = Features(out, dims[-1], 1 if out == "vector" else strides[-1])
        if out == "pyramid":
            self.features = Features(out, tuple(dims), strides)

    def published(self) -> str:
        """The address of torchvision's weights."""
        return address(self.arch)

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a whole network of torchvision as this one's: without the classifier, for these channels."""
        own = {name: value.flatten() if value.ndim == 3 else value for name, value in renamed(state, NAMES).items()}
        (first, _) = self.stem
        assert isinstance(first, nn.Conv2d)
        return first_for(own, "stem.0.weight", first.in_channels)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        maps = []
        for down, stage in zip([self.stem, *self.downs], self.stages, strict=True):
            x = stage(down(x))
            maps.append(x)
        if self.out == "pyramid":
            return [*maps[:-1], self.norm(x)]
        return self.norm(x.mean((2, 3)) if self.out == "vector" else x)
