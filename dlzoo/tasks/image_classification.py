"""One label for each picture, or any number."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import torch
from torch import Tensor, nn

from dlzoo.choices import Amount, Augment, Chance, ClassificationLoss, Count, Magnitude, Normalize, Pool, Share, Whole
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import ConfigError, UserError
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled
from dlzoo.metrics.metric import Answer
from dlzoo.registry import TASKS
from dlzoo.report.heat import grad_cam, laid_over
from dlzoo.task import Batch, Columns, Example, Network
from dlzoo.tasks.classification import ClassificationTask
from dlzoo.tasks.pictures import PictureTask
from dlzoo.transforms.mix import mix
from dlzoo.transforms.pictures import resize
from dlzoo.transforms.randaugment import randaugment

MAGNITUDE = 9
"""The default of RandAugment, which a resolved config writes out whether it is used or not."""


@TASKS.register("image_classification")
class ImageClassification(PictureTask, ClassificationTask):
    """Pictures (B, C, H, W), grey or colour, to scores (B, K).

    Args:
        size: pixels of the shorter side, the longer is cut to it; null keeps pictures that are of one size, else 224
        augment: random changes in training; shift is by up to an eighth, tilt by up to 15 degrees and a tenth in
            size and place, zoom takes 35 % or more of the picture
        randaugment: random changes to each training picture, of RandAugment's fourteen; 0 for none
        magnitude: of RandAugment, how strong its changes are
        erase: chance of a training picture to lose a random rectangle
        mixup: blend training pictures and their labels in pairs, by shares from Beta(mixup, mixup); 0 for none
        cutmix: paste a rectangle of another training picture, and its share of the label, likewise
        normalize: by the mean and spread of each colour, those of the training split, of ImageNet or of Kinetics;
            none gives 0 to 1
        multi_label: a picture has any number of labels, each with a score of its own
        loss: focal looks more at what is hard; binary_cross_entropy is each class against the rest; null is that for
            multi_label, else cross_entropy
        smoothing: share of the target that is spread over all classes
        gamma: of the focal loss, how much more it looks at what is hard
        balance: weigh classes by one over their frequency
        pool: how features become one vector; auto is the mean, or the last place of a causal model
    """

    needs = ("image", "label")
    accepts = ("map", "vector", "sequence")
    shown = ("explain",)

    def __init__(
        self,
        size: Count | None = None,
        augment: Augment = "none",
        randaugment: Whole = 0,
        magnitude: Magnitude = 9,
        erase: Chance = 0.0,
        mixup: Amount = 0.0,
        cutmix: Amount = 0.0,
        normalize: Normalize = "data",
        multi_label: bool = False,
        loss: ClassificationLoss | None = None,
        smoothing: Share = 0.0,
        gamma: Amount = 2.0,
        balance: bool = False,
        pool: Pool = "auto",
    ):
        super().__init__(loss, smoothing, gamma, balance, multi_label)
        self.needs = ("image", self.labels.key)
        self.size = size
        self.changes = augment
        if magnitude != MAGNITUDE and not randaugment:
            raise ConfigError(["task.magnitude: is of RandAugment; leave it out, or set randaugment, say to 2"])
        self.randaugment, self.magnitude = randaugment, magnitude
        self.erase = erase
        self.mixup, self.cutmix = mixup, cutmix
        self.normalize = normalize
        self.pool = pool

    def fit(self, data: Subset) -> None:
        self.fit_labels(data)
        self.fit_pictures(data, self.size, self.normalize)

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        return {"image": self.encode_picture(sample), **self.encode_label(sample)}

    def collate(self, columns: Columns) -> Batch:
        x = self.pictures.normalized(columns["image"])
        return Batch({"x": x}, self.targets(columns), count=len(x))

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        x, targets = batch.inputs["x"], batch.targets
        if self.randaugment:
            x = self.pictures.normalized(randaugment(self.pictures.bytes(x), self.randaugment, self.magnitude, rng))
            batch = replace(batch, inputs={"x": x})
        x = super().augment(batch, rng).inputs["x"]
        if self.mixup or self.cutmix:
            x, partner, own = mix(x, self.mixup, self.cutmix, rng)
            targets = targets | {"partner": partner, "own": own}
        return replace(batch, inputs={"x": x}, targets=targets)

    def answer(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        threshold: str | None = None,
        flip: bool = False,
        explain: bool = False,
    ) -> list[Answer]:
        """The likeliest class of each picture, or its labels, unless a threshold says otherwise.

        Args:
            threshold: CLASS=SCORE: a picture is CLASS from that score on, else the likeliest of the other classes; of
                multi_label SCORE for all classes, or CLASS=SCORE;CLASS=SCORE, instead of .5
            flip: answer each picture as it is and flipped left to right; scores are the means of both
            explain: draw where the likeliest class was found (Grad-CAM), into the folder that -o names
        """
        probabilities = self.labels.probabilities(model(**batch.inputs))
        if flip:
            flipped = model(x=batch.inputs["x"].flip(-1))
            probabilities = (probabilities + self.labels.probabilities(flipped)) / 2
        answers = self.labels.answers(probabilities, threshold)
        if explain:
            heat = self._heat(model, batch, probabilities.argmax(1)).cpu()
            answers = [answer | {"heat": of} for answer, of in zip(answers, heat, strict=True)]
        return answers

    def _heat(self, model: nn.Module, batch: Batch, chosen: Tensor) -> Tensor:
        """Heat (B, H, W) for a class of each picture (B,). Raises UserError for a model that gives no map."""
        assert isinstance(model, Network)
        features = model.backbone.features
        assert isinstance(features, Features)
        if features.kind != "map":
            why = f"this run's gives a {features.kind}, which has no places in the picture"
            raise UserError(f"--explain needs a model that gives a map (resnet, convnext, mobilenet ...); {why}")
        return grad_cam(model.backbone(**batch.inputs), model.head, chosen)

    def draw(self, sample: Sample, answer: Answer) -> dict[str, Tensor]:
        if "heat" not in answer:
            return {}
        seen = resize(sample["image"], self.pictures.height, self.pictures.width)
        return {"heat": laid_over(seen, answer["heat"])}

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Pooled(backbone.features, len(self.labels.classes), self.pool)
