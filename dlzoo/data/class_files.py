"""Files with a class each: in folders named by it; or listed in a CSV with it, with several, or with numbers."""

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.folders import find
from dlzoo.data.listed import listed
from dlzoo.data.location import existing, fingerprint
from dlzoo.errors import ConfigError, DataError, first_few, printable


class ClassFiles(Dataset):
    """A sample a file: what `read` makes of it; and `label`, `labels` or `values`.

    Args:
        path: the folder: CLASS/FILE, or train, validation and test folders with CLASS/FILE each
        csv: a file with the columns path (below the folder) and label, or labels (none or several, with | or ; between
            them), and perhaps split and sha256 (of the file, in hex: a file that has changed is then refused), instead
            of class folders
        targets: columns of the csv with numbers that are to be predicted, instead of labels
    """

    decodes = True
    suffixes: ClassVar[tuple[str, ...]]
    """What the names of the files end with."""
    holds: ClassVar[str]
    """The key of what `read` gives."""
    what: ClassVar[str]
    """What messages call the files."""

    def __init__(self, path: str, csv: str | None, targets: list[str] | None = None):
        if targets is not None and csv is None:
            raise ConfigError([f"data.targets: numbers stand in a list of the {self.what}; name it with data.csv"])
        if targets is not None and not targets:
            raise ConfigError(["data.targets: name at least one column, or leave it out"])
        self.path = existing(path, folder=True)
        self.csv = None if csv is None else existing(csv, folder=False)
        if self.csv is None:
            found = find(self.path, self.suffixes, self.what)
        else:
            found = listed(self.csv, self.path, targets)
        self.key, self.gives = found.key, (self.holds, found.key)
        self.files, self._labels, self._splits = found.files, found.labels, found.splits
        self._columns, self._sums, self._missing = found.columns, found.sums, found.missing
        self.notes.extend(found.notes)

    @abstractmethod
    def read(self, file: Path, content: bytes | None) -> Sample:
        """What is in a file, whose bytes are at hand where they had to be compared. Raises DataError."""

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        if isinstance(answer := self._labels[index], DataError):
            raise answer
        file = self.files[index]
        return self.read(file, self._content(file)) | {self.key: answer}

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
        """`label`, `labels` or `values`; `path`, as text below the folder; of a list, any other column as text."""
        if key == self.key:
            return self._labels
        if key == "path":
            return [file.relative_to(self.path).as_posix() for file in self.files]
        if key in self._columns:
            return self._columns[key]
        there = ", ".join([self.key, "path", *map(printable, self._columns)])
        raise DataError(f"{printable(str(self.path))}: {self.what} have no column '{printable(key)}', only {there}.")

    def headings(self) -> list[str]:
        return list(self._columns)

    def source(self, index: int) -> str:
        return str(self.files[index])

    def splits(self) -> dict[str, list[int]]:
        if self.skipped is None:
            if self._missing:
                where = f"{len(self._missing):,} listed files are not in {printable(str(self.path))}"
                raise DataError(f"{printable(str(self.csv))}: {where}: {first_few(list(self._missing.values()))}.")
            for answer in self._labels:
                if isinstance(answer, DataError):
                    raise answer
        return self._splits

    def contents(self) -> list[str] | None:
        """The files of a list, where one may stand twice."""
        return None if self.csv is None else [str(file) for file in self.files]

    def fingerprint(self) -> str:
        there = [file for file in self.files if file not in self._missing]
        return fingerprint([*there, *([self.csv] if self.csv else [])])
