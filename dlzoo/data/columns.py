"""Columns of a table: which are numbers and which are categories, and cells of text as values."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlzoo import jsontext
from dlzoo.data.delimited import Rows
from dlzoo.data.rows import Source
from dlzoo.errors import ConfigError, DataError, choose, printable

TYPES = ("number", "category", "ignore")
MISSING = ("", "NA")
"""Cells of a number column that stand for no value; in a category column only the empty cell does."""
MOSTLY = 0.8
"""From this share of numbers on, a column is one of numbers, and the rest of its cells are mistakes."""
DISTINCT = 100_000
"""Different texts up to which a column is watched for being an identifier."""
LEADING_ZERO = re.compile(r"^[+-]?0\d", re.MULTILINE)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass
class Format:
    """How cells are written."""

    missing: tuple[str, ...] = MISSING
    decimal: str = "."


@dataclass
class Chunk:
    """Consecutive rows as columns: numbers (float64, NaN where missing) or categories (text, '' where missing)."""

    lines: list[int]
    values: dict[str, Any]
    bad: dict[int, DataError]

    def drop(self, places: set[int]) -> None:
        """Take out the rows at these places."""
        kept = [i for i in range(len(self.lines)) if i not in places]
        self.lines = [self.lines[i] for i in kept]
        self.values = {
            name: v[kept] if isinstance(v, np.ndarray) else [v[i] for i in kept] for name, v in self.values.items()
        }


def parse(rows: Rows, source: Source, types: dict[str, str], style: Format) -> Chunk:
    """The columns in `types` of some rows; a row with a cell that is no number where one is due goes to `bad`."""
    columns = list(zip(*rows.cells, strict=True)) or [()] * len(source.columns)
    values: dict[str, Any] = {}
    bad = dict(rows.bad)
    wrong: set[int] = set()
    for name, kind in types.items():
        if kind == "ignore":
            continue
        cells = columns[source.index(name)]
        if kind == "category":
            values[name] = list(map(str.strip, cells))
            continue
        values[name], places = numbers(cells, style)
        for i in places:
            wrong.add(i)
            bad.setdefault(rows.lines[i], not_a_number(source.name, rows.lines[i], name, cells[i]))
    chunk = Chunk(rows.lines, values, bad)
    if wrong:
        chunk.drop(wrong)
    return chunk


def numbers(cells: Sequence[str], style: Format) -> tuple[np.ndarray, list[int]]:
    """Cells as float64, NaN where missing; and the places of those that are no finite numbers (as inf and nan)."""
    if style.decimal != ".":  # 1.234 may be a thousand and more: no number, as `_` makes it
        cells = [cell.replace(".", "_").replace(style.decimal, ".") for cell in cells]
    try:
        array = np.array(list(map(float, cells)), dtype=np.float64)
        if np.isfinite(array).all() and _plain(cells):
            return array, []
    except ValueError:
        pass
    values = {cell: number(cell) for cell in set(cells)}
    array = np.array([values[cell] for cell in cells], dtype=np.float64)  # None becomes NaN
    wrong = {cell for cell, value in values.items() if value is None and cell.strip() not in style.missing}
    return array, [i for i, cell in enumerate(cells) if cell in wrong] if wrong else []


def several(cell: str) -> list[str]:
    """Names with `|` or `;` between them, or in a JSON list; of none where the cell is empty."""
    try:
        listed = jsontext.loads(cell)
    except ValueError:
        listed = None
    names = map(str, listed) if isinstance(listed, list) else re.split("[|;]", cell)
    return [name.strip() for name in names if name.strip()]


def number(cell: str) -> float | None:
    """A cell as a finite number, else None. Python's own `1_000` is text."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and _plain([cell]) else None


def _plain(cells: Sequence[str]) -> bool:
    text = "".join(cells)
    return text.isascii() and "_" not in text


def not_a_number(file: str, line: int, column: str, value: str) -> DataError:
    return DataError(
        f"{file}:{line}: '{printable(value[:60])}' in column '{printable(column)}' is not a finite number. "
        f"Mend it, add it to `missing`, or say `columns: {{{printable(column)}: category}}`."
    )


