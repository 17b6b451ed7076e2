"""Pictures of known people, to find the nearest among: one file, or a folder of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dlzoo.data.folders import find
from dlzoo.data.location import existing


@dataclass
class Gallery:
    """Known pictures, whose they are, and their embeddings (N, D) of length 1."""

    path: str
    files: list[str]
    names: list[str]
    embeddings: Tensor

    def nearest(self, embeddings: Tensor) -> tuple[list[str], list[str], list[float]]:
        """For each of embeddings (B, D): the name, the file and the cosine of the most similar picture."""
        cosines, places = (embeddings @ self.embeddings.T).max(1)
        found = places.tolist()
        return [self.names[i] for i in found], [self.files[i] for i in found], cosines.tolist()


def pictures_in(path: str) -> list[tuple[Path, str]]:
    """The pictures at `path` and their names: of the folder PERSON in PERSON/FILE, else of the file without its suffix.

    Raises DataError where there is no picture.
    """
    from dlzoo.transforms.decode import SUFFIXES

    place = existing(path)
    if not place.is_dir():
        return [(place, place.stem)]
    found = find(place, SUFFIXES, "pictures", classless=True)
    return list(zip(found.files, found.labels or [file.stem for file in found.files], strict=True))
