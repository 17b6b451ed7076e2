"""torchvision's detectors, with the heads and losses that they come with, by their names there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from dlzoo.choices import Count
from dlzoo.errors import ConfigError, did_you_mean, printable
from dlzoo.features import Features
from dlzoo.layers.conv import large_enough
from dlzoo.layers.published import address, first_for, take_channels
from dlzoo.registry import MODELS
from dlzoo.transforms.pictures import COLOURS

FAINT, MOST = 0.01, 100
"""Score from which on a box is answered; boxes of a picture that are answered, at most."""
FAMILIES: dict[str, dict[str, Any]] = {
    "fasterrcnn": {"box_score_thresh": FAINT, "box_detections_per_img": MOST},
    "retinanet": {"score_thresh": FAINT, "detections_per_img": MOST},
    "fcos": {"score_thresh": FAINT, "detections_per_img": MOST},
    "ssd": {"score_thresh": FAINT, "detections_per_img": MOST},
    "ssdlite320": {"score_thresh": FAINT, "detections_per_img": MOST},
}
WITHOUT_BACKGROUND = ("retinanet", "fcos")
"""Families whose class 0 is a class like others, and not what is none."""
SCALES = {"ssd300_vgg16": ((0.48235, 0.45882, 0.40784), 1 / 255), "ssdlite320_mobilenet_v3_large": ((0.5,) * 3, 0.5)}
"""The mean and spread that pictures have for published weights which do not take those of ImageNet."""
LEAST = {"ssd300_vgg16": 257}
"""Pixels that a side must have, where maps are made ever smaller."""
PREDICTORS = ("roi_heads.box_predictor.", "head.classification_head.")
"""Where the weights stand whose number is that of the classes."""


@MODELS.register("torchvision_detector")
class TorchvisionDetector(nn.Module):
    """Images (B, C, H, W) to boxes; with true boxes in training, to its losses.

    Its weights have torchvision's names. The first convolution takes as many channels as the pictures have. Pictures
    are taken at the size that they come in.

    Args:
        in_channels: channels of a picture
        num_classes: classes of boxes
        arch: the detector's name in torchvision, say retinanet_resnet50_fpn, fcos_resnet50_fpn or ssd300_vgg16
        pretrained: weights to begin with: a .safetensors, .pt or .pth file, or true to download torchvision's own; they
            are used to task.normalize imagenet. What tells classes apart begins anew where it knows other classes
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: Count,
        arch: str = "ssdlite320_mobilenet_v3_large",
        pretrained: str | bool = False,
    ):
        super().__init__()
        self.arch, self.in_channels = arch, in_channels
        family = arch.partition("_")[0] if not arch.startswith("ssd300") else "ssd"
        self.background = int(family not in WITHOUT_BACKGROUND)
        self.network = _network(arch, family, num_classes + self.background)
        scale = SCALES.get(arch) if pretrained and in_channels == 3 else None
        self.network.transform = _AsItIs(scale)
        self.first = next(name for name, part in self.network.named_modules() if isinstance(part, nn.Conv2d))
        take_channels(self.network.get_submodule(self.first), in_channels)
        self.features = Features("complete", num_classes)

    def published(self) -> str:
        """The address of torchvision's own weights, the best that there are."""
        return address(self.arch)

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a detector of torchvision as this one's: for these channels, and for these classes."""
        own, given = self.network.state_dict(), dict(state)
        for name in own.keys() & given.keys():
            if name.startswith(PREDICTORS) and own[name].shape != given[name].shape:
                given[name] = own[name]
        given = first_for(given, f"{self.first}.weight", self.in_channels)
        return {f"network.{name}": tensor for name, tensor in given.items()}

    def forward(self, x: Tensor, boxes: Tensor | None = None, labels: Tensor | None = None) -> Any:
        """In training, with boxes (B, M, 4) in pixels and labels (B, M), -1 where there is none: losses by name.

        Else, of each picture, {boxes (N, 4), labels (N,), scores (N,)}, the best first.
        """
        large_enough(min(x.shape[2:]), LEAST.get(self.arch, 1))
        if self.training and boxes is not None and labels is not None:
            pairs = zip(boxes, labels, strict=True)
            targets = [{"boxes": b[n >= 0], "labels": n[n >= 0] + self.background} for b, n in pairs]
            return self.network(x, targets)
        return [{**found, "labels": found["labels"] - self.background} for found in self.network(x)]


class _AsItIs(nn.Module):
    """Stands where torchvision's detectors scale and normalise their pictures: the task has done that.

    scale: another mean and spread of colours for pictures that have been given those of ImageNet.
    """

    def __init__(self, scale: tuple[tuple[float, ...], float] | None):
        super().__init__()
        self.scale = scale

    def forward(self, images: Tensor, targets: Any = None) -> tuple[Any, Any]:
        from torchvision.models.detection.image_list import ImageList

        if self.scale is not None:
            mean, std, other = (
                images.new_tensor(colours)[:, None, None] for colours in (*COLOURS["imagenet"], self.scale[0])
            )
            images = (images * std + mean - other) / self.scale[1]
        return ImageList(images, [tuple(images.shape[2:])] * len(images)), targets

    def postprocess(self, result: Any, *sizes: Any) -> Any:
        return result


def _network(arch: str, family: str, classes: int) -> nn.Module:
    """The detector with new weights."""
    from torchvision import models

    known = [name for name in models.list_models(module=models.detection) if name.startswith(tuple(FAMILIES))]
    if arch not in known:
        hint = did_you_mean(arch, known)
        raise ConfigError(
            [f"model.arch: torchvision has no detector '{printable(arch)}'.{hint} It has {', '.join(known)}."]
        )
    found = models.get_model(arch, weights=None, weights_backbone=None, num_classes=classes, **FAMILIES[family])
    return cast(nn.Module, found)
