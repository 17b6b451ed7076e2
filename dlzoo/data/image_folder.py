"""Pictures in folders named by their class, or listed with their class in a CSV."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.folders import SPLITS, Found, find
from dlzoo.data.location import existing, fingerprint
from dlzoo.data.rows import open_rows
from dlzoo.errors import DataError, first_few, printable
from dlzoo.registry import DATASETS
from dlzoo.transforms.decode import ANIMATED, SUFFIXES, frames, read_image

LOOK = 200
"""Pictures of a kind that may have several frames, evenly spread, whose headers are read for it."""


@DATASETS.register("image_folder")
class ImageFolder(Dataset):
    """Pictures: `image` (C, H, W) uint8 of any size, and `label`, the name of its folder; or a list of `labels`.

    Args:
        path: the folder: CLASS/FILE, or train, validation and test folders with CLASS/FILE each
        mode: grey is one channel, rgb three; every picture is converted
        csv: a file with the columns path (below the folder) and label, or labels (none or several, with | or ; between
            them), and perhaps split and sha256 (of the file, in hex: a file that has changed is then refused), instead
            of class folders
    """

    gives: tuple[str, ...] = ("image", "label")
    decodes = True

    def __init__(self, path: str, mode: Literal["grey", "rgb"] = "rgb", csv: str | None = None):
        self.path = existing(path, folder=True)
        self.mode = mode
        self.csv = None if csv is None else existing(csv, folder=False)
        found = find(self.path, SUFFIXES, "pictures") if self.csv is None else _listed(self.csv, self.path)
        self.gives = ("image", found.key)
        self._files, self._labels, self._splits = found.files, found.labels, found.splits
        self._sums, self._missing = found.sums, found.missing
        self.notes.extend(found.notes)
        self.notes.extend(self._moving())

    def _moving(self) -> Iterator[str]:
        """A sentence on volumes, and on files with several frames, if any are among those that are looked at."""
        kinds = [file for file in self._files if file.suffix.lower() in ANIMATED]
        seen = kinds[:: max(1, len(kinds) // LOOK)]
        if moving := [str(file) for file in seen if frames(file) > 1]:
            among = f" (of {len(seen):,} looked at)" if len(seen) < len(kinds) else ""
            yield f"of {len(moving):,} files with several frames{among} the first frame is read: {first_few(moving)}"
        if volumes := [str(file) for file in self._files if file.name.lower().endswith((".nii", ".nii.gz"))]:
            yield f"of {len(volumes):,} NIfTI volumes the middle slice is read: {first_few(volumes)}"

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        return {"image": self._image(self._files[index]), self.gives[1]: self._labels[index]}

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
        """`label` or `labels`; `path`, as text below the folder; `image` is not decoded for this."""
        if key == self.gives[1]:
            return self._labels
        if key == "path":
            return [file.relative_to(self.path).as_posix() for file in self._files]
        raise DataError(
            f"{printable(str(self.path))}: pictures have no column '{printable(key)}', only {self.gives[1]} and path."
        )

    def source(self, index: int) -> str:
        return str(self._files[index])

    def splits(self) -> dict[str, list[int]]:
        if self._missing and self.skipped is None:
            where = f"{len(self._missing):,} listed files are not in {printable(str(self.path))}"
            raise DataError(f"{printable(str(self.csv))}: {where}: {first_few(list(self._missing.values()))}.")
        return self._splits

    def contents(self) -> list[str] | None:
        """The files of a list, where one may stand twice."""
        return None if self.csv is None else [str(file) for file in self._files]

    def fingerprint(self) -> str:
        there = [file for file in self._files if file not in self._missing]
        return fingerprint([*there, *([self.csv] if self.csv else [])])


def _listed(csv: Path, root: Path) -> Found:
    """The pictures that a CSV lists, by split in the file's order."""
    table = open_rows(csv)
    found = Found(key="labels" if "labels" in table.columns else "label")
    if {"label", "labels"} <= set(table.columns):
        raise DataError(f"{table.name}: there is a column label and a column labels: which is meant? Rename one.")
    path, label = table.index("path"), table.index(found.key)
    split, sums = (table.index(name) if name in table.columns else None for name in ("split", "sha256"))
    inside = root.resolve()
    rows: dict[str, list[tuple[Path, Any]]] = {}
    seen, twice = set(), []
    for chunk in table.chunks():
        for error in chunk.bad.values():
            raise error
        for line, cells in zip(chunk.lines, chunk.cells, strict=True):
            where = f"{table.name}:{line}"
            file = root / cells[path].strip()
            names = [name.strip() for name in re.split("[|;]", cells[label]) if name.strip()]
            if not cells[path].strip() or not (found.key == "labels" or cells[label].strip()):
                raise DataError(f"{where}: the {'label' if cells[path].strip() else 'path'} is empty.")
            if not file.resolve().is_relative_to(inside):
                within = f"is not inside {printable(str(root))}; set `path` to a folder that holds all of them"
                raise DataError(f"{where}: '{printable(cells[path])}' {within}.")
            part = SPLITS.get(cells[split].strip().lower()) if split is not None else "train"
            if part is None:
                raise DataError(
                    f"{where}: split '{printable(cells[split or 0])}' is none of train, validation and test."
                )
            if not os.path.isfile(file):
                found.missing[file] = f"{cells[path]} (row {line})"
            if sums is not None and cells[sums].strip():
                found.sums[file] = cells[sums].strip().lower()
            twice += [f"{cells[path]} (row {line})"] if file in seen else []
            seen.add(file)
            rows.setdefault(part, []).append((file, names if found.key == "labels" else cells[label].strip()))
    if not rows:
        raise DataError(f"{table.name}: there are no rows below the header.")
    for part in ("train", "validation", "test"):
        if part in rows:
            found.splits[part] = list(range(len(found.files), len(found.files) + len(rows[part])))
            found.files += [file for file, _ in rows[part]]
            found.labels += [name for _, name in rows[part]]
    found.notes += [f"listed twice in {table.name}: {first_few(twice)}"] if twice else []
    return found
