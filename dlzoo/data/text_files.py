"""Texts in the files of a user, one by one: a column of rows, the lines of a file, or a whole document."""

from collections.abc import Iterator
from pathlib import Path

from dlzoo.data.columns import several
from dlzoo.data.dataset import Sample
from dlzoo.data.delimited import known, undecodable
from dlzoo.data.location import existing, shown
from dlzoo.data.rows import SUFFIXES, Source, open_rows
from dlzoo.errors import DataError, did_you_mean, printable

LABELS = "labels"
"""The column that has any number of labels."""


def read_texts(
    path: Path,
    text: str | None = None,
    header: bool = True,
    separator: str | None = None,
    quotes: bool = True,
    encoding: str = "utf-8",
) -> Iterator[Sample | DataError]:
    """The texts in a user's file, each with its source, in memory that does not grow; a bad row comes as a DataError.

    text: the column of a CSV, TSV, JSON-lines or Parquet file; where the model was trained on such, a .txt file is one
    text a line, else (None) one text. Raises DataError for a file that cannot be read, or lacks the column.
    """
    if path.suffix.lower() in SUFFIXES:
        source = open_rows(path, separator, header, encoding, quotes)
        yield from cells(source, text_column(source, text, 1, header), None)
    elif text is None:
        yield {"text": whole(path, encoding), "source": shown(path)}
    else:
        yield from lines(path, encoding)


def text_column(source: Source, name: str | None, default: int, header: bool, usual: str = "text") -> str:
    """The name of the text's column: `usual` (also that of the argument), or number `default`, where none is given."""
    if name is None and (not header or len(source.columns) == 1) and default <= len(source.columns):
        return source.columns[default - 1]
    name = name or usual
    if name not in source.columns:
        hint = did_you_mean(name, source.columns)
        listed = ", ".join(map(printable, source.columns[:20]))
        raise DataError(
            f"{source.name}: there is no column '{printable(name)}'.{hint} Columns: {listed}. Set `{usual}`."
        )
    return name


def labels_column(source: Source, name: str | None) -> str | None:
    """The name of the column with any number of labels, `labels`, None where another is named or the file has none.

    Raises DataError where it is not clear which is meant.
    """
    if name not in (None, LABELS) or LABELS not in source.columns:
        return None
    if name is None and "label" in source.columns:
        raise DataError(f"{source.name}: there is a column label and a column labels: which is meant? Set `label`.")
    return LABELS


def label_column(source: Source, name: str | None, text: str, header: bool) -> str | None:
    """The name of the label's column, None where the file has none."""
    if name is not None:
        source.index(name)
        return name
    if not header:
        return next((column for column in source.columns[:2] if column != text), None)
    return "label" if "label" in source.columns else None


def cells(source: Source, text: str, label: str | None, many: bool = False) -> Iterator[Sample | DataError]:
    """The texts of rows, each with its label, or (`many`) with any number of them."""
    place, other = source.index(text), None if label is None else source.index(label)
    for rows in source.chunks():
        good: Iterator[tuple[int, Sample | DataError]] = (
            (line, _sample(source.name, line, row[place], None if other is None else row[other].strip(), many))
            for line, row in zip(rows.lines, rows.cells, strict=True)
        )
        ordered = sorted([*good, *rows.bad.items()], key=lambda pair: pair[0]) if rows.bad else good
        yield from (sample for _, sample in ordered)


def _sample(file: str, line: int, text: str, label: str | None, many: bool) -> Sample | DataError:
    sample: Sample = {"text": text, "source": f"{file}:{line}"}
    if label is None:
        return sample
    if many:
        return {**sample, "labels": several(label)}
    return {**sample, "label": label} if label else DataError(f"{file}:{line}: the label is empty.")


def lines(file: Path, encoding: str) -> Iterator[Sample | DataError]:
    """The lines of a file that are not blank."""
    name = shown(file)
    for number, line in enumerate(every_line(file, encoding), 1):
        if line.strip():
            yield {"text": line, "source": f"{name}:{number}"}


def every_line(file: Path, encoding: str) -> Iterator[str]:
    """The lines of a file, without their ends. Raises DataError where it is no text."""
    name = shown(file)
    try:
        with existing(file, folder=False).open(encoding=_codec(encoding)) as stream:
            for number, line in enumerate(stream, 1):
                if "\0" in line:
                    raise DataError(f"{name}:{number}: a NUL byte. Is this a text file?")
                yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise undecodable(file, name, encoding, error) from None


def whole(file: Path, encoding: str) -> str:
    name = shown(file)
    try:
        text = existing(file, folder=False).read_text(encoding=_codec(encoding))
    except UnicodeDecodeError as error:
        raise undecodable(file, name, encoding, error) from None
    if not text.strip():
        raise DataError(f"{name}: the file is empty.")
    if "\0" in text:
        raise DataError(f"{name}:{text[: text.index(chr(0))].count(chr(10)) + 1}: a NUL byte. Is this a text file?")
    return text


def _codec(encoding: str) -> str:
    return "utf-8-sig" if known(encoding) == "utf-8" else known(encoding)
