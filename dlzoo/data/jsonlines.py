"""Rows of a JSON-lines file, streamed in the form of delimited text."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dlzoo.data.delimited import CHUNK, Rows, known, missing_column, undecodable
from dlzoo.data.location import existing, shown
from dlzoo.errors import DataError, printable


class JsonLines:
    """One JSON object a line. Columns: the keys of the first; a key that a row lacks is an empty cell, as is null."""

    def __init__(self, path: str | Path, encoding: str = "utf-8"):
        self.path = existing(path, folder=False)
        self.name = shown(path)
        self.encoding = "utf-8-sig" if known(encoding) == "utf-8" else known(encoding)
        self.types: dict[str, str] = {}
        self.unnamed: set[str] = set()
        first = next(self._objects(), None)
        if first is None:
            raise DataError(f"{self.name}: the file has no rows.")
        if isinstance(first[1], DataError):
            raise first[1]
        self.columns: list[str] = list(first[1])

    def index(self, column: str) -> int:
        """The place of a column. Raises DataError with the columns that there are."""
        if column in self.columns:
            return self.columns.index(column)
        raise missing_column(self.name, column, self.columns)

    def chunks(self) -> Iterator[Rows]:
        """The rows, some thousand at a time."""
        objects = self._objects()
        while batch := list(islice(objects, CHUNK)):
            good = [(line, row) for line, row in batch if isinstance(row, dict)]
            cells = [[_text(row.get(name)) for name in self.columns] for _, row in good]
            bad = {line: row for line, row in batch if isinstance(row, DataError)}
            yield Rows([line for line, _ in good], cells, bad)

    def _objects(self) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
        try:
            with self.path.open(encoding=self.encoding) as stream:
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        yield number, self._object(number, line)
        except UnicodeDecodeError as error:
            raise undecodable(self.path, self.name, self.encoding, error) from None

    def _object(self, number: int, line: str) -> dict[str, Any] | DataError:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            return DataError(f"{self.name}:{number}: the line is no JSON ({printable(str(error))}).")
        if isinstance(row, dict):
            return row
        return DataError(f"{self.name}:{number}: the line is no JSON object, {{...}}.")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
