"""German traffic signs, GTSRB, in their own layout (Stallkamp et al., 2012)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.delimited import Delimited
from dlzoo.data.location import existing, fingerprint
from dlzoo.errors import DataError, first_few, printable
from dlzoo.registry import DATASETS
from dlzoo.transforms.decode import read_image

SIGNS = (
    *(f"speed limit {speed}" for speed in (20, 30, 50, 60, 70, 80)),
    *("end of speed limit 80", "speed limit 100", "speed limit 120"),
    *("no passing", "no passing for trucks", "right of way at the next crossing", "priority road", "yield", "stop"),
    *("no vehicles", "no trucks", "no entry", "danger", "bend to the left", "bend to the right", "double bend"),
    *("bumpy road", "slippery road", "road narrows on the right", "road works", "traffic signals", "pedestrians"),
    *("children", "bicycles", "ice or snow", "wild animals", "end of all limits", "turn right ahead"),
    *("turn left ahead", "ahead only", "ahead or right", "ahead or left", "keep right", "keep left", "roundabout"),
    *("end of no passing", "end of no passing for trucks"),
)
"""Names of the 43 classes, by their number."""
TRAIN = ("Final_Training/Images", "Training")
"""Folders of training pictures: of the archive of the final round, and as torchvision unpacks that of the first."""
TEST, ANSWERS = "Final_Test/Images", "GT-final_test.csv"
ROI = ("Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2")
"""Columns with the corners of a sign, in pixels, both inside."""


@dataclass(frozen=True)
class Sign:
    """One row: a picture, what is on it and where."""

    file: Path
    label: str
    box: tuple[int, int, int, int]
    """Left, top, right and bottom of the sign, the last two inside."""
    row: str
    """Where it is from, as file:line."""


@DATASETS.register("gtsrb")
class GTSRB(Dataset):
    """Colour pictures of traffic signs: `image` (3, H, W) uint8 of 15 to 250 pixels, and `label`, one of 43 names.

    Some 30 pictures in a row are of one sign that comes nearer: `group: track` keeps them in one split.

    Args:
        path: the folder GTSRB with Final_Training/Images/00000/*.ppm (or Training/00000/*.ppm) and, for the test split,
            Final_Test/Images/*.ppm and GT-final_test.csv, in the folder or beside it
        roi: cut each picture to its sign, without the margin around it
    """

    gives = ("image", "label")
    decodes = True

    def __init__(self, path: str, roi: bool = False):
        self.path = existing(path, folder=True)
        self.roi = roi
        self._lists = {"train": self._train(), "test": self._test()}
        self._lists = {split: files for split, files in self._lists.items() if files}
        if "train" not in self._lists:
            wanted = " or ".join(f"{name}/00000/GT-00000.csv" for name in TRAIN)
            raise DataError(f"{printable(path)}: no training pictures are here. Wanted: {wanted}.")
        found = {split: [sign for file in files for sign in _signs(*file)] for split, files in self._lists.items()}
        self._signs = [sign for signs in found.values() for sign in signs]
        self._count = len(found["train"])
        if missing := [f"{sign.row} ({sign.file.name})" for sign in self._signs if not sign.file.is_file()]:
            raise DataError(f"{printable(path)}: {len(missing):,} listed pictures are not here: {first_few(missing)}.")

    def _train(self) -> list[tuple[Path, Path]]:
        """The list of each class, and the folder of its pictures."""
        folder = next((self.path / name for name in TRAIN if (self.path / name).is_dir()), None)
        classes = [] if folder is None else sorted(entry for entry in folder.iterdir() if entry.is_dir())
        return [(existing(entry / f"GT-{entry.name}.csv", folder=False), entry) for entry in classes]

    def _test(self) -> list[tuple[Path, Path]]:
        """The list of the test pictures and their folder, where there are any."""
        folder = self.path / TEST
        if not folder.is_dir():
            return []
        lists = [place / ANSWERS for place in (self.path, self.path.parent, folder)]
        return [(existing(next(filter(Path.is_file, lists), lists[0]), folder=False), folder)]

    def __len__(self) -> int:
        return len(self._signs)

    def __getitem__(self, index: int) -> Sample:
        sign = self._signs[index]
        image = read_image(sign.file, least=None if self.roi else self.least)
        if self.roi:
            left, top, right, bottom = sign.box
            if not (0 <= left <= right < image.shape[2] and 0 <= top <= bottom < image.shape[1]):
                size = f"{image.shape[2]} x {image.shape[1]}"
                raise DataError(f"{sign.row}: the sign, {sign.box}, is not inside the picture of {size} pixels.")
            image = image[:, top : bottom + 1, left : right + 1]
        return {"image": image, "label": sign.label}

    def column(self, key: str) -> list[Any]:
        """`label`; `track`, the pictures of one sign; `image` is not decoded for this."""
        if key == "label":
            return [sign.label for sign in self._signs]
        if key == "track":  # 00003_00012.ppm is picture 12 of track 3 of its class; test pictures stand alone
            return [f"{sign.file.parent.name}/{sign.file.stem.partition('_')[0]}" for sign in self._signs]
        raise DataError(f"GTSRB has no column '{printable(key)}', only label and track.")

    def headings(self) -> list[str]:
        return ["track"]

    def source(self, index: int) -> str:
        return str(self._signs[index].file)

    def splits(self) -> dict[str, list[int]]:
        test = list(range(self._count, len(self)))
        return {"train": list(range(self._count))} | ({"test": test} if test else {})

    def fingerprint(self) -> str:
        lists = [file for files in self._lists.values() for file, _ in files]
        return fingerprint([*lists, *(sign.file for sign in self._signs)], self.path.parent)


def _signs(file: Path, folder: Path) -> Iterator[Sign]:
    """The rows of a list. Raises DataError for a row that cannot be read, with its line."""
    table = Delimited(file, ";")
    name, *places, number = (table.index(column) for column in ("Filename", *ROI, "ClassId"))
    for chunk in table.chunks():
        for error in chunk.bad.values():
            raise error
        for line, cells in zip(chunk.lines, chunk.cells, strict=True):
            row = f"{table.name}:{line}"
            numbers = [cells[place].strip() for place in (*places, number)]
            if wrong := [cell for cell in numbers if not cell.isdecimal()]:
                raise DataError(f"{row}: '{printable(wrong[0][:60])}' is not a whole number.")
            left, top, right, bottom, kind = map(int, numbers)
            if kind >= len(SIGNS):
                raise DataError(f"{row}: class {kind}, and there are {len(SIGNS)}: 0 to {len(SIGNS) - 1}.")
            if (picture := Path(cells[name].strip())).name != str(picture):
                raise DataError(f"{row}: '{printable(str(picture))}' is no name of a file in the folder.")
            yield Sign(folder / picture, SIGNS[kind], (left, top, right, bottom), row)
