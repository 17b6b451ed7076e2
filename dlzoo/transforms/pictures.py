"""What pictures of a training split are like, and how others become tensors of the same kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dlzoo.choices import Normalize
from dlzoo.errors import DataError

LOOK = 500
"""Pictures of the training split, evenly spread, that a task opens for their size and colours."""
SIZE = 224
"""Side of pictures that are not all of one size, where none is given: the field's usual one."""
COLOURS = {
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "kinetics": ([0.43216, 0.394666, 0.37645], [0.22803, 0.22145, 0.216989]),
}
"""Mean and spread of red, green and blue that published networks for pictures, and for videos, were trained with."""


@dataclass
class Pictures:
    """Channels, pixels and colours of the pictures that a network is trained on."""

    channels: int
    height: int
    width: int
    mean: list[float]
    """Of each channel, for values of 0 to 1; so is std."""
    std: list[float]

    @classmethod
    def fit(cls, images: Iterable[Tensor], size: int | None, normalize: Normalize, usual: int = SIZE) -> Pictures:
        """From uint8 pictures (C, H, W): without a `size`, their own if all are of one, else the `usual` square.

        Raises DataError for pictures of different numbers of channels.
        """
        shapes, means, squares = set(), [], []
        for image in images:
            shapes.add(tuple(image.shape))
            pixels = image.flatten(1).double() / 255
            means.append(pixels.mean(1))
            squares.append(pixels.square().mean(1))
        if len(counts := {shape[0] for shape in shapes}) > 1:
            raise DataError(
                f"some pictures have {min(counts)} and some {max(counts)} channels: give the dataset one mode."
            )
        channels = counts.pop()
        own = shapes.pop()[1:] if len(shapes) == 1 and size is None else None
        height, width = own or (size or usual, size or usual)
        mean = torch.stack(means).mean(0)
        std = (torch.stack(squares).mean(0) - mean.square()).clamp(min=1e-6).sqrt()
        if normalize == "none":
            return cls(channels, height, width, [0.0] * channels, [1.0] * channels)
        if normalize != "data":
            colours = [c if channels == 3 else [round(sum(c) / 3, 3)] for c in COLOURS[normalize]]
            return cls(channels, height, width, *colours)
        return cls(channels, height, width, mean.tolist(), std.tolist())

    @property
    def mode(self) -> Literal["grey", "rgb"]:
        """How a file is to be decoded."""
        return "grey" if self.channels == 1 else "rgb"

    def check(self, image: Tensor, where: str = "") -> None:
        """Raises DataError, with `where` in front, for a picture of another number of channels."""
        if len(image) != self.channels:
            raise DataError(
                f"{where}the picture has {len(image)} channels, those of the training split {self.channels}."
            )

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        """What bytes are multiplied by and what is then added, each (C, 1, 1)."""
        mean, std = torch.tensor(self.mean).view(-1, 1, 1), torch.tensor(self.std).view(-1, 1, 1)
        return 1 / (255 * std), -mean / std

    def normalized(self, images: Tensor) -> Tensor:
        """Bytes (..., C, H, W) as floats of mean 0 and spread 1, on the device where they are."""
        scale, offset = (part.to(images.device) for part in self._scale)
        return images.float().mul_(scale).add_(offset)

    def bytes(self, normalized: Tensor) -> Tensor:
        """The inverse of `normalized`."""
        scale, offset = (part.to(normalized.device) for part in self._scale)
        return ((normalized - offset) / scale).round_().clamp_(0, 255).to(torch.uint8)

    def state_dict(self) -> dict[str, Any]:
        """The fields, as plain values."""
        return asdict(self)

    @classmethod
    def load(cls, state: dict[str, Any]) -> Pictures:
        """The inverse of `state_dict`; other keys are left alone."""
        return cls(*(state[name] for name in ("channels", "height", "width", "mean", "std")))


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """A uint8 picture (C, H, W) scaled, with antialiasing, to cover height x width; what sticks out is cut."""
    _, H, W = image.shape
    if (H, W) == (height, width):
        return image
    tall = height * W < width * H  # then the width decides; the other side is rounded down, as torchvision does
    h, w = (max(height, H * width // W), width) if tall else (height, max(width, W * height // H))
    image = F.interpolate(image[None], (h, w), mode="bilinear", antialias=True, align_corners=False)[0]
    top, left = round((h - height) / 2), round((w - width) / 2)
    return image[:, top : top + height, left : left + width].contiguous()


def enlarged(image: Tensor, least: int) -> Tensor:
    """A picture (C, H, W) whose pixels are repeated until both sides have `least` pixels."""
    times = -(-least // min(image.shape[1:]))
    return image.repeat_interleave(times, 1).repeat_interleave(times, 2)
