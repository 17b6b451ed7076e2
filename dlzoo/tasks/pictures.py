"""What all tasks on single pictures share: how they are read, sized and normalised. What is asked is up to each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlzoo.choices import Normalize
from dlzoo.data.dataset import Dataset, Sample, Subset
from dlzoo.errors import DataError
from dlzoo.task import Task
from dlzoo.transforms.pictures import LOOK, Pictures


class PictureTask(Task):
    """Pictures (B, C, H, W) of one size; stands before what says what is asked, in a task's bases."""

    pictures: Pictures
    """What those of the training split are like; `fit_pictures` learns it."""

    def fit_pictures(self, data: Subset, size: int | None, normalize: Normalize) -> None:
        """Channels, size and colours of the training split. Raises DataError for channels that differ."""
        self.pictures = Pictures.fit((sample["image"] for sample in data.some(LOOK)), size, normalize)

    @property
    def least(self) -> int | None:
        """Pixels that the sides of a picture must keep when it is read; None for all of them."""
        return self.pictures.least

    def ready(self, dataset: Dataset) -> None:
        dataset.least = self.least

    def facts(self) -> dict[str, Any]:
        channels, height, width = self.pictures.channels, self.pictures.height, self.pictures.width
        facts = {"in_channels": channels, "in_features": channels * height * width}
        return facts | ({"image_size": height} if height == width else {})

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        from dlzoo.transforms.decode import read_image

        image = read_image(source, self.pictures.mode, least=self.least)
        yield {"image": image, "source": str(source)}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | self.pictures.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.pictures = Pictures.load(state)
