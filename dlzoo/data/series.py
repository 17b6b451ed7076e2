"""Series over time: the columns of a file with one column of times."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dlzoo.data.columns import Format, numbers
from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.location import fingerprint
from dlzoo.data.rows import Source, open_rows
from dlzoo.errors import ConfigError, DataError, first_few, printable
from dlzoo.registry import DATASETS

MISSING = ("", "NA", "NaN", "nan")
MONTH = re.compile(r"\d{4}-\d\d")


@DATASETS.register("series")
class Series(Dataset):
    """One sample for each target: `series` (T,), `times` (T), `name`; `past` (T, P) and `future` (T, Q) if named.

    Args:
        path: a CSV, TSV, JSON-lines or Parquet file, its rows in the order of time
        time: the column of times: ISO dates (2016-07-01 00:00) or numbers
        targets: the columns that are to be forecast, each a series
        past: columns known up to the present, which help
        future: columns known beforehand, also for the times to come (holidays, prices that are set)
        id: a column that tells several series in one file apart
        rows: use the first so many rows of each series; null for all
        missing: error refuses empty cells, interpolate draws a line from the value before to the one after
        separator: what stands between cells; null finds it out
        decimal: what stands before the decimals of a number
        encoding: of the file
    """

    along = "time"

    def __init__(
        self,
        path: str,
        time: str,
        targets: list[str],
        past: list[str] | None = None,
        future: list[str] | None = None,
        id: str | None = None,
        rows: int | None = None,
        missing: Literal["error", "interpolate"] = "error",
        separator: str | None = None,
        decimal: Literal[".", ","] = ".",
        encoding: str = "utf-8",
    ):
        if not targets:
            raise ConfigError(["data.targets: name at least one column."])
        self.reading: dict[str, Any] = {
            "time": time,
            "targets": targets,
            "past": past or [],
            "future": future or [],
            "id": id,
            "missing": missing,
            "decimal": decimal,
            "separator": separator,
            "encoding": encoding,
        }
        """What `read_series` needs to read another such file."""
        self._rows = rows
        self._source = open_rows(path, separator, encoding=encoding)
        for name in [time, *targets, *(past or []), *(future or []), *([id] if id else [])]:
            self._source.index(name)

    @property
    def gives(self) -> tuple[str, ...]:  # type: ignore[override]
        """`series`, `times`, `name`, and the covariates that are named."""
        return ("series", "times", "name", *(key for key in ("past", "future") if self.reading[key]))

    @cached_property
    def _samples(self) -> list[Sample]:
        reading = {key: value for key, value in self.reading.items() if key not in ("separator", "encoding")}
        return list(_read(self._source, self.notes, rows=self._rows, **reading))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        sample = self._samples[index]
        return {key: sample[key] for key in self.gives}

    def column(self, key: str) -> list[Any]:
        """One key of every series."""
        if key not in self.gives:
            raise DataError(
                f"{self._source.name}: series have no column '{printable(key)}', only {', '.join(self.gives)}."
            )
        return [sample[key] for sample in self._samples]

    def source(self, index: int) -> str:
        return str(self._samples[index]["source"])

    def lengths(self) -> list[int]:
        """The steps of every series."""
        return [len(sample["series"]) for sample in self._samples]

    def fingerprint(self) -> str:
        return fingerprint([self._source.path], extra=str(self._rows))


def read_series(
    path: str | Path,
    time: str,
    targets: list[str],
    past: list[str] | None = None,
    future: list[str] | None = None,
    id: str | None = None,
    missing: str = "error",
    decimal: str = ".",
    separator: str | None = None,
    encoding: str = "utf-8",
) -> Iterator[Sample]:
    """The series in a user's file, each with its `source`, in the form of the dataset `series`.

    Rows at the end whose targets are all empty are the time to come: `series` and `past` (T, ...) end before them,
    `times` and `future` (T + H, ...) do not. Raises DataError with file, row and column for whatever is no series.
    """
    source = open_rows(path, separator, encoding=encoding)
    yield from _read(source, [], time, targets, past or [], future or [], id, missing, decimal, ahead=True)


def _read(
    source: Source,
    notes: list[str],
    time: str,
    targets: list[str],
    past: list[str],
    future: list[str],
    id: str | None,
    missing: str,
    decimal: str,
    rows: int | None = None,
    ahead: bool = False,
) -> Iterator[Sample]:
    for name, lines, cells in _grouped(source, id, rows):
        values = _Values(source, lines, cells, missing == "interpolate", decimal)
        times = [cell.strip() for cell in cells[source.index(time)]]
        _check_times(source, lines, times, time, notes)
        end = values.last(targets) if ahead else len(lines)
        known = values.matrix(future, len(lines))
        seen = values.matrix(past, end)
        for target in targets:
            sample: Sample = {"series": values.vector(target, end), "times": times, "name": target}
            if name is not None:
                sample["name"] = name if len(targets) == 1 else f"{name} {target}"
            sample |= {"past": seen} if past else {}
            sample |= {"future": known} if future else {}
            yield {**sample, "source": f"{source.name} [{printable(sample['name'])}]"}
        notes += values.notes


def _grouped(
    source: Source, id: str | None, rows: int | None
) -> Iterator[tuple[str | None, list[int], list[tuple[str, ...]]]]:
    """Rows by the value of the column `id`: its value, the lines, and the cells column by column."""
    groups: dict[str | None, tuple[list[int], list[list[str]]]] = {}
    place = None if id is None else source.index(id)
    for chunk in source.chunks():
        for error in chunk.bad.values():
            raise error
        for line, row in zip(chunk.lines, chunk.cells, strict=True):
            lines, cells = groups.setdefault(None if place is None else row[place].strip(), ([], []))
            if rows is None or len(lines) < rows:
                lines.append(line)
                cells.append(row)
    if not groups:
        raise DataError(f"{source.name}: there are no rows below the header.")
    for name, (lines, cells) in groups.items():
        if rows is not None and len(lines) < rows:
            where = f" of {printable(name)}" if name else ""
            raise DataError(f"{source.name}: `rows` asks for {rows:,} rows, there are {len(lines):,}{where}.")
        yield name, lines, list(zip(*cells, strict=True))


class _Values:
    """Columns as numbers, without gaps."""

    def __init__(self, source: Source, lines: list[int], cells: list[tuple[str, ...]], fill: bool, decimal: str):
        self.source, self.lines, self.cells, self.fill = source, lines, cells, fill
        self.style = Format(MISSING, decimal)
        self.notes: list[str] = []

    def last(self, names: list[str]) -> int:
        """The number of rows up to the last in which any of the columns has a value."""
        filled = [
            any(self.cells[self.source.index(name)][i].strip() not in MISSING for name in names)
            for i in range(len(self.lines))
        ]
        return len(filled) - filled[::-1].index(True) if any(filled) else 0

    def vector(self, name: str, end: int) -> torch.Tensor:
        """The first `end` values of a column (end,)."""
        cells = self.cells[self.source.index(name)][:end]
        array, bad = numbers(cells, self.style)
        if bad:
            text = printable(cells[bad[0]][:60])
            raise DataError(f"{self._at(bad[0])}: '{text}' in column '{printable(name)}' is not a finite number.")
        gaps = np.flatnonzero(np.isnan(array))
        if len(gaps) == len(array):
            raise DataError(f"{self.source.name}: column '{printable(name)}' has no values.")
        if len(gaps) and not self.fill:
            more = f", and {len(gaps) - 1:,} more below" if len(gaps) > 1 else ""
            raise DataError(
                f"{self._at(gaps[0])}: column '{printable(name)}' is empty here{more}. "
                f"Fill it, or set `missing: interpolate`."
            )
        if len(gaps):
            there = np.flatnonzero(~np.isnan(array))
            array[gaps] = np.interp(gaps, there, array[there])
            self.notes.append(f"column '{printable(name)}': {len(gaps):,} missing values interpolated")
        return torch.from_numpy(array)

    def matrix(self, names: list[str], end: int) -> torch.Tensor:
        """Columns side by side (end, len(names))."""
        return torch.stack([self.vector(name, end) for name in names], dim=1) if names else torch.empty(end, 0)

    def _at(self, place: int) -> str:
        return f"{self.source.name}:{self.lines[place]}"


def _check_times(source: Source, lines: list[int], times: list[str], column: str, notes: list[str]) -> None:
    """Raises DataError where times are no times, or do not rise; notes steps that are not equal."""
    moments = np.array([_moment(text, source, line, column) for text, line in zip(times, lines, strict=True)])
    steps = np.diff(moments)
    wrong = np.flatnonzero(~(steps > 0))
    if len(wrong):
        i = int(wrong[0])
        what = "twice" if steps[i] == 0 else f"after '{printable(times[i])}'"
        raise DataError(
            f"{source.name}:{lines[i + 1]}: '{printable(times[i + 1])}' in column '{printable(column)}' comes {what}. "
            f"Sort the rows by time, one row a time (and name the column that tells several series apart: `id`)."
        )
    usual = float(np.median(steps)) if len(steps) else 0.0
    wide = np.flatnonzero(steps > 1.5 * usual)
    if len(wide):
        places = [f"row {lines[i + 1]}" for i in wide.tolist()]
        notes.append(f"{source.name}: the step of time is not always the same; longer before {first_few(places)}")


def _moment(text: str, source: Source, line: int, column: str) -> float:
    """A time as a number that rises with it."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(f"{text}-01" if MONTH.fullmatch(text) else text)
    except ValueError:
        raise DataError(
            f"{source.name}:{line}: '{printable(text[:60])}' in column '{printable(column)}' is no time. "
            f"Write 2016-07-01 00:00, or a number."
        ) from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
