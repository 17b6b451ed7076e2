"""Pairs of texts, say a sentence and its translation: two columns of rows, or two files whose lines go together."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dlzoo.data.dataset import Sample
from dlzoo.data.folders import SPLITS, split_paths
from dlzoo.data.location import existing, shown
from dlzoo.data.records import Records
from dlzoo.data.rows import SUFFIXES, Source, open_rows
from dlzoo.data.text_files import every_line, text_column
from dlzoo.errors import ConfigError, DataError, printable
from dlzoo.registry import DATASETS


@DATASETS.register("text_pairs")
class TextPairs(Records):
    """Texts in pairs: `text`, and `target`, which is to be written for it.

    Args:
        path: a CSV, TSV, JSON-lines or Parquet file, a folder of train.csv and its kin; or a plain file of texts, a
            line each, or a folder of such, train.de and train.en
        text: the column of the texts: its name, or without header its number; null is `text`, or 1. Of plain files,
            how their names end (de)
        target: the column of the targets, likewise; null is `target`, or 2
        header: the first row of a CSV or TSV names the columns
        separator: what stands between cells; null finds it out
        quotes: a cell may stand in quotes ("); false where a quote is a letter like any other
        encoding: of the files
        target_path: the plain file of the targets, line by line; null is the one beside `path` that ends as `target`,
            as those of the other splits do
        validation_path: a file with the validation split; of plain files that of the texts, with its targets beside it
        test_path: a file with the test split, likewise
    """

    gives = ("text", "target")
    called = "pairs"

    def __init__(
        self,
        path: str,
        text: str | None = None,
        target: str | None = None,
        header: bool = True,
        separator: str | None = None,
        quotes: bool = True,
        encoding: str = "utf-8",
        target_path: str | None = None,
        validation_path: str | None = None,
        test_path: str | None = None,
    ):
        self.style = {"header": header, "separator": separator, "quotes": quotes, "encoding": encoding}
        """What `read_texts` needs, besides the column, to read another such file."""
        self.encoding = encoding
        self.text: str | None = None
        """The column with the text, where the texts are in one."""
        self._ending: str | None = None
        """How the names of the targets' plain files end."""
        self.tables: dict[str, Source] = {}
        self.files: dict[str, list[Path]] = {}
        root, ending = existing(path), f".{text.lstrip('.')}" if text else None
        rows = _has(root, SUFFIXES) if root.is_dir() else root.suffix.lower() in SUFFIXES
        if not rows:
            self._plain(path, ending, target, target_path, validation_path, test_path)
            of_rows = {"header": header is not True, "separator": separator is not None, "quotes": quotes is not True}
            _refuse(of_rows, "plain files have no columns")
            return
        _refuse({"target_path": target_path is not None}, f"{printable(path)} has both texts in each row")
        for split, file in split_paths(path, SUFFIXES, validation_path, test_path).items():
            self.tables[split] = open_rows(file, separator, header, encoding, quotes)
            self.files[split] = [self.tables[split].path]
        first = next(iter(self.tables.values()))
        self.text = text_column(first, text, 1, header)
        self._target = text_column(first, target, 2, header, "target")
        if self.text == self._target:
            raise ConfigError([f"data.target: column '{printable(self.text)}' is that of the texts already"])

    def _plain(
        self,
        path: str,
        ending: str | None,
        target: str | None,
        target_path: str | None,
        validation_path: str | None,
        test_path: str | None,
    ) -> None:
        """Find the two files of each split."""
        other = f".{target.lstrip('.')}" if target else Path(target_path).suffix if target_path else None
        if existing(path).is_dir():
            if ending is None or other is None:
                found = ", ".join(sorted(entry.name for entry in Path(path).iterdir())[:8])
                example = "data: {text: de, target: en} for train.de and train.en"
                raise ConfigError([f"data: say how the files of both sides end, as in {example}; in it are {found}"])
            _refuse({"target_path": target_path is not None}, f"{printable(path)} is a folder of both sides")
            if not _has(Path(path), (ending,)):
                raise DataError(f"{printable(path)}: there is no file train{printable(ending)} in this folder.")
            files = split_paths(path, (ending,), validation_path, test_path)
        else:
            named = {"train": path, "validation": validation_path, "test": test_path}
            files = {split: file for split, file in named.items() if file is not None}
        self._ending = (other or "").lstrip(".") or None
        for split, file in files.items():
            if ending is not None and Path(file).suffix != ending:
                raise ConfigError([f"data.text: {printable(file)} does not end in {printable(ending)}"])
            if split == "train" and target_path is not None:
                beside = Path(target_path)
            elif other is None or other == Path(file).suffix:
                hint = "set target, how the name of that file ends, or target_path"
                raise ConfigError([f"data.target: {printable(file)} has no targets that could be found: {hint}"])
            else:
                beside = Path(file).with_suffix(other)
            self.files[split] = [existing(file, folder=False), existing(beside, folder=False)]

    def read(self, split: str) -> Iterator[Sample | DataError]:
        if self.tables:
            return _rows(self.tables[split], str(self.text), self._target)
        file, other = self.files[split]
        return _aligned(file, other, self.encoding)

    def arguments(self) -> dict[str, Any]:
        """How the targets' files end, where target_path told: other data is read with it."""
        return {"target": self._ending} if self._ending else {}


def _rows(source: Source, text: str, target: str) -> Iterator[Sample | DataError]:
    one, other = source.index(text), source.index(target)
    for rows in source.chunks():
        good = ((line, row[one], row[other]) for line, row in zip(rows.lines, rows.cells, strict=True))
        pairs = ((line, _pair(f"{source.name}:{line}", *both)) for line, *both in good)
        ordered = sorted([*pairs, *rows.bad.items()], key=lambda pair: pair[0]) if rows.bad else pairs
        yield from (sample for _, sample in ordered)


def _aligned(file: Path, other: Path, encoding: str) -> Iterator[Sample | DataError]:
    """Line n of one file with line n of the other; lines that are blank in both are passed over."""
    texts, targets = every_line(file, encoding), every_line(other, encoding)
    for number, (text, target) in enumerate(_together(texts, targets, file, other), 1):
        if text.strip() or target.strip():
            yield _pair(f"{shown(file)}:{number}", text, target, f"{shown(other)}:{number}")


def _together(texts: Iterator[str], targets: Iterator[str], file: Path, other: Path) -> Iterator[tuple[str, str]]:
    """Both sides, line by line. Raises DataError where one has more."""
    count = 0
    for text in texts:
        target = next(targets, None)
        if target is None:
            more = count + 1 + sum(1 for _ in texts)
            raise _uneven(file, more, other, count)
        count += 1
        yield text, target
    if rest := sum(1 for _ in targets):
        raise _uneven(other, count + rest, file, count)


def _uneven(longer: Path, more: int, shorter: Path, fewer: int) -> DataError:
    return DataError(
        f"{shown(longer)}:{fewer + 1}: this line has no partner: the file has {more:,} lines, {shown(shorter)} has "
        f"{fewer:,}. Line n of the one must be the pair of line n of the other."
    )


def _pair(where: str, text: str, target: str, there: str | None = None) -> Sample | DataError:
    if not text.strip():
        return DataError(f"{where}: the text is empty.")
    if not target.strip():
        return DataError(f"{there or where}: the target is empty.")
    return {"text": text, "target": target, "source": where}


def _has(folder: Path, suffixes: Iterable[str]) -> bool:
    """Whether a folder has a train file with one of the suffixes."""
    return any(
        SPLITS.get(entry.stem.lower()) == "train" and entry.suffix.lower() in suffixes for entry in folder.iterdir()
    )


def _refuse(given: dict[str, bool], why: str) -> None:
    """Raises ConfigError for settings that would be passed over."""
    if found := [name for name, said in given.items() if said]:
        raise ConfigError([f"data.{name}: {why}; leave {name} out" for name in found])
