"""Grey pictures in IDX files, the form of MNIST (LeCun, Cortes and Burges) and of its kin."""

import gzip
import math
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.location import existing, fingerprint, shown
from dlzoo.errors import DataError, printable
from dlzoo.registry import DATASETS

PARTS = {"train": "train", "test": "t10k"}
"""How the files of a split begin."""
LARGEST, RATIO, SMALL = 2**32, 100, 2**26
"""Bytes that a file may have unpacked: if they are many, so many times its own at most. MNIST has 5 times."""


@DATASETS.register("idx")
class Idx(Dataset):
    """Grey pictures: `image` (1, H, W) uint8, and `label`.

    Args:
        path: the folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the same for t10k, perhaps as .gz
        classes: a name for each class, in the order of their numbers; null for the numbers themselves
    """

    gives = ("image", "label")

    def __init__(self, path: str, classes: list[str] | None = None):
        folder = existing(path, folder=True)
        self.classes = classes
        self._files = {split: _pair(folder, name) for split, name in PARTS.items()}
        self._files = {split: pair for split, pair in self._files.items() if pair}
        if not self._files:
            raise DataError(
                f"{printable(path)}: neither train-images-idx3-ubyte(.gz) nor t10k-images-idx3-ubyte(.gz) is here."
            )

    @cached_property
    def _labels(self) -> dict[str, list[str]]:
        return {split: self._named(labels) for split, (_, labels) in self._files.items()}

    def _named(self, file: Path) -> list[str]:
        numbers = read_idx(file, 1)
        if self.classes is None:
            return [str(number) for number in numbers.tolist()]
        if numbers.size and int(numbers.max()) >= len(self.classes):
            where = int(numbers.argmax())
            known = len(self.classes)
            raise DataError(
                f"{file}:{where}: label {numbers[where]}, but `classes` names only {known}: 0 to {known - 1}."
            )
        return [self.classes[number] for number in numbers.tolist()]

    @cached_property
    def _images(self) -> torch.Tensor:
        """All pictures (N, 1, H, W), in one piece."""
        parts: list[np.ndarray] = []
        for split, (file, _) in self._files.items():
            images = read_idx(file, 3)
            if len(images) != len(self._labels[split]):
                raise DataError(
                    f"{file}: {len(images):,} pictures, but {len(self._labels[split]):,} labels beside them."
                )
            if parts and images.shape[1:] != parts[0].shape[1:]:
                raise DataError(f"{file}: pictures of {images.shape[1:]}, but {parts[0].shape[1:]} in train.")
            parts.append(images)
        return torch.from_numpy(np.concatenate(parts))[:, None]

    def __len__(self) -> int:
        return sum(map(len, self._labels.values()))

    def __getitem__(self, index: int) -> Sample:
        return {"image": self._images[index], "label": self.column("label")[index]}

    @cached_property
    def _column(self) -> list[str]:
        return [label for labels in self._labels.values() for label in labels]

    def column(self, key: str) -> list[Any]:
        """`label`."""
        if key != "label":
            raise DataError(f"IDX files have no column '{printable(key)}', only label.")
        return self._column

    def source(self, index: int) -> str:
        """File and place in it, from 0, as IDX counts."""
        for split, labels in self._labels.items():
            if index < len(labels):
                return f"{shown(self._files[split][0])}:{index}"
            index -= len(labels)
        raise IndexError(index)

    def splits(self) -> dict[str, list[int]]:
        splits, start = {}, 0
        for split, labels in self._labels.items():
            splits[split] = list(range(start, start + len(labels)))
            start += len(labels)
        return splits

    def fingerprint(self) -> str:
        return fingerprint(file for pair in self._files.values() for file in pair)


def _pair(folder: Path, name: str) -> tuple[Path, ...]:
    """The files of pictures and of labels of a split, or () where neither is there."""
    found = [_either(folder, f"{name}-images", "idx3-ubyte"), _either(folder, f"{name}-labels", "idx1-ubyte")]
    there = [file for file in found if file is not None]
    if len(there) == 1:
        raise DataError(f"{there[0]}: pictures and labels belong together, but only this one of the two files is here.")
    return tuple(there)


def _either(folder: Path, name: str, kind: str) -> Path | None:
    for file in (f"{name}-{kind}.gz", f"{name}-{kind}", f"{name}.{kind}.gz", f"{name}.{kind}"):
        if (folder / file).is_file():
            return folder / file
    return None


def read_idx(file: Path, dimensions: int) -> np.ndarray:
    """The bytes of an IDX file of unsigned bytes, in its shape. Never unpacks more than the header promises."""
    name = shown(file)
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            head = stream.read(4 + 4 * dimensions)
            if head[:4] != bytes((0, 0, 8, dimensions)) or len(head) < 4 + 4 * dimensions:
                raise DataError(f"{name}: not an IDX file of unsigned bytes in {dimensions} dimensions.")
            shape = [int.from_bytes(head[4 + 4 * i : 8 + 4 * i]) for i in range(dimensions)]
            size = math.prod(shape)
            if size > (most := min(LARGEST, max(SMALL, RATIO * file.stat().st_size))):
                raise DataError(
                    f"{name}: the header promises {size:,} bytes, and of this file at most {most:,} are read."
                )
            data = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: cannot be unpacked ({error}). Is the file cut short?") from None
    if len(data) != size:
        found = "more" if len(data) > size else f"{len(data):,}"
        raise DataError(f"{name}: the header promises {size:,} bytes, the file has {found}.")
    return np.frombuffer(bytearray(data), np.uint8).reshape(shape)
