"""Lists of pairs of pictures to compare, in the form of LFW's pairs.txt (Huang et al., 2007)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from dlzoo.data.dataset import Sample, Subset
from dlzoo.data.location import existing, shown
from dlzoo.errors import DataError, printable

Picture = tuple[str, int]
"""A person, and the number that ends the name of the file: Ann_Lee_0003.jpg is (Ann_Lee, 3)."""


@dataclass
class Pairs:
    """P pairs of the places of pictures in a list of them."""

    pictures: list[Picture]
    lines: list[int]
    """Of each picture, the line that names it first."""
    one: NDArray[np.int64]
    other: NDArray[np.int64]
    fold: NDArray[np.int64] | None
    """Of each pair, (P,); None where the list has no folds."""
    name: str
    """Of the list, as messages have it."""

    def places(self, paths: Iterable[str], people: Iterable[str]) -> dict[int, int]:
        """The number of a file, of those at `paths` that show `people`, for each place, in the order of the files.

        Raises DataError for a picture that is not among them.
        """
        wanted = {picture: place for place, picture in enumerate(self.pictures)}
        found: dict[int, int] = {}
        for index, (path, person) in enumerate(zip(paths, people, strict=True)):
            digits = re.search(r"\d+$", PurePath(path).stem)
            place = wanted.get((person, int(digits.group()))) if digits else None
            if place is not None:
                found.setdefault(place, index)
        missing = sorted(set(range(len(self.pictures))) - found.keys(), key=self.lines.__getitem__)
        if missing:
            (person, number), line = self.pictures[missing[0]], self.lines[missing[0]]
            more = f" So are {len(missing) - 1:,} others." if len(missing) > 1 else ""
            raise DataError(
                f"{self.name}:{line}: picture {number} of {printable(person)} is not in the split that is scored.{more}"
            )
        return found


class Listed:
    """The pictures of a split that a list of pairs names, each with its `place` there."""

    def __init__(self, data: Subset, pairs: Pairs):
        self.data = data
        self.files = list(pairs.places(data.column("path"), data.column("label")).items())

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        place, file = self.files[index]
        return {**self.data[file], "place": place}

    def source(self, index: int) -> str:
        """Where picture `index` is from."""
        return self.data.source(self.files[index][1])


def read_pairs(path: str) -> Pairs:
    """`person n m` is a pair of one person's pictures, `person n person m` of two people's; tabs or spaces between.

    The first line says how many folds there are and how many pairs of each kind are in one (10 and 300 in LFW's), or
    that number alone. Raises DataError for a line that is neither, and for another number of lines.
    """
    name = shown(path)
    try:
        lines = existing(path, folder=False).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 at byte {error.start}.") from None
    rows = [
        (number, line.split("\t" if "\t" in line else None)) for number, line in enumerate(lines, 1) if line.strip()
    ]
    head = [int(cell) for cell in rows[0][1] if cell.strip().isdecimal()] if rows else []
    if not rows or len(head) != len(rows[0][1]) or len(head) not in (1, 2) or 0 in head:
        raise DataError(f"{name}:1: the first line must say how many folds and how many pairs of each kind: 10 300.")
    folds, count = head if len(head) == 2 else (1, head[0])
    if len(rows) - 1 != folds * count * 2:
        raise DataError(
            f"{name}: {len(rows) - 1:,} pairs, and its first line promises {folds * count * 2:,}: in each of {folds} "
            f"folds {count:,} of one person and as many of two."
        )
    places: dict[Picture, int] = {}
    first: list[int] = []
    pairs: list[tuple[int, int]] = []
    for number, cells in rows[1:]:
        pair = []
        for picture in _pair(cells, f"{name}:{number}"):
            if picture not in places:
                first.append(number)
            pair.append(places.setdefault(picture, len(places)))
        pairs.append((pair[0], pair[1]))
    one, other = np.array(pairs).T
    fold = np.arange(len(pairs)) // (2 * count) if folds > 1 else None
    return Pairs(list(places), first, one, other, fold, name)


def _pair(cells: list[str], where: str) -> tuple[Picture, Picture]:
    match [cell.strip() for cell in cells]:
        case [person, one, other] if one.isdecimal() and other.isdecimal():
            return (person, int(one)), (person, int(other))
        case [person, one, stranger, other] if one.isdecimal() and other.isdecimal():
            return (person, int(one)), (stranger, int(other))
    raise DataError(
        f"{where}: '{printable(' '.join(cells)[:60])}' is no pair: wanted is `person 1 4` or `person 1 stranger 2`."
    )