@dataclass
class _Seen:
    """What inference has seen of one column, in bounded memory."""

    numbers: int = 0
    texts: int = 0
    missing: int = 0
    commas: int = 0
    zeros: bool = False
    counting: bool = True
    constant: bool = True
    first: str | None = None
    repeats: bool = False
    distinct: set[str] = field(default_factory=set)
    wrong: list[tuple[int, str]] = field(default_factory=list)

    def look(self, cells: Sequence[str], lines: list[int], style: Format) -> None:
        before = self.numbers + self.texts + self.missing
        array, bad = numbers(cells, style)
        empty = int(np.isnan(array).sum()) - len(bad)
        self.texts += len(bad)
        self.missing += empty
        self.numbers += len(cells) - len(bad) - empty
        self.wrong += [(lines[i], cells[i]) for i in bad[: 5 - len(self.wrong)]]
        self.commas += sum("," in cells[i] and DECIMAL_COMMA.fullmatch(cells[i].strip()) is not None for i in bad)
        self.zeros = self.zeros or LEADING_ZERO.search("\n".join(cells)) is not None
        steps = array - np.arange(before, before + len(array))
        self.counting = self.counting and bool(np.isin(steps, (0, 1)).all()) and bool((steps == steps[:1]).all())
        different = set(cells)
        self.first = cells[0] if self.first is None else self.first
        self.constant = self.constant and different == {self.first}
        if not self.repeats and len(self.distinct) < DISTINCT:
            self.repeats = len(different) < len(cells) or not self.distinct.isdisjoint(different)
            self.distinct |= different

    def kind(self, file: str, column: str, unnamed: bool, style: Format, lenient: bool) -> tuple[str, str | None]:
        """The type of the column, and what a user should know about it."""
        filled, shown = self.numbers + self.texts, f"column '{printable(column)}'"
        if not filled:
            return "ignore", f"{shown} is empty: ignored"
        if unnamed and self.counting and filled > 1:
            return "ignore", f"{shown} has no name and numbers the rows: ignored"
        if not self.zeros and self.numbers == filled:
            return "number", f"{shown} is constant" if self.constant else None
        if not self.zeros and self.numbers >= MOSTLY * filled:
            if lenient:
                return "number", None
            error = not_a_number(file, *self.wrong[0][:1], column, self.wrong[0][1])
            more = ", ".join(f"row {line}: '{printable(text[:30])}'" for line, text in self.wrong[1:])
            raise DataError(
                f"{error}\n{self.numbers:,} of its {filled:,} cells are numbers." + (f" Also {more}." if more else "")
            )
        if style.decimal == "." and self.commas >= MOSTLY * filled:
            line, text = self.wrong[0]
            raise DataError(f"{file}:{line}: {shown} has decimal commas ('{printable(text)}'): set `decimal: ','`.")
        if filled > 20 and not self.repeats:
            return "ignore", f"{shown} is different in every row, an identifier: ignored"
        return "category", f"{shown} is constant" if self.constant else None


def infer(
    source: Source, declared: dict[str, str], style: Format, lenient: bool = False
) -> tuple[dict[str, str], list[str]]:
    """The type of every column, from all rows of a file; and notes for the user. What is declared stays.

    A column whose filled cells are all numbers, none with a leading zero (00123), is one of numbers; else categories.
    Raises DataError where a column is nearly all numbers but not quite: naming the rows, and how to say what is meant.
    lenient: it is one of numbers then, and rows that cannot be read are passed over.
    """
    types = {
        **declared_types(source, declared),
        **{name: t for name, t in source.types.items() if name not in declared},
    }
    open_columns = [name for name in source.columns if name not in types]
    seen = {name: _Seen() for name in open_columns}
    if open_columns:
        for rows in source.chunks():
            for error in () if lenient else rows.bad.values():
                raise error
            columns = list(zip(*rows.cells, strict=True))
            for name in open_columns if columns else ():
                seen[name].look(columns[source.index(name)], rows.lines, style)
        if not any(column.numbers + column.texts + column.missing for column in seen.values()):
            raise DataError(f"{source.name}: there are no rows below the header.")
    notes = []
    for name in open_columns:
        types[name], note = seen[name].kind(source.name, name, name in source.unnamed, style, lenient)
        notes += [note] if note else []
    return {name: types[name] for name in source.columns}, notes


def declared_types(source: Source, declared: dict[str, str]) -> dict[str, str]:
    """`declared`, if the file has those columns and the types exist."""
    for name, kind in declared.items():
        source.index(name)
        if kind not in TYPES:
            raise ConfigError([f"data.columns.{printable(name)}: {choose(kind, TYPES, 'type of a column')}"])
    return dict(declared)
