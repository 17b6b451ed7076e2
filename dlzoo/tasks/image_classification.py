"""One label for each picture."""

from __future__ import annotations

from random import Random

from torch import nn

from dlzoo.choices import Amount, Augment, Chance, ClassificationLoss, Count, Normalize, Pool, Share
from dlzoo.data.dataset import Sample, Subset
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example
from dlzoo.tasks.classification import ClassificationTask
from dlzoo.tasks.pictures import PictureTask


@TASKS.register("image_classification")
class ImageClassification(PictureTask, ClassificationTask):
    """Pictures (B, C, H, W), grey or colour, to scores (B, K).

    Args:
        size: pixels of the shorter side, the longer is cut to it; null keeps pictures that are of one size, else 224
        augment: random changes in training; shift is by up to an eighth, tilt by up to 15 degrees and a tenth in
            size and place, zoom takes 35 % or more of the picture
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
        normalize: Normalize = "data",
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

    def fit(self, data: Subset) -> None:
        self.fit_labels(data.column("label"))
        self.fit_pictures(data, self.size, self.normalize)

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        return {"image": self.encode_picture(sample), **self.encode_label(sample)}

    def collate(self, columns: Columns) -> Batch:
        x = self.pictures.normalized(columns["image"])
        return Batch({"x": x}, self.targets(columns), count=len(x))

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Pooled(backbone.features, len(self.classes), self.pool)
