"""Files with a class each: in folders named by it, or listed with it in a CSV."""

import hashlib
import os
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.folders import SPLITS, Found, find
from dlzoo.data.location import existing, fingerprint
from dlzoo.data.rows import open_rows
from dlzoo.errors import DataError, first_few, printable


class ClassFiles(Dataset):
    """A sample a file: what `read` makes of it, and `label`.

    Args:
        path: the folder: CLASS/FILE, or train, validation and test folders with CLASS/FILE each
        csv: a file with the columns path (below the folder) and label, and perhaps split and sha256 (of the file, in
            hex: a file that has changed is then refused), instead of class folders
    """

    decodes = True
    suffixes: ClassVar[tuple[str, ...]]
    """What the names of the files end with."""
    what: ClassVar[str]
    """What messages call the files."""

    def __init__(self, path: str, csv: str | None):
        self.path = existing(path, folder=True)
        self.csv = None if csv is None else existing(csv, folder=False)
        found = find(self.path, self.suffixes, self.what) if self.csv is None else _listed(self.csv, self.path)
        self.files, self._labels, self._splits = found.files, found.labels, found.splits
        self._sums, self._missing = found.sums, found.missing
        self.notes.extend(found.notes)

    @abstractmethod
    def read(self, file: Path, content: bytes | None) -> Sample:
        """What is in a file, whose bytes are at hand where they had to be compared. Raises DataError."""

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        file = self.files[index]
        return self.read(file, self._content(file)) | {"label": self._labels[index]}

    def _content(self, file: Path) -> bytes | None:
        """The bytes of a file whose sum is listed. Raises DataError where theirs is another."""
        if file not in self._sums:
            return None
        content = existing(file, folder=False).read_bytes()
        if (found := hashlib.sha256(content).hexdigest()) != self._sums[file]:
            raise DataError(
                f"{printable(str(file))}: the file has changed: its sha256 is {found[:12]}..., and "
                f"{printable(str(self.csv))} says {printable(self._sums[file][:12])}..."
            )
        return content

    def column(self, key: str) -> list[Any]:
        """`label`; `path`, as text below the folder; nothing is decoded for this."""
        if key == "label":
            return self._labels
        if key == "path":
            return [file.relative_to(self.path).as_posix() for file in self.files]
        raise DataError(
            f"{printable(str(self.path))}: {self.what} have no column '{printable(key)}', only label and path."
        )

    def source(self, index: int) -> str:
        return str(self.files[index])

    def splits(self) -> dict[str, list[int]]:
        if self._missing and self.skipped is None:
            where = f"{len(self._missing):,} listed files are not in {printable(str(self.path))}"
            raise DataError(f"{printable(str(self.csv))}: {where}: {first_few(list(self._missing.values()))}.")
        return self._splits

    def contents(self) -> list[str] | None:
        """The files of a list, where one may stand twice."""
        return None if self.csv is None else [str(file) for file in self.files]

    def fingerprint(self) -> str:
        there = [file for file in self.files if file not in self._missing]
        return fingerprint([*there, *([self.csv] if self.csv else [])])


def _listed(csv: Path, root: Path) -> Found:
    """The files that a CSV lists, by split in the file's order."""
    table = open_rows(csv)
    path, label = table.index("path"), table.index("label")
    split, sums = (table.index(name) if name in table.columns else None for name in ("split", "sha256"))
    found = Found()
    inside = root.resolve()
    rows: dict[str, list[tuple[Path, str]]] = {}
    seen, twice = set(), []
    for chunk in table.chunks():
        for error in chunk.bad.values():
            raise error
        for line, cells in zip(chunk.lines, chunk.cells, strict=True):
            where = f"{table.name}:{line}"
            file = root / cells[path].strip()
            if not cells[label].strip() or not cells[path].strip():
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
            rows.setdefault(part, []).append((file, cells[label].strip()))
    if not rows:
        raise DataError(f"{table.name}: there are no rows below the header.")
    for part in ("train", "validation", "test"):
        if part in rows:
            found.splits[part] = list(range(len(found.files), len(found.files) + len(rows[part])))
            found.files += [file for file, _ in rows[part]]
            found.labels += [name for _, name in rows[part]]
    found.notes += [f"listed twice in {table.name}: {first_few(twice)}"] if twice else []
    return found
