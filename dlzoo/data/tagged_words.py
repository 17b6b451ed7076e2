"""Sentences of words with their tags, one by one: columns as CoNLL's, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlzoo.data.dataset import Sample
from dlzoo.data.delimited import known, missing_column, undecodable
from dlzoo.data.jsonlines import JsonLines
from dlzoo.data.location import existing, shown
from dlzoo.errors import ConfigError, DataError, printable

SUFFIXES = (".conll", ".conllu", ".iob", ".bio", ".tsv", ".txt", ".jsonl")
DOCUMENT = "-DOCSTART-"
"""The word that begins a document in CoNLL-2003; it is no word."""
WORDS, TAGS = ("words", "tokens"), ("tags", "ner_tags", "pos_tags")
"""Keys of a JSON object that are looked for, the first that is there."""


def read_tagged(
    path: Path,
    word: int | str | None = None,
    tag: int | str | None = None,
    encoding: str = "utf-8",
    tagged: bool = True,
) -> Iterator[Sample | DataError]:
    """The sentences in a file, each with `words`, `tags` where `tagged`, and its source; a bad one as a DataError.

    word, tag: of columns their numbers, from 1, or from -1 for the last; of JSON lines the keys. Raises DataError for a
    file that cannot be read, ConfigError for a column without a number.
    """
    if path.suffix.lower() == ".jsonl":
        return _objects(path, word, tag, encoding, tagged)
    universal = path.suffix.lower() == ".conllu"
    own = _column(word, 2 if universal else 1, "word")
    other = _column(tag, 4 if universal else -1, "tag") if tagged else None
    return _sentences(path, own, other, encoding, universal)


def _column(given: int | str | None, usual: int, what: str) -> int:
    """The index of a column, from 0, or from -1."""
    try:
        number = usual if given is None else int(given)
    except ValueError:
        number = 0
    if not number:
        raise ConfigError(
            [f"data.{what}: '{printable(str(given))}' is no number of a column: 1 is the first, -1 the last"]
        )
    return number - 1 if number > 0 else number


def _sentences(path: Path, own: int, other: int | None, encoding: str, universal: bool) -> Iterator[Sample | DataError]:
    """A row a word, a blank line between sentences; columns have tabs between them if the first row has, or spaces."""
    name = shown(path)
    first: list[str] | None = None
    separator: str | None = None
    sentence: Sample = {}
    wrong: DataError | None = None
    for number, line in _lines(path, name, encoding):
        if not line.strip() or line.split(None, 1)[0] == DOCUMENT:
            if wrong or sentence:
                yield wrong or sentence
            sentence, wrong = {}, None
            continue
        if not sentence and not wrong and "\t" not in line and line.startswith("#" if separator else "# "):
            continue
        separator = ("\t" if "\t" in line else None) if first is None else separator
        cells = [cell.strip() for cell in line.split(separator)]
        first = first or cells
        if universal and not cells[0].isdigit():  # 3-4 of two words in one, 5.1 of one that is not written
            continue
        sentence = sentence or {"words": [], **({} if other is None else {"tags": []}), "source": f"{name}:{number}"}
        try:
            _add(sentence, cells, first, own, other)
        except ValueError as error:
            wrong = wrong or DataError(f"{name}:{number}: {error}.")
    if wrong or sentence:
        yield wrong or sentence


def _add(sentence: Sample, cells: list[str], first: list[str], own: int, other: int | None) -> None:
    """Another word of a sentence. Raises ValueError that says what is wrong with its row."""
    if other is not None and len(cells) != len(first):
        raise ValueError(f"the row has {len(cells)} columns, the first one {len(first)}")
    for key, index in (("words", own), ("tags", other)):
        if index is None:
            continue
        if not -len(cells) <= index < len(cells):
            raise ValueError(f"there is no column {index + (index >= 0)} in a row of {len(cells)}")
        if not cells[index]:
            raise ValueError(f"the {key[:-1]} is empty")
    if other is not None:
        if own % len(cells) == other % len(cells):
            raise ValueError("the word and the tag are one column; say which they are: set `word` and `tag`")
        sentence["tags"].append(cells[other])
    sentence["words"].append(cells[own])


def _lines(path: Path, name: str, encoding: str) -> Iterator[tuple[int, str]]:
    codec = "utf-8-sig" if known(encoding) == "utf-8" else known(encoding)
    try:
        with existing(path, folder=False).open(encoding=codec) as stream:
            for number, line in enumerate(stream, 1):
                if "\0" in line:
                    raise DataError(f"{name}:{number}: a NUL byte. Is this a text file?")
                yield number, line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise undecodable(path, name, encoding, error) from None


def _objects(
    path: Path, word: int | str | None, tag: int | str | None, encoding: str, tagged: bool
) -> Iterator[Sample | DataError]:
    source = JsonLines(path, encoding)
    keys = {"words": _key(source, word, WORDS)} | ({"tags": _key(source, tag, TAGS)} if tagged else {})
    for rows in source.chunks():
        good = zip(rows.lines, rows.cells, strict=True)
        found = {line: _sample(source, line, cells, keys) for line, cells in good} | rows.bad
        yield from (found[line] for line in sorted(found))


def _key(source: JsonLines, given: int | str | None, usual: tuple[str, ...]) -> str:
    key = next((key for key in usual if key in source.columns), usual[0]) if given is None else str(given)
    if key not in source.columns:
        raise missing_column(source.name, key, source.columns)
    return key


def _sample(source: JsonLines, line: int, cells: list[str], keys: dict[str, str]) -> Sample | DataError:
    where = f"{source.name}:{line}"
    sample: dict[str, Any] = {}
    for name, key in keys.items():
        try:
            values = json.loads(cells[source.index(key)])
        except ValueError:
            values = None
        if not isinstance(values, list) or not values:
            return DataError(f"{where}: '{printable(key)}' is no list of {name}.")
        sample[name] = [str(value) if isinstance(value, str | int) else "" for value in values]
        if not all(value.strip() for value in sample[name]):
            return DataError(f"{where}: in '{printable(key)}' one of the {name} is empty, or no text.")
    if len({len(values) for values in sample.values()}) != 1:
        return DataError(f"{where}: {len(sample['words'])} words, and {len(sample['tags'])} tags.")
    return {**sample, "source": where}
