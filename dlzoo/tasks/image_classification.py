"""One label for each picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.choices import Amount, Augment, Chance, ClassificationLoss, Count, Pool, Share
from dlzoo.data.dataset import Dataset, Sample, Subset
from dlzoo.errors import DataError
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example
from dlzoo.tasks.classification import ClassificationTask, where
from dlzoo.transforms.augment import augment as change

LOOK = 500
"""Pictures of the training split, evenly spread, that `fit` opens for their size and the mean and spread of colours."""
SIZE = 224
"""Side of pictures that are not all of one size, where none is given: the field's usual one."""


@TASKS.register("image_classification")
class ImageClassification(ClassificationTask):
    """Pictures (B, C, H, W), grey or colour, to scores (B, K).

    Args:
        size: pixels of the shorter side, the longer is cut to it; null keeps pictures that are of one size, else 224
        augment: random changes in training; shift is by up to an eighth, zoom takes 35 % or more of the picture
        erase: chance of a training picture to lose a random rectangle
        normalize: by the mean and spread of each colour, those of the training split or of ImageNet; none gives 0 to 1
        loss: focal looks more at what is hard; binary_cross_entropy is each class against the rest
        smoothing: share of the target that is spread over all classes
        gamma: of the focal loss, how much more it looks at what is hard
        balance: weigh classes by one over their frequency
        pool: how features become one vector; auto is the mean, or the last place of a causal model
    """

    needs = ("image", "label")
    accepts = ("map", "vector", "sequence")

    def __init__(
        self,
        size: Count | None = None,
        augment: Augment = "none",
        erase: Chance = 0.0,
        normalize: Literal["data", "imagenet", "none"] = "data",
        loss: ClassificationLoss = "cross_entropy",
        smoothing: Share = 0.0,
        gamma: Amount = 2.0,
        balance: bool = False,
        pool: Pool = "auto",
    ):
        super().__init__(loss, smoothing, gamma, balance)
        self.size = size
        self.changes = augment
        self.erase = erase
        self.normalize = normalize
        self.pool = pool

    def ready(self, dataset: Dataset) -> None:
        dataset.least = max(self.height, self.width)

    def fit(self, data: Subset) -> None:
        self.fit_labels(data.column("label"))
        shapes, means, squares = set(), [], []
        for sample in data.some(LOOK):
            image = sample["image"]
            shapes.add(tuple(image.shape))
            pixels = image.flatten(1).double() / 255
            means.append(pixels.mean(1))
            squares.append(pixels.square().mean(1))
        if len(channels := {shape[0] for shape in shapes}) > 1:
            raise DataError(
                f"some pictures have {min(channels)} and some {max(channels)} channels: give the dataset one mode."
            )
        self.channels = channels.pop()
        own = shapes.pop()[1:] if len(shapes) == 1 and self.size is None else None
        self.height, self.width = own or (self.size or SIZE, self.size or SIZE)
        mean = torch.stack(means).mean(0)
        variance = torch.stack(squares).mean(0) - mean.square()
        self.mean, self.std = mean.tolist(), variance.clamp(min=1e-6).sqrt().tolist()
        if self.normalize == "none":
            self.mean, self.std = [0.0] * self.channels, [1.0] * self.channels
        elif self.normalize == "imagenet":
            colour = self.channels == 3
            self.mean, self.std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]) if colour else ([0.449], [0.226])

    def facts(self) -> dict[str, Any]:
        facts = {"in_channels": self.channels, "in_features": self.channels * self.height * self.width}
        return facts | ({"image_size": self.height} if self.height == self.width else {})

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        image = sample["image"]
        if len(image) != self.channels:
            raise DataError(
                f"{where(sample)}the picture has {len(image)} channels, those of the training split {self.channels}."
            )
        return {"image": resize(image, self.height, self.width), **self.encode_label(sample)}

    @cached_property
    def _normalization(self) -> tuple[Tensor, Tensor]:
        """What bytes are multiplied by and what is then added, each (C, 1, 1)."""
        mean, std = torch.tensor(self.mean).view(-1, 1, 1), torch.tensor(self.std).view(-1, 1, 1)
        return 1 / (255 * std), -mean / std

    def collate(self, columns: Columns) -> Batch:
        scale, offset = self._normalization
        x = columns["image"].float().mul_(scale).add_(offset)
        return Batch({"x": x}, self.targets(columns), count=len(x))

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        if self.changes == "none" and not self.erase:
            return batch
        return replace(batch, inputs={"x": change(batch.inputs["x"], self.changes, self.erase, rng)})

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Pooled(backbone.features, len(self.classes), self.pool)

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        from dlzoo.transforms.decode import read_image

        least = max(self.height, self.width)
        image = read_image(source, "grey" if self.channels == 1 else "rgb", least=least)
        yield {"image": image, "source": str(source)}

    def state_dict(self) -> dict[str, Any]:
        learned = ("channels", "height", "width", "mean", "std")
        return super().state_dict() | {name: getattr(self, name) for name in learned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for name in ("channels", "height", "width", "mean", "std"):
            setattr(self, name, state[name])


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
