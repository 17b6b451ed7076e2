"""What all tasks on single pictures share: how they are read, sized and normalised. What is asked is up to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlzoo.choices import Augment, Normalize
from dlzoo.data.dataset import Dataset, Sample, Subset
from dlzoo.errors import DataError
from dlzoo.task import Batch, Task
from dlzoo.tasks.labels import where
from dlzoo.transforms.augment import augment as change
from dlzoo.transforms.pictures import LOOK, Pictures, resize


class PictureTask(Task):
    """Pictures (B, C, H, W) of one size; stands before what says what is asked, in a task's bases."""

    pictures: Pictures
    """What those of the training split are like; `fit_pictures` learns it."""
    changes: Augment = "none"
    """Random changes in training; `erase` is the chance to lose a rectangle."""
    erase: float = 0.0

    def fit_pictures(self, data: Subset, size: int | None, normalize: Normalize) -> None:
        """Channels, size and colours of the training split. Raises DataError for channels that differ."""
        self.pictures = Pictures.fit((sample["image"] for sample in data.some(LOOK)), size, normalize)

    @property
    def least(self) -> int | None:
        """Pixels that the sides of a picture must keep when it is read; None where all are wanted."""
        return max(self.pictures.height, self.pictures.width)

    def ready(self, dataset: Dataset) -> None:
        dataset.least = self.least

    def facts(self) -> dict[str, Any]:
        channels, height, width = self.pictures.channels, self.pictures.height, self.pictures.width
        facts = {"in_channels": channels, "in_features": channels * height * width}
        return facts | ({"image_size": height} if height == width else {})

    def encode_picture(self, sample: Sample) -> Tensor:
        """A sample's picture, uint8, in the size of all. Raises DataError for one of other channels."""
        self.pictures.check(sample["image"], where(sample))
        return resize(sample["image"], self.pictures.height, self.pictures.width)

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        if self.changes == "none" and not self.erase:
            return batch
        return replace(batch, inputs={"x": change(batch.inputs["x"], self.changes, self.erase, rng)})

    def opened(self, source: Path | str) -> Sample:
        """The picture in a file. Raises DataError for what is none."""
        from dlzoo.transforms.decode import read_image

        return {"image": read_image(source, self.pictures.mode, least=self.least), "source": str(source)}

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        yield self.opened(source)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | self.pictures.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.pictures = Pictures.load(state)
