"""torchvision's networks for videos without their classifiers: r3d_18, mc3_18, r2plus1d_18, s3d, mvit, swin3d."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from dlzoo.errors import ConfigError, did_you_mean, printable
from dlzoo.features import Features
from dlzoo.layers.published import address, first_for, take_channels
from dlzoo.registry import MODELS

SIZE = 112
"""Height and width of the frames that a network is measured with, where they are not square."""
MVIT = (16, 224)
"""Frames, and pixels of their sides, that torchvision builds its mvits for."""
CLASSIFIERS = ("fc", "classifier", "head")
"""What the layers behind the features are called, in one network or another."""


@MODELS.register("torchvision_video")
class TorchvisionVideo(nn.Module):
    """Videos (B, C, T, H, W) to the vector of features (B, dim) that torchvision's own classifier gets.

    Its weights have torchvision's names. The first convolution takes as many channels as the frames have.

    Args:
        in_channels: channels of a frame
        frames: frames that are seen at a time
        image_size: height and width of a frame in pixels
        arch: the network's name in torchvision: r3d_18, mc3_18, r2plus1d_18, s3d, mvit_v1_b, mvit_v2_s, swin3d_t,
            swin3d_s or swin3d_b
        pretrained: weights to begin with: a .safetensors, .pt or .pth file, or true to download torchvision's own; they
            are used to task.normalize kinetics
    """

    def __init__(
        self,
        in_channels: int,
        frames: int,
        image_size: int | None = None,
        arch: str = "r3d_18",
        pretrained: str | bool = False,
    ):
        super().__init__()
        size = image_size or SIZE
        self.arch, self.in_channels = arch, in_channels
        self.network, self.left_out = _network(arch)
        if arch.startswith("mvit") and (frames, image_size) != MVIT:
            wants = "{} frames of {} pixels; set task.frames and task.size".format(*MVIT)
            raise ConfigError([f"model: torchvision's '{arch}' takes {wants}"])
        first = next(name for name, part in self.network.named_modules() if isinstance(part, nn.Conv3d))
        self.first = f"{first}.weight"
        take_channels(self.network.get_submodule(first), in_channels)
        self.features = Features("vector", _dim(self.network, arch, (2, in_channels, frames, size, size)))

    def published(self) -> str:
        """The address of torchvision's own weights, the best that there are."""
        return address(self.arch)

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a whole network of torchvision as this one's: without the classifier, for these channels."""
        own = {name: tensor for name, tensor in state.items() if name.partition(".")[0] != self.left_out}
        own = first_for(own, self.first, self.in_channels)
        return {f"network.{name}": tensor for name, tensor in own.items()}

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.network(x))


def _network(arch: str) -> tuple[nn.Module, str]:
    """A network with new weights, without its classifier; and what that was called."""
    from torchvision import models

    if arch not in (known := models.list_models(module=models.video)):
        raise ConfigError(
            [
                f"model.arch: torchvision has no '{printable(arch)}' for videos.{did_you_mean(arch, known)} "
                f"It has {', '.join(known)}."
            ]
        )
    network = cast(Any, models.get_model(arch, weights=None))
    classifier = next(name for name in CLASSIFIERS if hasattr(network, name))
    setattr(network, classifier, nn.Identity())
    if arch == "s3d":  # its pool is as large as the pictures it was published for leave
        network.avgpool = nn.AdaptiveAvgPool3d(1)
    return network, classifier


def _dim(network: nn.Module, arch: str, shape: tuple[int, ...]) -> int:
    """The width of the features of videos of a shape; no arithmetic is done for it."""
    described = copy.deepcopy(network).eval().to("meta")
    try:
        return int(described(torch.empty(shape, device="meta")).shape[1])
    except (RuntimeError, AssertionError, ValueError) as error:
        _, _, T, H, W = shape
        why = str(error).splitlines()[0]
        raise ConfigError([f"model: '{arch}' cannot be had for {T} frames of {H}x{W}: {why}"]) from error
