"""Whose face it is, and whether two are of the same person, also of people who were never trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo import losses
from dlzoo.choices import Amount, Augment, Chance, Count, MarginLoss, Normalize, Pool, Positive, Share
from dlzoo.data.dataset import Pieces, Sample, Subset
from dlzoo.data.pairs import Listed, Pairs, read_pairs
from dlzoo.errors import DataError, printable
from dlzoo.features import Features
from dlzoo.heads.embedded import Embedded
from dlzoo.metrics.identification import Identification
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.metrics.verification import Verification
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example, columns
from dlzoo.tasks.gallery import Gallery, pictures_in
from dlzoo.tasks.pictures import PictureTask
from dlzoo.transforms.augment import colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

MARGINS = {"arcface": 0.5, "cosface": 0.35}
"""Where none is given: those of the papers."""
UNKNOWN = "unknown"
TOGETHER = 64
"""Pictures of a gallery that are embedded at a time."""
GAP = 4
"""Pixels between two pictures that are drawn side by side."""


@TASKS.register("face_recognition")
class FaceRecognition(PictureTask):
    """Pictures (B, C, H, W) to embeddings (B, D) of length 1: those of one person are near each other.

    Trained to tell the people of the training split apart, by a margin. Scored on all pairs of pictures of a split,
    whose people may be strangers (`data: {group: label}` keeps people whole); and on the names of those who are not.

    Args:
        size: pixels of the shorter side, the longer is cut to it; null keeps pictures that are of one size, else 224
        augment: random changes in training; shift is by up to an eighth, tilt by up to 15 degrees and a tenth in
            size and place, zoom takes 35 % or more of the picture
        erase: chance of a training picture to lose a random rectangle
        jitter: how much contrast and colours vary in training, in spreads of the colours
        normalize: by the mean and spread of each colour, those of the training split, of ImageNet or of Kinetics;
            none gives 0 to 1
        embedding: numbers that a picture becomes
        loss: arcface makes the angle to the right person larger by the margin, cosface the cosine smaller
        margin: how much worse the right person is made; null for 0.5 (arcface, in radians) or 0.35 (cosface)
        scale: what cosines are multiplied by; the papers take 64 for many thousand people
        dropout: of the features that the embedding is made of
        pool: how features become one vector; auto is the mean, or the last place of a causal model
        mirror: outside training the embedding is that of a picture and its mirror image together, in twice the time
        pairs: a list of pairs of the test split that are scored there, not all of them, in the form of LFW's pairs.txt
    """

    needs = ("image", "label")
    accepts = ("map", "vector", "sequence")
    monitor = "-eer"
    strangers = True
    baseline = "pixels"

    def __init__(
        self,
        size: Count | None = None,
        augment: Augment = "none",
        erase: Chance = 0.0,
        jitter: Amount = 0.0,
        normalize: Normalize = "data",
        embedding: Count = 128,
        loss: MarginLoss = "arcface",
        margin: Amount | None = None,
        scale: Positive = 30.0,
        dropout: Share = 0.0,
        pool: Pool = "auto",
        mirror: bool = False,
        pairs: str | None = None,
    ):
        self.size = size
        self.changes = augment
        self.erase = erase
        self.jitter = jitter
        self.normalize = normalize
        self.embedding = embedding
        self.kind = loss
        self.margin = MARGINS[loss] if margin is None else margin
        self.scale = scale
        self.dropout = dropout
        self.pool = pool
        self.mirror = mirror
        self.pairs = pairs
        self.listed: Pairs | None = None
        self.people: list[str] = []
        self.threshold: float | None = None
        self.gallery: Gallery | None = None

    def fit(self, data: Subset) -> None:
        people = sorted(set(data.column("label")))
        if len(people) < 2:
            only = f"only the person '{printable(people[0])}'" if people else "nobody"
            raise DataError(f"the training split has {only}: two people or more are needed.")
        self._know(people)
        self.fit_pictures(data, self.size, self.normalize)

    def _know(self, people: list[str]) -> None:
        self.people = people
        self.numbers = {name: number for number, name in enumerate(people)}
        self.names = list(people)
        """Of the people that were trained on, and then of the strangers that a split has."""

    def pieces(self, data: Subset, split: str) -> Pieces:
        for name in sorted(set(data.column("label")) - self.numbers.keys()):
            self.numbers[name] = len(self.names)
            self.names.append(name)
        if self.pairs is None or split != "test":
            return data
        self.listed = read_pairs(self.pairs)
        return Listed(data, self.listed)

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        example = {"image": self.encode_picture(sample)}
        if "label" in sample:
            example["label"] = torch.tensor(self.numbers[sample["label"]])
        if "place" in sample:
            example["place"] = torch.tensor(sample["place"])
        return example

    def collate(self, columns: Columns) -> Batch:
        """With `mirror` x is (2B, C, H, W): the mirror images stand behind the pictures."""
        x = self.pictures.normalized(columns["image"])
        if self.mirror:
            x = torch.cat([x, x.flip(-1)])
        if "label" not in columns:
            return Batch({"x": x}, {}, count=len(x))
        targets: dict[str, Any] = {name: columns[name] for name in ("label", "place") if name in columns}
        return Batch({"x": x}, targets, count=int((targets["label"] < len(self.people)).sum()))

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        batch = super().augment(replace(batch, inputs={"x": self._pictures(batch)}), rng)
        return replace(batch, inputs={"x": colours(batch.inputs["x"], self.jitter, rng)}) if self.jitter else batch

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Embedded(backbone.features, self.embedding, len(self.people), self.pool, self.dropout)

    def _pictures(self, batch: Batch) -> Tensor:
        """Those of a batch (B, C, H, W), without their mirror images."""
        x: Tensor = batch.inputs["x"]
        return x.chunk(2)[0] if self.mirror else x

    def loss(self, outputs: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
        label = batch.targets["label"]
        known = label < len(self.people)
        cosines = outputs[1] if len(outputs[1]) == len(label) else _together(outputs)[1]
        return losses.margin(cosines, label, self.kind, margin=self.margin, scale=self.scale, mask=known)

    def decode(self, outputs: tuple[Tensor, Tensor], batch: Batch) -> list[Answer]:
        embeddings, cosines = _together(outputs) if self.mirror else outputs
        best, places = cosines.detach().max(1)
        names = [self.people[i] for i in places.tolist()]
        return _answers(names, best.tolist(), embeddings.detach())

    def truth(self, batch: Batch) -> list[Answer]:
        names = [self.names[number] for number in batch.targets["label"].tolist()]
        truths = _answers(names, [1.0] * len(names), [_direction(name) for name in names])
        if "place" not in batch.targets:
            return truths
        return [{**truth, "place": place} for truth, place in zip(truths, batch.targets["place"].tolist(), strict=True)]

    def guess(self, batch: Batch) -> list[Answer]:
        pixels = F.adaptive_avg_pool2d(self._pictures(batch), 16).flatten(1)
        return _answers([self.people[0]] * len(pixels), [0.0] * len(pixels), F.normalize(pixels))

    def metrics(self) -> list[Metric]:
        listed = None if self.listed is None else (self.listed.one, self.listed.other, self.listed.fold)
        return [Identification(frozenset(self.people)), Verification(listed=listed)]

    def scored(self, metrics: dict[str, Any]) -> None:
        threshold = metrics.get("threshold")
        self.threshold = None if threshold is None else float(threshold)

    def answer(
        self, model: nn.Module, batch: Batch, *, gallery: str | None = None, threshold: float | None = None
    ) -> list[Answer]:
        """Who is nearest: of the people trained on, or in a gallery; `unknown` below the threshold.

        Args:
            gallery: a picture to compare with, or a folder of PERSON/FILE or of FILE; null for the people trained on
            threshold: cosine similarity from which two are the same; null for that of the validation split
        """
        answers = self.decode(model(**batch.inputs), batch)
        for answer in answers:
            answer["nearest"] = answer["label"]
        if gallery is not None:
            embeddings = torch.stack([answer["embedding"] for answer in answers])
            for answer, *found in zip(answers, *self._gallery_at(gallery, model).nearest(embeddings), strict=True):
                answer["label"], answer["nearest"], answer["score"] = found
        least = self.threshold if threshold is None else threshold
        for answer in answers:
            if least is not None and answer["score"] < least:
                answer["label"] = UNKNOWN
        return answers

    def _gallery_at(self, path: str, model: nn.Module) -> Gallery:
        """The pictures at `path`, embedded once. Raises DataError for one that cannot be read."""
        if self.gallery is None or self.gallery.path != path:
            pictures = pictures_in(path)
            parts = [
                self._embedded((file for file, _ in pictures[start : start + TOGETHER]), model)
                for start in range(0, len(pictures), TOGETHER)
            ]
            files, names = [str(file) for file, _ in pictures], [name for _, name in pictures]
            self.gallery = Gallery(path, files, names, torch.cat(parts))
        return self.gallery

    def _embedded(self, files: Iterable[Path], model: nn.Module) -> Tensor:
        """Embeddings (N, D) of so many files."""
        batch = self.collate(columns([self.encode(self.opened(file)) for file in files])).to(
            next(model.parameters()).device
        )
        return torch.stack([answer["embedding"] for answer in self.decode(model(**batch.inputs), batch)])

    def draw(self, sample: Sample, answer: Answer) -> dict[str, Tensor | Image.Image]:
        """`match`: the picture, and beside it the nearest of the gallery, where there is one."""
        if self.gallery is None:
            return {}
        left, right = (self.encode_picture(one) for one in (sample, self.opened(answer["nearest"])))
        return {"match": torch.cat([left, torch.full_like(left[:, :, :GAP], 255), right], 2)}

    def plot(self, metrics: list[Metric], answers: list[Answer], truths: list[Answer]) -> dict[str, Figure]:
        from dlzoo.report import figures

        assert isinstance(metrics[1], Verification)
        return {"roc": figures.roc({"pairs": metrics[1].pairs()})}

    def state_dict(self) -> dict[str, Any]:
        return {"people": self.people} | super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._know(state["people"])


def _together(outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Embeddings (2B, D) and cosines (2B, K) of pictures, and behind them their mirror images, as those of both.

    That is the mean direction, as is usual with ArcFace (Deng et al., 2019, whose code adds up both): (B, D), (B, K).
    """
    embeddings, cosines = (torch.add(*part.chunk(2)) for part in outputs)
    length = embeddings.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return embeddings / length, cosines / length


def _answers(names: Iterable[str], scores: Iterable[float], embeddings: Iterable[Tensor]) -> list[Answer]:
    return [
        {"label": name, "score": score, "embedding": embedding}
        for name, score, embedding in zip(names, scores, embeddings, strict=True)
    ]


def _direction(name: str) -> Tensor:
    """An embedding of nobody but `name`: what a perfect network would give all pictures of one person."""
    return F.normalize(torch.randn(64, generator=torch.Generator().manual_seed(crc32(name.encode()))), dim=0)
