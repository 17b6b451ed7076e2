"""What every layout of pictures with boxes comes to: samples, splits, and boxes that lie in their picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.location import fingerprint
from dlzoo.errors import DataError, first_few, printable
from dlzoo.transforms.boxes import clipped
from dlzoo.transforms.decode import SUFFIXES, Mode, read_image

BEYOND = 2.0
"""Pixels by which a box may stick out of its picture: it is cut to it, as tools round and count from 0 or 1."""


@dataclass
class Boxed:
    """A picture as its annotations describe it; nothing is decoded yet."""

    file: Path
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    """x1, y1, x2, y2 in pixels."""
    labels: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    """Where each box stands: the file of its annotation, and the line or the number in it."""
    error: DataError | None = None
    """What is wrong with the annotations of this picture."""

    def add(self, box: tuple[float, float, float, float], label: str, place: str) -> None:
        """One more box. Raises DataError for one without an area, or without a name."""
        x1, y1, x2, y2 = box
        if not (x1 < x2 and y1 < y2):  # nor is this true of nan
            raise DataError(f"{place}: the box {_spelled(box)} has no area (its sides are x1, y1, x2, y2).")
        if not label:
            raise DataError(f"{place}: the box has no name.")
        self.boxes.append(box)
        self.labels.append(label)
        self.places.append(place)

    def inside(self, height: int, width: int) -> Tensor:
        """The boxes (N, 4), cut to their picture. Raises DataError for one that sticks out by more than two pixels."""
        for box, place in zip(self.boxes, self.places, strict=True):
            x1, y1, x2, y2 = box
            if min(x1, y1) < -BEYOND or x2 > width + BEYOND or y2 > height + BEYOND or x1 >= width or y1 >= height:
                raise DataError(f"{place}: the box {_spelled(box)} is not inside its picture, {width} x {height}.")
        return clipped(self.tensor(), height, width)

    def tensor(self) -> Tensor:
        """The boxes (N, 4), as they are written."""
        return torch.tensor(self.boxes, dtype=torch.float32).reshape(-1, 4)


def _spelled(box: Sequence[float]) -> str:
    return ", ".join(f"{side:g}" for side in box)


class BoxedPictures(Dataset):
    """Pictures with boxes: `image` (C, H, W), `boxes` (N, 4) and `labels`, N names."""

    gives = ("image", "boxes", "labels")
    decodes = True

    def __init__(self, path: Path, mode: Mode, splits: dict[str, list[Boxed]], annotations: Sequence[Path]):
        self.path, self.mode = path, mode
        self._pictures = [picture for name in ("train", "validation", "test") for picture in splits.get(name, [])]
        self._annotations = annotations
        self._splits: dict[str, list[int]] = {}
        start = 0
        for name in ("train", "validation", "test"):
            if name in splits:
                self._splits[name] = list(range(start, start + len(splits[name])))
                start += len(splits[name])
        if not self._pictures:
            raise DataError(f"{printable(str(path))}: there are no pictures with boxes in it.")
        if bare := [str(picture.file) for picture in self._pictures if not picture.boxes and picture.error is None]:
            self.notes.append(f"{len(bare):,} of {len(self):,} pictures have no box: {first_few(bare)}")

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Sample:
        found = self._pictures[index]
        if found.error is not None:
            raise found.error
        image = read_image(found.file, self.mode)
        return {"image": image, "boxes": found.inside(*image.shape[1:]), "labels": found.labels}

    def column(self, key: str) -> list[Any]:
        """`labels`, `boxes` as they are written, or `path`, as text below the folder; nothing is decoded."""
        if key == "labels":
            return [picture.labels for picture in self._pictures]
        if key == "boxes":
            return [picture.tensor() for picture in self._pictures]
        if key == "path":
            return [os.path.relpath(picture.file, self.path) for picture in self._pictures]
        raise DataError(
            f"{printable(str(self.path))}: pictures with boxes have no column '{printable(key)}', only labels, boxes "
            "and path."
        )

    def source(self, index: int) -> str:
        return str(self._pictures[index].file)

    def splits(self) -> dict[str, list[int]]:
        return self._splits

    def contents(self) -> list[str]:
        """The files: one may stand in several lists."""
        return [str(picture.file) for picture in self._pictures]

    def fingerprint(self) -> str:
        files = {picture.file for picture in self._pictures if picture.file.is_file()}
        return fingerprint([*files, *self._annotations], extra=str(self._splits))


def pictures_in(folder: Path) -> dict[str, Path]:
    """The pictures of a folder, by their names without suffix. Raises DataError for two of one name."""
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
            if (other := found.setdefault(file.stem, file)) != file:
                raise DataError(
                    f"{printable(str(folder))}: {printable(other.name)} and {printable(file.name)} have one name: to "
                    "which of them the boxes belong cannot be told. Rename one."
                )
    return found
