"""Texts: folders of .txt files, files of rows with a text column, plain lines, or long documents."""

from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.folders import SPLITS, find, split_paths
from dlzoo.data.location import existing, fingerprint, shown
from dlzoo.data.rows import SUFFIXES, Source, open_rows
from dlzoo.data.text_files import cells, label_column, labels_column, lines, text_column, whole
from dlzoo.errors import ConfigError, DataError, first_few, printable
from dlzoo.registry import DATASETS

PLAIN = (".txt", ".text", ".md")


@DATASETS.register("texts")
class Texts(Dataset):
    """Texts: `text`, and `label` where there are class folders or a label column; `labels` where that is `labels`.

    Args:
        path: a CSV, TSV, JSON-lines, Parquet or .txt file; or a folder of CLASS/FILE.txt, FILE.txt or train.csv
        text: the column of texts: its name, or without header its number; null is `text`, or 1, or the only one
        label: the column with the class, likewise; null is `label`, or 2, if there is one; or `labels`, of
            any number of classes (`a|b`, or a JSON list)
        unit: what one text is in a .txt file: a line, or the whole document
        header: the first row of a CSV or TSV names the columns
        separator: what stands between cells; null finds it out
        quotes: a cell may stand in quotes ("); false where a quote is a letter like any other
        encoding: of the files
        validation_path: a file with the validation split
        test_path: a file with the test split
    """

    def __init__(
        self,
        path: str,
        text: str | None = None,
        label: str | None = None,
        unit: Literal["line", "document"] = "line",
        header: bool = True,
        separator: str | None = None,
        quotes: bool = True,
        encoding: str = "utf-8",
        validation_path: str | None = None,
        test_path: str | None = None,
    ):
        root = existing(path)
        self.unit, self.encoding = unit, encoding
        self.text: str | None = None
        """The column with the text, where the texts are in one."""
        self._documents: list[Path] = []
        self._labels: list[str] | None = None
        self._key = "label"
        self._given: dict[str, list[int]] = {}
        self._tables: dict[str, Source] = {}
        self._plain: dict[str, Path] = {}
        self.style = {"header": header, "separator": separator, "quotes": quotes, "encoding": encoding}
        """What `read_texts` needs, besides the column, to read another such file."""
        of_rows: dict[str, Any] = {"text": text, "label": label, "separator": separator}
        of_rows |= {"header": None if header else header, "quotes": None if quotes else quotes}
        if root.is_dir() and not _split_files(root):
            _unused(path, "is a folder of texts", validation_path=validation_path, test_path=test_path, **of_rows)
            self._folder(root)
            return
        for split, file in split_paths(path, (*SUFFIXES, *PLAIN), validation_path, test_path).items():
            if Path(file).suffix.lower() in SUFFIXES:
                self._tables[split] = open_rows(file, separator, header, encoding, quotes)
            else:
                self._plain[split] = existing(file, folder=False)
        if self._tables and self._plain:
            raise DataError(f"{printable(path)}: the splits are in files of different kinds.")
        if self._plain:
            _unused(path, "has no columns", **of_rows)
        if self._tables:
            _unused(path, "has a text in each row", unit=None if unit == "line" else unit)
            first = next(iter(self._tables.values()))
            self.text = text_column(first, text, 1, header)
            many = labels_column(first, label)
            self._key = "labels" if many else "label"
            self._label = many or label_column(first, label, self.text, header)
        elif unit == "document":
            self._documents = list(self._plain.values())
            self._given = {split: [i] for i, split in enumerate(self._plain)}

    def _folder(self, root: Path) -> None:
        found = find(root, PLAIN, "texts (.txt)", classless=True)
        self._documents, self._given = found.files, found.splits
        self._labels = found.labels if found.classed else None
        self.notes.extend(found.notes)

    @property
    def gives(self) -> tuple[str, ...]:  # type: ignore[override]
        """`text`, and `label` or `labels` where there are classes."""
        labelled = self._labels is not None or (bool(self._tables) and self._label is not None)
        return ("text", self._key) if labelled else ("text",)

    @property
    def along(self) -> str | None:  # type: ignore[override]
        """'text' where there is one document for train: it is cut; several are kept whole."""
        return "text" if self._documents and self._labels is None and len(self._given["train"]) == 1 else None

    @cached_property
    def _loaded(self) -> tuple[list[str], list[Any], list[str], dict[str, list[int]]]:
        """Texts, labels, sources, and the splits of rows and lines."""
        texts: list[str] = []
        labels: list[Any] = []
        sources: list[str] = []
        splits: dict[str, list[int]] = {}
        for split in self._tables or self._plain:
            start, bad = len(texts), []
            for sample in self._read(split):
                if isinstance(sample, DataError):
                    bad.append(sample)
                    continue
                texts.append(sample["text"])
                sources.append(sample["source"])
                if self._key in sample:
                    labels.append(sample[self._key])
            if bad and self.skipped is None:
                raise DataError(str(bad[0]) + (f"\n{len(bad):,} rows are bad." if len(bad) > 1 else ""))
            for error in bad:
                self.lose(error)
            if len(texts) == start:
                name = self._tables[split].name if self._tables else shown(self._plain[split])
                raise DataError(f"{name}: there are no texts in this file.")
            splits[split] = list(range(start, len(texts)))
        empty = [source for source, text in zip(sources, texts, strict=True) if not text.strip()]
        self.notes.extend([f"{len(empty):,} texts are empty: {first_few(empty)}"] if empty else [])
        return texts, labels, sources, splits

    def _read(self, split: str) -> Iterator[Sample | DataError]:
        if not self._tables:
            return lines(self._plain[split], self.encoding)
        return cells(self._tables[split], self.text or "", self._label, many=self._key == "labels")

    @cached_property
    def _long(self) -> list[str | DataError]:
        """Each document, or why it cannot be read."""
        return [self._document(file) for file in self._documents]

    def _document(self, file: Path) -> str | DataError:
        try:
            return whole(file, self.encoding)
        except DataError as error:
            if self.skipped is None:
                raise
            return error

    def _text(self, index: int) -> str:
        found = self._long[index] if self._documents else self._loaded[0][index]
        if isinstance(found, DataError):
            raise found
        return found

    def __len__(self) -> int:
        return len(self._documents) or len(self._loaded[0])

    def __getitem__(self, index: int) -> Sample:
        labels = self._labels if self._documents else self._loaded[1]
        sample: Sample = {"text": self._text(index)}
        return {**sample, self._key: labels[index]} if labels else sample

    def column(self, key: str) -> list[Any]:
        """`text`, `label` or `labels` of every sample, or another column of a file of rows."""
        if key == "text" and self._documents:
            return ["" if isinstance(text, DataError) else text for text in self._long]
        if key == "text":
            return self._loaded[0]
        if key == self._key and key in self.gives:
            return (self._labels or []) if self._documents else self._loaded[1]
        if not self._tables:
            raise DataError(f"these texts have no column '{printable(key)}', only {' and '.join(self.gives)}.")
        found = []
        kept = set(self._loaded[2])
        for source in self._tables.values():
            place = source.index(key)
            for rows in source.chunks():
                numbered = zip(rows.lines, rows.cells, strict=True)
                found += [row[place] for line, row in numbered if f"{source.name}:{line}" in kept]
        return found

    def headings(self) -> list[str]:
        return next(iter(self._tables.values())).columns if self._tables else []

    def source(self, index: int) -> str:
        return shown(self._documents[index]) if self._documents else self._loaded[2][index]

    def splits(self) -> dict[str, list[int]]:
        return self._given if self._documents else self._loaded[3]

    def lengths(self) -> list[int]:
        """The characters of every text."""
        return [len(text) for text in self.column("text")]

    def contents(self) -> list[bytes] | None:
        return (
            None
            if self.along
            else [blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in self.column("text")]
        )

    def stream(self) -> Iterator[Sample]:
        """Every text, read again from the files; raises DataError at the first bad one, or skips it."""
        if self._documents:
            for i, file in enumerate(self._documents):
                label = {"label": self._labels[i]} if self._labels else {}
                try:
                    yield {"text": whole(file, self.encoding), **label, "source": self.source(i)}
                except DataError as error:
                    self.lose(error, i)
            return
        for split in self._tables or self._plain:
            for sample in self._read(split):
                if isinstance(sample, DataError):
                    self.lose(sample)
                else:
                    yield sample

    def fingerprint(self) -> str:
        tables = [table.path for table in self._tables.values()]
        return fingerprint([*self._documents, *([] if self._documents else self._plain.values()), *tables])


def _unused(path: str, why: str, **given: Any) -> None:
    """Raises ConfigError for settings that would be passed over."""
    if found := [name for name, value in given.items() if value is not None]:
        raise ConfigError([f"data.{name}: {printable(path)} {why}; leave {name} out" for name in found])


def _split_files(folder: Path) -> bool:
    names = [Path(entry.name) for entry in folder.iterdir() if entry.is_file()]
    return any(
        SPLITS.get(name.stem.lower()) == "train" and name.suffix.lower() in (*SUFFIXES, *PLAIN) for name in names
    )
