"""Pictures in folders named by their class, or listed with their class or with numbers in a CSV."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from dlzoo.data.columns import number
from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.folders import SPLITS, Found, find
from dlzoo.data.location import existing, fingerprint
from dlzoo.data.rows import open_rows
from dlzoo.errors import ConfigError, DataError, first_few, printable
from dlzoo.registry import DATASETS
from dlzoo.transforms.decode import ANIMATED, SUFFIXES, frames, read_image

LOOK = 200
"""Pictures of a kind that may have several frames, evenly spread, whose headers are read for it."""


@DATASETS.register("image_folder")
class ImageFolder(Dataset):
    """Pictures: `image` (C, H, W) uint8 of any size, and `label`, the name of its folder; or `values`, named numbers.

    Args:
        path: the folder: CLASS/FILE, or train, validation and test folders with CLASS/FILE each
        mode: grey is one channel, rgb three; every picture is converted
        csv: a file with the columns path (below the folder) and label, and perhaps split and sha256 (of the file, in
            hex: a file that has changed is then refused), instead of class folders
        targets: columns of the csv with numbers that are to be predicted, instead of label
    """

    decodes = True

    def __init__(
        self,
        path: str,
        mode: Literal["grey", "rgb"] = "rgb",
        csv: str | None = None,
        targets: list[str] | None = None,
    ):
        if targets is not None and csv is None:
            raise ConfigError(["data.targets: numbers stand in a list of the pictures; name it with data.csv"])
        if targets is not None and not targets:
            raise ConfigError(["data.targets: name at least one column, or leave it out"])
        self.path = existing(path, folder=True)
        self.mode = mode
        self.csv = None if csv is None else existing(csv, folder=False)
        self.targets = targets
        found = find(self.path, SUFFIXES, "pictures") if self.csv is None else _listed(self.csv, self.path, targets)
        self._files, self._labels, self._splits = found.files, found.labels, found.splits
        self._values, self._columns = found.values, found.columns
        self._sums, self._missing = found.sums, found.missing
        self.notes.extend(found.notes)
        self.notes.extend(self._moving())

    @property
    def gives(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the samples have."""
        return ("image", "label" if self.targets is None else "values")

    def _moving(self) -> Iterator[str]:
        """A sentence on files with several frames, if there are any among those whose headers are looked at."""
        kinds = [file for file in self._files if file.suffix.lower() in ANIMATED]
        seen = kinds[:: max(1, len(kinds) // LOOK)]
        if moving := [str(file) for file in seen if frames(file) > 1]:
            among = f" (of {len(seen):,} looked at)" if len(seen) < len(kinds) else ""
            yield f"of {len(moving):,} files with several frames{among} the first frame is read: {first_few(moving)}"

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        if self.targets is None:
            return {"image": self._image(self._files[index]), "label": self._labels[index]}
        if isinstance(values := self._values[index], DataError):
            raise values
        return {"image": self._image(self._files[index]), "values": values}

    def _image(self, file: Path) -> Tensor:
        """The picture in a file. Raises DataError where its sum is not the listed one."""
        if file not in self._sums:
            return read_image(file, self.mode, least=self.least)
        content = existing(file, folder=False).read_bytes()
        if (found := hashlib.sha256(content).hexdigest()) != self._sums[file]:
            raise DataError(
                f"{printable(str(file))}: the file has changed: its sha256 is {found[:12]}..., and "
                f"{printable(str(self.csv))} says {printable(self._sums[file][:12])}..."
            )
        return read_image(content, self.mode, str(file), self.least)

    def column(self, key: str) -> list[Any]:
        """`label` or `values`; `path`, as text below the folder; of a list, any other column as text."""
        if key in self.gives and key != "image":
            return self._labels if key == "label" else self._values
        if key == "path":
            return [file.relative_to(self.path).as_posix() for file in self._files]
        if key in self._columns:
            return self._columns[key]
        there = ", ".join([self.gives[1], "path", *map(printable, self._columns)])
        raise DataError(f"{printable(str(self.path))}: pictures have no column '{printable(key)}', only {there}.")

    def headings(self) -> list[str]:
        return list(self._columns)

    def source(self, index: int) -> str:
        return str(self._files[index])

    def splits(self) -> dict[str, list[int]]:
        if self._missing and self.skipped is None:
            where = f"{len(self._missing):,} listed files are not in {printable(str(self.path))}"
            raise DataError(f"{printable(str(self.csv))}: {where}: {first_few(list(self._missing.values()))}.")
        for values in self._values if self.skipped is None else ():
            if isinstance(values, DataError):
                raise values
        return self._splits

    def contents(self) -> list[str] | None:
        """The files of a list, where one may stand twice."""
        return None if self.csv is None else [str(file) for file in self._files]

    def fingerprint(self) -> str:
        there = [file for file in self._files if file not in self._missing]
        return fingerprint([*there, *([self.csv] if self.csv else [])])


def _listed(csv: Path, root: Path, targets: list[str] | None) -> Found:
    """The pictures that a CSV lists, by split in the file's order."""
    table = open_rows(csv)
    filled = ("path", "label") if targets is None else ("path",)
    for name in (*filled, *(targets or ())):
        table.index(name)
    rows: dict[str, list[tuple[Path, dict[str, str], dict[str, float] | DataError]]] = {}
    found = Found()
    inside = root.resolve()
    seen, twice = set(), []
    for chunk in table.chunks():
        for error in chunk.bad.values():
            raise error
        for line, cells in zip(chunk.lines, chunk.cells, strict=True):
            row = {name: cell.strip() for name, cell in zip(table.columns, cells, strict=True)}
            where = f"{table.name}:{line}"
            file = root / row["path"]
            for name in filled:
                if not row[name]:
                    raise DataError(f"{where}: the {name} is empty.")
            if not file.resolve().is_relative_to(inside):
                within = f"is not inside {printable(str(root))}; set `path` to a folder that holds all of them"
                raise DataError(f"{where}: '{printable(row['path'])}' {within}.")
            part = SPLITS.get(row.get("split", "train").lower())
            if part is None:
                raise DataError(f"{where}: split '{printable(row['split'])}' is none of train, validation and test.")
            if not os.path.isfile(file):
                found.missing[file] = f"{row['path']} (row {line})"
            if row.get("sha256"):
                found.sums[file] = row["sha256"].lower()
            twice += [f"{row['path']} (row {line})"] if file in seen else []
            seen.add(file)
            rows.setdefault(part, []).append((file, row, _numbers(row, targets or [], where)))
    if not rows:
        raise DataError(f"{table.name}: there are no rows below the header.")
    for part in ("train", "validation", "test"):
        if part in rows:
            found.splits[part] = list(range(len(found.files), len(found.files) + len(rows[part])))
            found.files += [file for file, _, _ in rows[part]]
            found.values += [values for _, _, values in rows[part]]
            for name in table.columns:
                found.columns.setdefault(name, []).extend(row[name] for _, row, _ in rows[part])
    found.labels = found.columns.pop("label") if targets is None else []
    for name in ("path", "split", "sha256"):
        found.columns.pop(name, None)
    found.notes += [f"listed twice in {table.name}: {first_few(twice)}"] if twice else []
    return found


def _numbers(row: dict[str, str], targets: list[str], where: str) -> dict[str, float] | DataError:
    """The targets of a row, or what is wrong with one."""
    values: dict[str, float] = {}
    for name in targets:
        if (value := number(row[name])) is None:
            what = f"'{printable(row[name][:60])}', not a finite number" if row[name] else "empty"
            return DataError(f"{where}: the target '{printable(name)}' is {what}.")
        values[name] = value
    return values
