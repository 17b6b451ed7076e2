"""Boxes around the things in a picture, each with its class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dlzoo import losses
from dlzoo.choices import Amount, Chance, Count, Factor, Normalize
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import ConfigError, DataError
from dlzoo.features import Features
from dlzoo.heads.boxes import BoxHead
from dlzoo.metrics import detection
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example
from dlzoo.tasks.labels import class_number, where
from dlzoo.tasks.pictures import PictureTask
from dlzoo.transforms.assignment import assign
from dlzoo.transforms.augment import colours
from dlzoo.transforms.boxes import Placement, clipped, distinct, fitted, overlap
from dlzoo.transforms.pictures import LOOK, Pictures

LARGEST = 640
"""Pixels of the longer side, at most, where no size is given."""
GRID = 32
"""Pixels that divide the sides of the canvas: the stride of most networks."""
BOX = 2.0
"""What the overlap of boxes counts in the loss, beside the scores (as in TOOD)."""
DIM, OVERLAP = 128, 0.6
"""The defaults of the head's arguments, which a resolved config writes out beside any model."""
SIDES = detection.SIDES


@TASKS.register("detection")
class Detection(PictureTask):
    """Pictures (B, C, H, W), each scaled to lie on one canvas, to boxes with a class and a score.

    The loss has a term for each box and one for each picture: the quality focal loss of the scores, and twice the
    generalized overlap that is missing, at the places that transforms/assignment.py finds. A model with a head of its
    own has its own losses, and in an evaluation none.

    Args:
        size: pixels of the longer side of a picture on the canvas; null is that of the largest, but not above 640
        augment: random changes in training; zoom is up to twice as large or as small, anywhere on the canvas
        jitter: how much contrast and colours vary in training, in spreads of the colours
        normalize: by the mean and spread of each colour, those of the training split, of ImageNet or of Kinetics;
            none gives 0 to 1
        dim: width of the head's feature pyramid
        overlap: boxes of one class that share more of their union than this are answered once
    """

    needs = ("image", "boxes", "labels")
    accepts = ("pyramid",)
    monitor = "map"
    ragged = ("boxes", "labels")
    baseline = "no boxes"
    draws = True
    """Also where nothing changes: what is kept would be put into batches by the number of boxes, to no use."""

    def __init__(
        self,
        size: Count | None = None,
        augment: Literal["none", "flip", "zoom_flip"] = "none",
        jitter: Amount = 0.0,
        normalize: Normalize = "data",
        dim: Count = 128,
        overlap: Factor = 0.6,
    ):
        self.size = size
        self.changes = augment
        self.jitter = jitter
        self.normalize = normalize
        self.dim = dim
        self.overlap = overlap
        self.classes: list[str] = []

    @property
    def least(self) -> None:
        """Boxes are in pixels of the whole picture."""
        return None

    def fit(self, data: Subset) -> None:
        self._know(sorted({name for names in data.column("labels") for name in names}))
        if not self.classes:
            raise DataError("no picture of the training split has a box: there is nothing to learn.")
        shapes: list[tuple[int, int]] = []

        def images() -> Iterator[Tensor]:
            for sample in data.some(LOOK):
                shapes.append(sample["image"].shape[1:])
                yield sample["image"]

        pictures = Pictures.fit(images(), GRID, self.normalize)
        longest = self.size or min(LARGEST, max(map(max, shapes)))
        height, width = (max(sides) for sides in zip(*(fitted(*s, (longest, longest)) for s in shapes), strict=True))
        self.pictures = replace(pictures, height=ceil(height / GRID) * GRID, width=ceil(width / GRID) * GRID)

    def _know(self, classes: list[str]) -> None:
        self.classes = classes
        self.index = {name: i for i, name in enumerate(classes)}

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"num_classes": len(self.classes)}

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return self.pictures.height, self.pictures.width

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        image = sample["image"]
        self.pictures.check(image, where(sample))
        H, W = image.shape[1:]
        place = Placement(*fitted(H, W, self.canvas))
        if rng is not None and self.changes != "none":
            place = Placement.drawn(H, W, self.canvas, self.changes == "zoom_flip", rng)
        colour = torch.tensor(self.pictures.mean) * 255
        found = {"image": place.picture(image, self.canvas, colour), "size": torch.tensor([H, W])}
        if "boxes" not in sample:
            return found
        labels = torch.tensor([class_number(name, self.index, sample) for name in sample["labels"]], dtype=torch.long)
        boxes, seen = place.boxes(sample["boxes"], H, W, self.canvas)
        return {**found, "boxes": boxes[seen], "labels": labels[seen]}

    def collate(self, columns: Columns) -> Batch:
        x, size = self.pictures.normalized(columns["image"]), columns["size"]
        if "boxes" not in columns:
            return Batch({"x": x, "size": size}, {}, count=len(x))
        most = max(1, *map(len, columns["labels"]))
        boxes = x.new_zeros(len(x), most, 4)
        labels = torch.full((len(x), most), -1)
        for i, (own, numbers) in enumerate(zip(columns["boxes"], columns["labels"], strict=True)):
            boxes[i, : len(own)], labels[i, : len(own)] = own, numbers
        targets = {"boxes": boxes, "labels": labels}
        return Batch({"x": x, "size": size, **targets}, targets, count=len(x) + int((labels >= 0).sum()))

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        if not self.jitter:
            return batch
        return replace(batch, inputs=batch.inputs | {"x": colours(batch.inputs["x"], self.jitter, rng)})

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        if backbone.features.kind == "complete":
            ours = {"dim": (self.dim, DIM), "overlap": (self.overlap, OVERLAP)}
            if ignored := [name for name, (given, usual) in ours.items() if given != usual]:
                why = "is of dlzoo's own head, and this model has one of its own; leave it out"
                raise ConfigError([f"task.{name}: {why}" for name in ignored])
            return nn.Identity()
        return BoxHead(backbone.features, len(self.classes), self.dim)

    def loss(self, outputs: Any, batch: Batch) -> Tensor | None:
        if isinstance(outputs, list):
            return None
        if isinstance(outputs, dict):
            return torch.stack(list(outputs.values())).sum() * batch.count
        scores = outputs.scores.float()
        right = assign(
            scores.sigmoid(),
            outputs.boxes,
            outputs.centres,
            outputs.stride,
            batch.targets["boxes"],
            batch.targets["labels"],
        )
        taken = right.weight > 0
        apart = 1 - overlap(outputs.boxes[taken], right.boxes[taken], generalized=True)
        return losses.quality_focal(scores, right.scores) + BOX * (right.weight[taken] * apart).sum()

    def decode(self, outputs: Any, batch: Batch) -> list[Answer]:
        found = outputs if isinstance(outputs, list) else distinct(outputs.scores, outputs.boxes, self.overlap)
        return [
            self._answer(one["boxes"], one["labels"], one["scores"], size)
            for one, size in zip(found, batch.inputs["size"].tolist(), strict=True)
        ]

    def truth(self, batch: Batch) -> list[Answer]:
        boxes, labels, sizes = batch.targets["boxes"], batch.targets["labels"], batch.inputs["size"].tolist()
        there = labels >= 0
        return [
            self._answer(boxes[i][there[i]], labels[i][there[i]], torch.ones(int(there[i].sum())), size)
            for i, size in enumerate(sizes)
        ]

    def _answer(self, boxes: Tensor, labels: Tensor, scores: Tensor, size: list[int]) -> Answer:
        """Boxes (N, 4) on the canvas as those of a picture of that height and width, to a hundredth of a pixel."""
        H, W = size
        h, w = fitted(H, W, self.canvas)
        whole = clipped(boxes.double() * boxes.new_tensor([W / w, H / h] * 2).double(), H, W).cpu().tolist()
        return {
            "boxes": [
                {
                    "label": self.classes[label],
                    "score": score,
                    **{name: round(side, 2) for name, side in zip(SIDES, box, strict=True)},
                }
                for box, label, score in zip(whole, labels.tolist(), scores.tolist(), strict=True)
            ]
        }

    def guess(self, batch: Batch) -> list[Answer]:
        return [{"boxes": []}] * len(batch.inputs["x"])

    def metrics(self) -> list[Metric]:
        return [detection.Detection(self.classes)]

    def answer(self, model: nn.Module, batch: Batch, *, threshold: Chance = 0.5) -> list[Answer]:
        """Boxes with a score of `threshold` or more."""
        answers = self.decode(model(**batch.inputs), batch)
        return [{"boxes": [box for box in found["boxes"] if box["score"] >= threshold]} for found in answers]

    def draw(self, sample: Sample, answer: Answer) -> dict[str, Tensor]:
        from dlzoo.report.boxes import drawn

        return {"picture": drawn(sample["image"], answer["boxes"], self.classes)}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"classes": self.classes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._know(state["classes"])
