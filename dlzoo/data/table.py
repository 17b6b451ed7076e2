"""Tables: rows of numbers and categories in CSV, TSV, JSON-lines or Parquet files."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dlzoo.data.columns import MISSING, Chunk, Format, declared_types, infer, numbers, parse
from dlzoo.data.dataset import Sample
from dlzoo.data.folders import split_paths
from dlzoo.data.frame import Columns, Frame
from dlzoo.data.location import fingerprint
from dlzoo.data.rows import SUFFIXES, Source, open_rows
from dlzoo.errors import DataError, first_few, printable
from dlzoo.registry import DATASETS


@DATASETS.register("table")
class Table(Frame):
    """Rows of a CSV, TSV, JSON-lines or Parquet file: `row`, `label`, and `value` where the target is a number.

    Args:
        path: the file, or a folder with train.csv and perhaps validation.csv and test.csv
        target: the column that is to be predicted
        ignore: columns that are no features
        columns: types of columns (number, category or ignore); those not named are inferred from the training file
        missing: cells of number columns that stand for no value; null is the empty cell and NA
        separator: what stands between cells; null finds it out
        decimal: what stands before the decimals of a number
        encoding: of the file
        validation_path: a file with the validation split
        test_path: a file with the test split
    """

    def __init__(
        self,
        path: str,
        target: str,
        ignore: list[str] | None = None,
        columns: dict[str, str] | None = None,
        missing: list[str] | None = None,
        separator: str | None = None,
        decimal: Literal[".", ","] = ".",
        encoding: str = "utf-8",
        validation_path: str | None = None,
        test_path: str | None = None,
    ):
        self.target = target
        self.style = Format(MISSING if missing is None else tuple(missing), decimal)
        self.reading: dict[str, Any] = {
            "missing": list(self.style.missing),
            "decimal": decimal,
            "separator": separator,
            "encoding": encoding,
        }
        """What `read_rows` needs to read another such file."""
        files = split_paths(path, SUFFIXES, validation_path, test_path)
        self._sources = {split: open_rows(file, separator, encoding=encoding) for split, file in files.items()}
        first = next(iter(self._sources.values()))
        first.index(target)
        self._declared = declared_types(first, {**dict.fromkeys(ignore or [], "ignore"), **(columns or {})})
        self._known = target in self._declared

    @property
    def gives(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the samples have; without `value` once the target is known to be text."""
        return ("row", "label", "value") if not self._known or self.types[self.target] == "number" else ("row", "label")

    @cached_property
    def types(self) -> dict[str, str]:
        """number, category or ignore for every column, the target too: declared, or inferred from the training file."""
        source = self._sources.get("train", next(iter(self._sources.values())))
        types, notes = infer(source, self._declared, self.style, lenient=self.skipped is not None)
        if types[self.target] == "ignore":
            types[self.target] = "category"
        self.notes.extend(note for note in notes if f"'{printable(self.target)}'" not in note)
        if all(kind == "ignore" for name, kind in types.items() if name != self.target):
            raise DataError(f"{self._sources['train'].name}: there are no columns besides the target that can be used.")
        self._known = True
        return types

    @property
    def features(self) -> dict[str, str]:
        """The columns that are features, and their types."""
        return {name: kind for name, kind in self.types.items() if kind != "ignore" and name != self.target}

    def arguments(self) -> dict[str, Any]:
        return {"columns": self.types}

    def splits(self) -> dict[str, list[int]]:
        self.columns  # noqa: B018  reads the files
        return {split: list(range(start, stop)) for split, (start, stop) in self._spans.items()}

    def source(self, index: int) -> str:
        self.columns  # noqa: B018
        for split, (start, stop) in self._spans.items():
            if start <= index < stop:
                return f"{self._sources[split].name}:{self._lines[index]}"
        raise IndexError(index)

    def stream(self) -> Iterator[Sample]:
        """Every row, read again from the files in chunks; raises DataError at the first bad one, or skips it."""
        for source in self._sources.values():
            for chunk, label, value in self._chunks(source):
                for _, error in sorted(chunk.bad.items()):
                    self.lose(error)
                names, columns = list(chunk.values), [_optional(column) for column in chunk.values.values()]
                for i, (line, *cells) in enumerate(zip(chunk.lines, *columns, strict=True)):
                    sample: Sample = {"row": dict(zip(names, cells, strict=True)), "label": label[i]}
                    if value is not None:
                        sample["value"] = value.item(i)
                    yield {**sample, "source": f"{source.name}:{line}"}

    def fingerprint(self) -> str:
        return fingerprint(source.path for source in self._sources.values())

    def _chunks(self, source: Source) -> Iterator[tuple[Chunk, list[str], np.ndarray | None]]:
        """Rows as columns, their labels, and the values of a target of numbers."""
        types = {**self.features, self.target: "category"}
        for rows in source.chunks():
            chunk = parse(rows, source, types, self.style)
            label = chunk.values[self.target]
            value = numbers(label, self.style)[0] if self.types[self.target] == "number" else None
            gone = [i for i, text in enumerate(label) if not text] if value is None else np.flatnonzero(np.isnan(value))
            if len(gone):
                chunk.bad |= {chunk.lines[i]: self._no_target(source, chunk.lines[i], label[i]) for i in gone}
                chunk.drop({*gone})
                value = None if value is None else value[~np.isnan(value)]
            yield chunk, chunk.values.pop(self.target), value

    def _no_target(self, source: Source, line: int, text: str) -> DataError:
        what = f"'{printable(text[:60])}', not a finite number" if text else "empty"
        return DataError(f"{source.name}:{line}: the target '{printable(self.target)}' is {what}.")

    def _load(self) -> Columns:
        table = Columns({name: [] for name in self.features})
        values: list[np.ndarray] = []
        interned: dict[str, str] = {}
        self._lines: list[int] = []
        self._spans: dict[str, tuple[int, int]] = {}
        for split, source in self._sources.items():
            start, bad = len(self._lines), {}
            for chunk, label, value in self._chunks(source):
                bad.update(chunk.bad)
                self._lines += chunk.lines
                for name, column in chunk.values.items():
                    whole = isinstance(column, np.ndarray)
                    table.features[name].append(column) if whole else table.features[name].extend(
                        interned.setdefault(text, text) for text in column
                    )
                table.label += [interned.setdefault(text, text) for text in label]
                values += [value] if value is not None else []
            if bad and self.skipped is None:
                raise _all_bad(source, bad)
            for line in sorted(bad):
                self.lose(bad[line])
            if start == len(self._lines):
                raise DataError(f"{source.name}: there are no rows below the header.")
            self._spans[split] = (start, len(self._lines))
        for name, kind in self.features.items():
            if kind == "number":
                table.features[name] = np.concatenate(table.features[name])
        table.value = np.concatenate(values) if values else None
        return table

    def _other(self, key: str) -> list[Any]:
        """A column that is no feature, read again; of the rows that are kept."""
        texts: list[Any] = []
        for split, source in self._sources.items():
            place, kept = source.index(key), set(self._lines[slice(*self._spans[split])])
            for rows in source.chunks():
                texts += [row[place] for line, row in zip(rows.lines, rows.cells, strict=True) if line in kept]
        return texts

    def headings(self) -> list[str]:
        return list(self.types)


