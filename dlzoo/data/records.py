"""Samples that are many to a file, as rows and lines are: read from front to back, and kept."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from dlzoo import jsontext
from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.location import fingerprint, shown
from dlzoo.data.rows import Source
from dlzoo.errors import DataError, printable


class Records(Dataset):
    """A dataset that says what `files` each split is in and how one is `read`; the first key of its samples is what
    they are: where two have the same there, they stay in one split.
    """

    called: str
    """What the samples are, in messages: texts, pairs."""
    files: Mapping[str, Sequence[Path]]
    """The files of each split."""
    tables: Mapping[str, Source] = {}
    """Those that are files of rows, whose further columns can be asked for, too."""

    @abstractmethod
    def read(self, split: str) -> Iterator[Sample | DataError]:
        """The samples of a split, each with its `source`, in memory that does not grow; a bad one comes as its error.

        Raises DataError for a file that cannot be read on.
        """

    @cached_property
    def _kept(self) -> tuple[dict[str, list[Any]], dict[str, list[int]]]:
        """Every value of each key and of `source`, and the splits."""
        columns: dict[str, list[Any]] = {key: [] for key in (*self.gives, "source")}
        splits: dict[str, list[int]] = {}
        for split, files in self.files.items():
            start, bad = len(columns["source"]), []
            for sample in self.read(split):
                if isinstance(sample, DataError):
                    bad.append(sample)
                    continue
                for key, values in columns.items():
                    values.append(sample[key])
            if bad and self.skipped is None:
                raise DataError(str(bad[0]) + (f"\n{len(bad):,} {self.called} are bad." if len(bad) > 1 else ""))
            for error in bad:
                self.lose(error)
            if len(columns["source"]) == start:
                where = shown(files[0]) if files else f"the {split} split"
                raise DataError(f"{where}: there are no {self.called} in it.")
            splits[split] = list(range(start, len(columns["source"])))
        return columns, splits

    def __len__(self) -> int:
        return len(self._kept[0]["source"])

    def __getitem__(self, index: int) -> Sample:
        return {key: self._kept[0][key][index] for key in self.gives}

    def column(self, key: str) -> list[Any]:
        """One key of every sample, or another column of files of rows."""
        if key in self.gives:
            return self._kept[0][key]
        if not self.tables:
            keys = " and ".join(self.gives)
            raise DataError(f"these {self.called} have no column '{printable(key)}', only {keys}.")
        kept = set(self._kept[0]["source"])
        return [
            row[place]
            for source in self.tables.values()
            for place in [source.index(key)]
            for rows in source.chunks()
            for line, row in zip(rows.lines, rows.cells, strict=True)
            if f"{source.name}:{line}" in kept
        ]

    def headings(self) -> list[str]:
        return next(iter(self.tables.values())).columns if self.tables else []

    def source(self, index: int) -> str:
        return str(self._kept[0]["source"][index])

    def splits(self) -> dict[str, list[int]]:
        return self._kept[1]

    def contents(self) -> list[bytes] | None:
        values = self.column(self.gives[0])
        written = (value if isinstance(value, str) else jsontext.dumps(value) for value in values)
        return [blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in written]

    def stream(self) -> Iterator[Sample]:
        """Every sample, read again from the files; raises DataError at the first bad one, or skips it."""
        for split in self.files:
            for sample in self.read(split):
                if isinstance(sample, DataError):
                    self.lose(sample)
                else:
                    yield sample

    def fingerprint(self) -> str:
        return fingerprint(file for files in self.files.values() for file in files)
