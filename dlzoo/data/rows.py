"""Files of rows, whatever their form."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from dlzoo.data.delimited import Delimited, Rows
from dlzoo.data.jsonlines import JsonLines
from dlzoo.data.parquet import Parquet

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


class Source(Protocol):
    """A file of rows: what delimited text, JSON lines and Parquet have in common."""

    path: Path
    name: str
    columns: list[str]
    unnamed: set[str]
    """Columns that have a number instead of a name."""
    types: dict[str, str]
    """What the file itself says about columns: number, category or ignore."""

    def index(self, column: str) -> int:
        """The place of a column. Raises DataError where there is none of this name."""

    def chunks(self) -> Iterator[Rows]:
        """The rows as text, some thousand at a time."""


def open_rows(
    path: str | Path, separator: str | None = None, header: bool = True, encoding: str = "utf-8", quotes: bool = True
) -> Source:
    """A CSV, TSV, JSON-lines or Parquet file, by its suffix; only its beginning is read.

    Raises DataError for a file that is missing, empty or of another form.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        return Parquet(path)
    if suffix in (".jsonl", ".ndjson"):
        return JsonLines(path, encoding)
    return Delimited(path, separator or ("\t" if suffix == ".tsv" else None), header, encoding, quotes)
