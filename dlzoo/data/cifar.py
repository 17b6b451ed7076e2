"""CIFAR-10 and CIFAR-100 in their binary form (Krizhevsky, 2009): the Python form is pickle, which dlzoo never runs."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.location import existing, fingerprint, shown
from dlzoo.errors import DataError, printable
from dlzoo.registry import DATASETS

PIXELS = 3 * 32 * 32
COARSE, FINE = "coarse_label_names.txt", "fine_label_names.txt"


@DATASETS.register("cifar")
class Cifar(Dataset):
    """Colour pictures: `image` (3, 32, 32) uint8, and `label`.

    Args:
        path: the folder with data_batch_1.bin ... and test_batch.bin (CIFAR-10), or train.bin and test.bin (CIFAR-100)
        labels: of CIFAR-100, the 100 classes or the 20 that they belong to
    """

    gives = ("image", "label")

    def __init__(self, path: str, labels: Literal["fine", "coarse"] = "fine"):
        folder = existing(path, folder=True)
        ten = sorted(folder.glob("data_batch_*.bin"))
        self.head = 1 if ten else 2  # bytes before the pixels: CIFAR-100 has both labels there
        self.place = 0 if ten or labels == "coarse" else 1
        names = {"train": ten or [folder / "train.bin"], "test": [folder / ("test_batch.bin" if ten else "test.bin")]}
        self._files = {split: [file for file in files if file.is_file()] for split, files in names.items()}
        if not any(self._files.values()):
            raise DataError(f"{printable(path)}: no data_batch_1.bin and no train.bin (the binary version).")
        meta = "batches.meta.txt" if ten else (FINE if labels == "fine" else COARSE)
        self.names = existing(folder / meta, folder=False).read_text(encoding="utf-8").split()

    @cached_property
    def _records(self) -> np.ndarray:
        """All of it, (N, labels and pixels)."""
        return np.concatenate([self._read(file) for files in self._files.values() for file in files])

    def _read(self, file: Path) -> np.ndarray:
        data = np.fromfile(file, np.uint8)
        if not len(data) or len(data) % (self.head + PIXELS):
            raise DataError(f"{shown(file)}: {len(data):,} bytes are not whole records of {self.head + PIXELS:,}.")
        return data.reshape(-1, self.head + PIXELS)

    @cached_property
    def _labels(self) -> list[str]:
        numbers = self._records[:, self.place]
        if int(numbers.max()) >= len(self.names):
            where = int(numbers.argmax())
            known = len(self.names)
            raise DataError(
                f"{self.source(where)}: label {numbers[where]}, but there are {known} names: 0 to {known - 1}."
            )
        return [self.names[number] for number in numbers.tolist()]

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:
        pixels = self._records[index, self.head :].reshape(3, 32, 32)
        return {"image": torch.from_numpy(pixels), "label": self._labels[index]}

    def column(self, key: str) -> list[Any]:
        """`label`."""
        if key != "label":
            raise DataError(f"CIFAR has no column '{printable(key)}', only label.")
        return self._labels

    @cached_property
    def _sizes(self) -> list[tuple[str, Path, int]]:
        size = self.head + PIXELS
        return [(split, file, file.stat().st_size // size) for split, files in self._files.items() for file in files]

    def source(self, index: int) -> str:
        """File and place in it, from 0."""
        for _, file, count in self._sizes:
            if index < count:
                return f"{shown(file)}:{index}"
            index -= count
        raise IndexError(index)

    def splits(self) -> dict[str, list[int]]:
        splits: dict[str, list[int]] = {}
        start = 0
        for split, _, count in self._sizes:
            splits.setdefault(split, []).extend(range(start, start + count))
            start += count
        return splits

    def fingerprint(self) -> str:
        return fingerprint(file for files in self._files.values() for file in files)