def _all_bad(source: Source, bad: dict[int, DataError]) -> DataError:
    """One error for all the bad rows of a file."""
    if len(bad) == 1:
        return next(iter(bad.values()))
    return DataError(
        f"{bad[min(bad)]}\n{len(bad):,} rows of {source.name} are bad: {first_few([str(n) for n in sorted(bad)])}."
    )


def read_chunks(
    path: str | Path,
    columns: dict[str, str],
    missing: list[str] | None = None,
    decimal: str = ".",
    separator: str | None = None,
    encoding: str = "utf-8",
) -> Iterator[Chunk]:
    """The named columns (number or category) of a file as arrays and lists, some thousand rows at a time.

    A row that cannot be read is in `bad`; further columns are passed over. Raises DataError for a file that cannot be
    read or lacks a column.
    """
    source = open_rows(path, separator, encoding=encoding)
    style = Format(MISSING if missing is None else tuple(missing), decimal)
    declared_types(source, columns)
    for rows in source.chunks():
        yield parse(rows, source, columns, style)


def read_rows(
    path: str | Path,
    columns: dict[str, str],
    missing: list[str] | None = None,
    decimal: str = ".",
    separator: str | None = None,
    encoding: str = "utf-8",
) -> Iterator[tuple[int, dict[str, str | float | None] | DataError]]:
    """Each row of a file with its line: the named columns (number or category; None where missing), or what is wrong.

    In memory that does not grow with the file. Raises DataError for a file that cannot be read, or lacks a column.
    """
    names = [name for name, kind in columns.items() if kind != "ignore"]
    for chunk in read_chunks(path, columns, missing, decimal, separator, encoding):
        cells = zip(*(_optional(chunk.values[name]) for name in names), strict=True)
        good: Iterator[tuple[int, dict[str, str | float | None] | DataError]] = (
            (line, dict(zip(names, row, strict=True))) for line, row in zip(chunk.lines, cells, strict=True)
        )
        if not chunk.bad:
            yield from good
        else:
            yield from sorted([*good, *chunk.bad.items()], key=lambda pair: pair[0])


def _optional(column: Any) -> list[Any]:
    """Values of a column, None where missing."""
    if isinstance(column, list):
        return [text or None for text in column] if "" in column else column
    values = column.tolist()
    return [None if value != value else value for value in values] if np.isnan(column).any() else values
