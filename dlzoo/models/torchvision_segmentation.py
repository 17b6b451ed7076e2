"""torchvision's segmentation networks without their last convolution, by their names there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from torch import Tensor, nn

from dlzoo.choices import Count
from dlzoo.features import Features
from dlzoo.layers.published import address, first_for, take_channels
from dlzoo.registry import MODELS


@MODELS.register("torchvision_segmentation")
class TorchvisionSegmentation(nn.Module):
    """Images (B, C, H, W) to a map (B, dim, H / 8, W / 8), or of a sixteenth for deeplabv3 on a mobilenet.

    deeplabv3 is Chen et al.'s (2017, arXiv:1706.05587), fcn Long et al.'s (2015, arXiv:1411.4038), lraspp Howard et
    al.'s (2019, arXiv:1905.02244). The weights have torchvision's names.

    Args:
        in_channels: channels of a picture
        arch: the network's name in torchvision
        pretrained: weights to begin with: a .safetensors, .pt or .pth file, or true to download torchvision's own; they
            are used to task.normalize imagenet
        dim: width of the map of lraspp, which adds two of classes; the others have one of their own
    """

    def __init__(
        self,
        in_channels: int,
        arch: Literal[
            "deeplabv3_mobilenet_v3_large",
            "deeplabv3_resnet50",
            "deeplabv3_resnet101",
            "fcn_resnet50",
            "fcn_resnet101",
            "lraspp_mobilenet_v3_large",
        ] = "deeplabv3_mobilenet_v3_large",
        pretrained: str | bool = False,
        dim: Count = 64,
    ):
        super().__init__()
        from torchvision.models import get_model

        self.arch, self.in_channels = arch, in_channels
        network = cast(Any, get_model(arch, weights=None, weights_backbone=None, num_classes=dim))
        self.backbone, self.classifier = network.backbone, network.classifier
        self.last: tuple[str, ...] = ("classifier.low_classifier", "classifier.high_classifier")
        if not arch.startswith("lraspp"):
            dim = self.classifier[-1].in_channels
            self.last = (f"classifier.{len(self.classifier) - 1}",)
            self.classifier[-1] = nn.Identity()
        first = next(name for name, part in self.named_modules() if isinstance(part, nn.Conv2d))
        self.first = f"{first}.weight"
        take_channels(self.get_submodule(first), in_channels)
        self.features = Features("map", dim, 16 if arch == "deeplabv3_mobilenet_v3_large" else 8)

    def published(self) -> str:
        """The address of torchvision's own weights."""
        return address(self.arch)

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a whole network of torchvision as this one's: without its classes, for these channels."""
        own = {name: value for name, value in state.items() if not name.startswith(("aux_classifier", *self.last))}
        own |= {name: value for name, value in self.state_dict().items() if name.startswith(self.last)}
        return first_for(own, self.first, self.in_channels)

    def forward(self, x: Tensor) -> Tensor:
        found = self.backbone(x)
        return cast(Tensor, self.classifier(found if self.arch.startswith("lraspp") else found["out"]))
