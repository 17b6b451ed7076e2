"""Texts: folders of .txt files, files of rows with a text column, plain lines, or long documents."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from dlzoo.data.dataset import Sample
from dlzoo.data.folders import SPLITS, find, split_paths
from dlzoo.data.location import existing, shown
from dlzoo.data.records import Records
from dlzoo.data.rows import SUFFIXES, Source, open_rows
from dlzoo.data.text_files import cells, label_column, labels_column, lines, text_column, whole
from dlzoo.errors import ConfigError, DataError, first_few, printable
from dlzoo.registry import DATASETS

PLAIN = (".txt", ".text", ".md")


@DATASETS.register("texts")
class Texts(Records):
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

    called = "texts"

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
        self._key = "label"
        self._label: str | None = None
        self._classes: dict[Path, str] = {}
        """The class of each document, where they lie in folders of classes."""
        self.tables: dict[str, Source] = {}
        self.files: dict[str, list[Path]] = {}
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
                self.tables[split] = open_rows(file, separator, header, encoding, quotes)
            self.files[split] = [existing(file, folder=False)]
        if not self.tables:
            _unused(path, "has no columns", **of_rows)
            return
        if len(self.tables) < len(self.files):
            raise DataError(f"{printable(path)}: the splits are in files of different kinds.")
        _unused(path, "has a text in each row", unit=None if unit == "line" else unit)
        first = next(iter(self.tables.values()))
        self.text = text_column(first, text, 1, header)
        many = labels_column(first, label)
        self._key = "labels" if many else "label"
        self._label = many or label_column(first, label, self.text, header)

    def _folder(self, root: Path) -> None:
        found = find(root, PLAIN, "texts (.txt)", classless=True)
        self.unit = "document"
        self.files = {split: [found.files[i] for i in places] for split, places in found.splits.items()}
        self._classes = dict(zip(found.files, found.labels, strict=True)) if found.classed else {}
        self.notes.extend(found.notes)

    @property
    def gives(self) -> tuple[str, ...]:  # type: ignore[override]
        """`text`, and `label` or `labels` where there are classes."""
        return ("text", self._key) if self._classes or self._label is not None else ("text",)

    @property
    def along(self) -> str | None:  # type: ignore[override]
        """'text' where there is one document for train: it is cut; several are kept whole."""
        unlabelled = self.unit == "document" and not self._classes
        return "text" if unlabelled and len(self.files.get("train", ())) == 1 else None

    def read(self, split: str) -> Iterator[Sample | DataError]:
        if self.tables:
            yield from cells(self.tables[split], self.text or "", self._label, many=self._key == "labels")
            return
        for file in self.files[split]:
            if self.unit == "line":
                yield from lines(file, self.encoding)
            else:
                yield self._document(file)

    def _document(self, file: Path) -> Sample | DataError:
        try:
            sample: Sample = {"text": whole(file, self.encoding), "source": shown(file)}
        except DataError as error:
            return error
        return sample | ({"label": self._classes[file]} if self._classes else {})

    @cached_property
    def _kept(self) -> tuple[dict[str, list[Any]], dict[str, list[int]]]:
        columns, splits = super()._kept
        empty = [source for source, text in zip(columns["source"], columns["text"], strict=True) if not text.strip()]
        self.notes.extend([f"{len(empty):,} texts are empty: {first_few(empty)}"] if empty else [])
        return columns, splits

    def lengths(self) -> list[int]:
        """The characters of every text."""
        return [len(text) for text in self.column("text")]

    def contents(self) -> list[bytes] | None:
        return None if self.along else super().contents()


def _unused(path: str, why: str, **given: Any) -> None:
    """Raises ConfigError for settings that would be passed over."""
    if found := [name for name, value in given.items() if value is not None]:
        raise ConfigError([f"data.{name}: {printable(path)} {why}; leave {name} out" for name in found])


def _split_files(folder: Path) -> bool:
    names = [Path(entry.name) for entry in folder.iterdir() if entry.is_file()]
    return any(
        SPLITS.get(name.stem.lower()) == "train" and name.suffix.lower() in (*SUFFIXES, *PLAIN) for name in names
    )
