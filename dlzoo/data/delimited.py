"""Rows of delimited text (CSV, TSV), streamed: each with its line, every bad one reported."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from dlzoo.data.location import existing, shown
from dlzoo.errors import DataError, did_you_mean, printable

SEPARATORS = (",", ";", "\t", "|")
CHUNK = 8192
"""Rows that are parsed at a time."""
SAMPLE = 65536
"""Characters in which the separator is looked for."""
LONGEST_CELL = 2**24
"""Characters; a longer one is nearly always a quote that was never closed."""
MAGIC = {
    b"\x1f\x8b": "compressed (gzip): unpack it first",
    b"PK": "a ZIP or Excel file: save it as CSV first",
    b"PAR1": "a Parquet file",
}


@dataclass
class Rows:
    """Consecutive rows of a file, as text."""

    lines: list[int]
    """The line of the file that each row starts on, the header being line 1."""
    cells: list[list[str]]
    bad: dict[int, DataError] = field(default_factory=dict)
    """What is wrong with the rows that are left out, by line."""


class Delimited:
    """A CSV or TSV file: its columns, and its rows in chunks. The constructor reads only the beginning.

    Raises DataError for a file that is missing, empty, no text, or has two columns of one name.
    """

    def __init__(
        self,
        path: str | Path,
        separator: str | None = None,
        header: bool = True,
        encoding: str = "utf-8",
        quotes: bool = True,
    ):
        self.path = existing(path, folder=False)
        self.name = shown(path)
        self.header = header
        self.encoding = self._encoding(encoding)
        self.quotes = quotes
        self.separator = separator or self._sniff()
        self.types: dict[str, str] = {}
        self.unnamed: set[str] = set()
        first = self._first()
        self.columns = self._named(first) if header else [str(i + 1) for i in range(len(first))]

    def _encoding(self, encoding: str) -> str:
        with self.path.open("rb") as stream:
            start = stream.read(4)
        if not start:
            raise DataError(f"{self.name}: the file is empty.")
        for magic, kind in MAGIC.items():
            if start.startswith(magic):
                raise DataError(f"{self.name}: this is {kind}, not text.")
        if encoding.lower().replace("-", "") != "utf8":
            return known(encoding)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(f"{self.name}: the text is in UTF-16, not UTF-8. Save it as UTF-8.")
        return "utf-8-sig"

    def _sniff(self) -> str:
        """The separator that cuts the first rows into the same number of cells, the more the better."""
        with self.path.open(encoding=self.encoding, newline="", errors="replace") as stream:
            sample = stream.read(SAMPLE)
        best, score = ",", (False, 1)
        for separator in SEPARATORS:
            try:
                reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator, quoting=self._quoting)
                widths = [len(row) for row in islice(reader, 20) if row]
            except csv.Error:
                continue
            if len(sample) == SAMPLE and len(widths) > 1:
                widths.pop()  # may be cut in two
            if widths and widths[0] > 1 and (len(set(widths)) == 1, widths[0]) > score:
                best, score = separator, (len(set(widths)) == 1, widths[0])
        return best

    @property
    def _quoting(self) -> Literal[0, 3]:
        return csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE

    def _first(self) -> list[str]:
        for rows in self._parse(1):
            for error in rows.bad.values():
                raise error
            if rows.cells:
                return rows.cells[0]
        raise DataError(f"{self.name}: the file has no rows.")

    def _named(self, names: list[str]) -> list[str]:
        self.unnamed = {f"column_{i + 1}" for i, name in enumerate(names) if not name.strip()}
        names = [name.strip() or f"column_{i + 1}" for i, name in enumerate(names)]
        for i, name in enumerate(names):
            if name in names[:i]:
                both = f"{names.index(name) + 1} and {i + 1}"
                raise DataError(f"{self.name}: columns {both} are both called '{printable(name)}'. Rename one.")
        return names

    def index(self, column: str) -> int:
        """The place of a column. Raises DataError with the columns that there are, and a guess at what went wrong."""
        if column in self.columns:
            return self.columns.index(column)
        if len(self.columns) == 1 and (other := self._sniff()) != self.separator:
            hint = f" The file looks separated by {other!r}, not {self.separator!r}: set `separator`."
            raise missing_column(self.name, column, self.columns, hint)
        raise missing_column(self.name, column, self.columns)

    def chunks(self) -> Iterator[Rows]:
        """The rows below the header, some thousand at a time; lines with nothing on them are passed over."""
        width, header = len(self.columns), self.header
        for rows in self._parse(CHUNK):
            if header and rows.cells:
                header = False
                del rows.lines[0], rows.cells[0]
            if set(map(len, rows.cells)) - {width}:
                self._ragged(rows, width)
            yield rows

    def _ragged(self, rows: Rows, width: int) -> None:
        good = [len(cells) == width for cells in rows.cells]
        for line, cells, fits in zip(rows.lines, rows.cells, good, strict=True):
            if not fits:
                rows.bad[line] = DataError(
                    f"{self.name}:{line}: the row has {len(cells)} cells, the header {width}. "
                    f"A cell with {self.separator!r} in it must be quoted."
                )
        rows.lines = [line for line, fits in zip(rows.lines, good, strict=True) if fits]
        rows.cells = [cells for cells, fits in zip(rows.cells, good, strict=True) if fits]

    def _parse(self, limit: int) -> Iterator[Rows]:
        """All rows as csv reads them, the header too, up to `limit` at a time."""
        csv.field_size_limit(LONGEST_CELL)
        try:
            with self.path.open(encoding=self.encoding, newline="") as stream:
                reader = csv.reader(self._text(stream), delimiter=self.separator, strict=True, quoting=self._quoting)
                ended = False
                while not ended:
                    rows, ended = self._take(reader, limit)
                    yield rows
        except UnicodeDecodeError as error:
            raise undecodable(self.path, self.name, self.encoding, error) from None

    def _take(self, reader: Any, limit: int) -> tuple[Rows, bool]:
        """Up to `limit` rows, fewer where one is bad; and whether the file ended."""
        before = reader.line_num
        cells: list[list[str]] = []
        bad: dict[int, DataError] = {}
        try:
            cells.extend(islice(reader, limit))  # keeps what it has where the reader raises
            ended = len(cells) < limit
            lines, _ = _lines(cells, before, reader.line_num)
        except csv.Error as error:
            ended = "unexpected end" in str(error)
            lines, start = _lines(cells, before)
            bad[start] = self._malformed(start, str(error))
        if not all(map(any, cells)):
            kept = [i for i, row in enumerate(cells) if any(row)]
            lines, cells = [lines[i] for i in kept], [cells[i] for i in kept]
        return Rows(lines, cells, bad), ended

    def _malformed(self, line: int, why: str) -> DataError:
        if "unexpected end" in why:
            return DataError(f'{self.name}:{line}: a quote (") opens in this row and is never closed.')
        if "field limit" in why:
            return DataError(
                f'{self.name}:{line}: a cell is longer than {LONGEST_CELL:,} characters. Is a quote (") not closed?'
            )
        return DataError(
            f"{self.name}:{line}: the row cannot be read ({why}). A quote inside a quoted cell is written twice."
        )

    def _text(self, stream: Iterator[str]) -> Iterator[str]:
        for number, line in enumerate(stream):
            if "\0" in line:
                raise DataError(f"{self.name}:{number + 1}: a NUL byte. Is this a text file?")
            yield line


def missing_column(file: str, column: str, columns: list[str], hint: str = "") -> DataError:
    """The DataError for a column that a file does not have."""
    listed = ", ".join(printable(name) for name in columns[:20]) + (" ..." if len(columns) > 20 else "")
    hint = hint or did_you_mean(column, columns)
    return DataError(f"{file}: there is no column '{printable(column)}'.{hint} Columns: {listed}.")


def known(encoding: str) -> str:
    """`encoding`, if Python knows it."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise DataError(
            f"encoding '{printable(encoding)}' is not known. Say utf-8, latin-1, cp1252, utf-16 ..."
        ) from None


def undecodable(path: Path, name: str, encoding: str, error: UnicodeDecodeError) -> DataError:
    """The DataError for bytes that are no text: with the line and the offset in the file, found by reading it again."""
    offset, place = 0, ""
    with path.open("rb") as stream:
        for number, line in enumerate(stream):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as found:
                place, offset = f":{number + 1}", offset + found.start
                break
            offset += len(line)
    kind = "UTF-8" if known(encoding).startswith("utf-8") else encoding
    return DataError(
        f"{name}{place}: byte {offset:,} is no {kind} text ({error.reason}). Save it as UTF-8, or set `encoding`."
    )


def _lines(cells: list[list[str]], before: int, after: int | None = None) -> tuple[list[int], int]:
    """The line on which each row starts, and the line after the last, where `before` lines had been read already.

    after: lines read by then; where it shows that no cell spans lines, nothing is counted.
    """
    if after is not None and after - before == len(cells):
        return list(range(before + 1, after + 1)), after + 1
    lines, line = [], before + 1
    for row in cells:
        lines.append(line)
        line += 1 + sum(cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in row)
    return lines, line
