"""A class for every pixel of a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo import losses
from dlzoo.choices import Amount, Count, Normalize, SegmentationLoss, Warp
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import ConfigError, DataError, UserError
from dlzoo.features import Features
from dlzoo.heads.pixels import Pixels
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.metrics.segmentation import Segmentation
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example
from dlzoo.tasks.labels import where
from dlzoo.tasks.pictures import PictureTask
from dlzoo.transforms import masks
from dlzoo.transforms.augment import colours
from dlzoo.transforms.masks import VOID, MaskClasses, Value
from dlzoo.transforms.pictures import LOOK, Pictures
from dlzoo.transforms.tiles import by_tiles, mirrored
from dlzoo.transforms.warp import warp

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

CROP = 256
"""Side of the crops of pictures that are not all of one size, where none is given."""
GAMMA, DECODER = 2.0, 32
"""The defaults of every task, which a resolved config writes out."""


@TASKS.register("segmentation")
class SegmentationTask(PictureTask):
    """Pictures (B, C, H, W), grey or colour, to scores of every pixel (B, K, H, W).

    Pictures of one size are taken whole. Of others, and with `crop`, training sees a random part of each; whole ones
    are answered and scored, of whatever size, by overlapping tiles.

    Args:
        size: pixels of the shorter side that pictures and masks are scaled to, also to be scored; null leaves them
        crop: pixels of the sides of the part that training sees; null is the whole, or 256 where sizes differ
        classes: names of the masks' values 0, 1, 2 ..., or the value (or [red, green, blue]) of each; null takes every
            value of the training split for a class
        void: value or colour of masks that counts for nothing, or a list of them
        augment: random changes in training; zoom takes half or more of height and width, turn is also upside down and
            on the side, for pictures that know no up
        jitter: how much contrast and colours vary in training, in spreads of the colours
        normalize: by the mean and spread of each colour, those of the training split, of ImageNet or of Kinetics;
            none gives 0 to 1
        loss: dice weighs classes alike, however few their pixels; focal looks more at what is hard
        gamma: of the focal loss, how much more it looks at what is hard
        balance: weigh pixels by one over the square root of how common their class is
        decoder: channels of the finest map where the model gives a pyramid, which then goes up as in a U-Net
    """

    needs = ("image", "mask")
    accepts = ("pyramid", "map")
    monitor = "miou"
    baseline = "most common class"
    kept = 6

    def __init__(
        self,
        size: Count | None = None,
        crop: Count | None = None,
        classes: list[str] | dict[str, int | list[int]] | None = None,
        void: int | list[int] | list[list[int]] | None = None,
        augment: Warp = "none",
        jitter: Amount = 0.0,
        normalize: Normalize = "data",
        loss: SegmentationLoss = "cross_entropy_dice",
        gamma: Amount = 2.0,
        balance: bool = False,
        decoder: Count = 32,
    ):
        if gamma != GAMMA and loss != "focal":
            raise ConfigError([f"task.gamma: loss: {loss} has none; leave it out, or set loss: focal"])
        if balance and loss == "dice":
            raise ConfigError(["task.balance: loss: dice weighs all classes alike as it is; leave it out"])
        if size and crop:
            raise ConfigError(["task.crop: is cut from pictures as they are; leave out task.size"])
        self.void = _several(void, coloured=isinstance(classes, dict) and any(map(_is_colour, classes.values())))
        self.named = None if classes is None else MaskClasses.named(classes, self.void)
        self.size, self.crop, self.warp, self.jitter, self.normalize = size, crop, augment, jitter, normalize
        self.kind, self.gamma, self.balance, self.decoder = loss, gamma, balance, decoder

    @property
    def least(self) -> None:
        return None

    def fit(self, data: Subset) -> None:
        shapes: set[tuple[int, ...]] = set()
        tally: Counter[int] = Counter()
        coloured: set[bool] = set()

        def images() -> Iterator[Tensor]:
            for sample in data.some(LOOK):
                shapes.add(tuple(sample["image"].shape[1:]))
                tally.update(masks.tally(sample["mask"]))
                coloured.add(len(sample["mask"]) == 3)
                yield sample["image"]

        self.pictures = Pictures.fit(images(), None, self.normalize)
        if self.named is None and True in coloured:
            raise DataError("the masks are coloured: name their colours, task.classes: {road: [128, 64, 128], ...}.")
        if self.size is not None:
            H, W = shapes.pop() if len(shapes) == 1 else (1, 1)
            scale = self.size / min(H, W)
            self.pictures.height, self.pictures.width = round(H * scale), round(W * scale)
        tiled = self.size is None and (self.crop is not None or len(shapes) > 1)
        if tiled:
            self.pictures.height = self.pictures.width = self.crop or CROP
        classes = self.named or MaskClasses.found(tally, self.void)
        self._know(classes, classes.counts(tally), tiled)

    def _know(self, classes: MaskClasses, counts: list[int], tiled: bool) -> None:
        self.classes, self.counts, self.tiled = classes, counts, tiled
        self.draws = self.generates = tiled
        self.ragged = ("image", "mask") if tiled else ()
        self.weight = None
        if self.balance:
            weight = (1 / torch.tensor(counts).clamp(min=1)).sqrt()
            self.weight = weight * sum(counts) / (weight * torch.tensor(counts)).sum()

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        self.pictures.check(sample["image"], where(sample))
        image, height, width = sample["image"], self.pictures.height, self.pictures.width
        mask = self.classes.numbers(sample["mask"], where(sample)) if "mask" in sample else None
        if self.tiled and rng is not None and mask is not None:
            image, mask = _cropped(image, mask, height, rng)
        elif self.tiled:  # flat, as sides differ
            example = {"size": torch.tensor(image.shape[1:]), "image": image.flatten()}
            return example if mask is None else {**example, "mask": mask.flatten()}
        elif image.shape[1:] != (height, width):
            image = F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]
            mask = None if mask is None else masks.scaled(mask, height, width)
        return {"image": image} if mask is None else {"image": image, "mask": mask}

    def collate(self, columns: Columns) -> Batch:
        if "size" in columns:
            sizes = columns["size"].tolist()
            x = [image.view(-1, *size) for image, size in zip(columns["image"], sizes, strict=True)]
            truths = [mask.view(size) for mask, size in zip(columns.get("mask", []), sizes, strict=False)]
            return Batch({"x": x}, {"mask": truths} if truths else {}, count=len(x))
        whole = {key: torch.stack(value) if isinstance(value, list) else value for key, value in columns.items()}
        targets = {"mask": whole["mask"]} if "mask" in whole else {}
        return Batch({"x": self.pictures.normalized(whole["image"])}, targets, count=len(whole["image"]))

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        if self.warp == "none" and not self.jitter:
            return batch
        x, mask = warp(batch.inputs["x"], batch.targets["mask"], self.warp, rng)
        return replace(batch, inputs={"x": colours(x, self.jitter, rng) if self.jitter else x}, targets={"mask": mask})

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        if backbone.features.kind == "map" and self.decoder != DECODER:
            raise ConfigError(["task.decoder: the model gives one map, not a pyramid; leave it out"])
        return Pixels(backbone.features, len(self.classes.names), self.decoder)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        mask = batch.targets["mask"]
        weight = None if self.weight is None else self.weight.to(outputs.device)
        return losses.segmentation(outputs, mask.long(), self.kind, gamma=self.gamma, weight=weight, mask=mask != VOID)

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        return [self._answer(mask) for mask in outputs.argmax(1).to(torch.uint8).cpu()]

    def _answer(self, mask: Tensor) -> Answer:
        """Class numbers (H, W) and the share of each class in the pixels that have one."""
        shares = torch.bincount(mask[mask != VOID].flatten(), minlength=len(self.classes.names)).double()
        shares /= shares.sum().clamp(min=1)
        return {"shares": dict(zip(self.classes.names, shares.tolist(), strict=True)), "mask": mask}

    def answer(
        self, model: nn.Module, batch: Batch, *, tile: int | None = None, overlap: float | None = None
    ) -> list[Answer]:
        """The class of every pixel, of pictures of several sizes tile by tile.

        Args:
            tile: pixels of a tile's side; as many as the crops of training without it
            overlap: share of a tile that the next one has, too; a quarter without it
        """
        if not self.tiled:
            if tile is not None or overlap is not None:
                shown = f"{self.pictures.width} x {self.pictures.height}"
                raise UserError(
                    f"--tile, --overlap: this run scales pictures to {shown}; train with task.crop for tiles"
                )
            return self.decode(model(**batch.inputs), batch)
        size, shared = tile or self.pictures.height, 0.25 if overlap is None else overlap
        if size < 1 or not 0 <= shared <= 0.9:
            raise UserError("--tile is a number of pixels, --overlap a share of 0 to 0.9")

        def classes(tiles: Tensor) -> Tensor:
            return model(x=self.pictures.normalized(tiles)).argmax(1).to(torch.uint8)

        return [self._answer(by_tiles(image, size, shared, classes)) for image in batch.inputs["x"]]

    def truth(self, batch: Batch) -> list[Answer]:
        return [self._answer(mask.cpu()) for mask in batch.targets["mask"]]

    def guess(self, batch: Batch) -> list[Answer]:
        best = max(range(len(self.counts)), key=self.counts.__getitem__)
        return [self._answer(torch.full_like(mask, best, device="cpu")) for mask in batch.targets["mask"]]

    def metrics(self) -> list[Metric]:
        return [Segmentation(self.classes.names)]

    def update(self, metrics: list[Metric], outputs: Tensor, batch: Batch) -> None:
        for metric in metrics:
            assert isinstance(metric, Segmentation)
            metric.update_masks(outputs.argmax(1), batch.targets["mask"])

    def draw(self, sample: Sample, answer: Answer) -> dict[str, Tensor | Image.Image]:
        """The mask, as the training's are, and the picture under the colours of its classes."""
        image = sample["image"]
        mask = masks.scaled(answer["mask"], *image.shape[1:])
        return {"mask": self.classes.picture(mask), "overlay": self.classes.overlay(image, mask)}

    def plot(self, metrics: list[Metric], answers: list[Answer], truths: list[Answer]) -> dict[str, Figure]:
        from dlzoo.report import figures, pictures

        (metric,) = metrics
        assert isinstance(metric, Segmentation)
        pairs = [(truth["mask"].numpy(), answer["mask"].numpy()) for truth, answer in zip(truths, answers, strict=True)]
        return {
            "confusion": figures.confusion(metric.confusion, self.classes.names),
            "masks": pictures.masks(pairs, self.classes.names, VOID),
        }

    def state_dict(self) -> dict[str, Any]:
        classes = {"names": self.classes.names, "values": self.classes.values, "void": self.classes.void}
        return super().state_dict() | {"classes": classes, "counts": self.counts, "tiled": self.tiled}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._know(MaskClasses(**state["classes"]), state["counts"], state["tiled"])


def _several(void: int | list[int] | list[list[int]] | None, coloured: bool) -> list[Value]:
    """What stands for nothing as a list; where classes are colours, three numbers are one."""
    if void is None:
        return []
    if isinstance(void, int) or coloured and not any(map(_is_colour, void)):
        return [void]  # type: ignore[list-item]
    return [*void]


def _is_colour(value: Value) -> bool:
    return isinstance(value, list)


def _cropped(image: Tensor, mask: Tensor, side: int, rng: Random) -> tuple[Tensor, Tensor]:
    """A random square of a picture and its mask, both continued by mirroring where they are smaller."""
    height, width = max(side, image.shape[1]), max(side, image.shape[2])
    top, left = rng.randint(0, height - side), rng.randint(0, width - side)
    both = mirrored(torch.cat([image, mask[None]]), height, width)[:, top : top + side, left : left + side]
    return both[:-1], both[-1]
