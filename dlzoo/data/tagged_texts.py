"""Texts in which every word has a tag: columns as CoNLL's shared tasks have them, or JSON lines."""

from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from typing import Any

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.folders import split_paths
from dlzoo.data.location import existing, fingerprint, shown
from dlzoo.data.tagged_words import SUFFIXES, read_tagged
from dlzoo.errors import ConfigError, DataError, printable
from dlzoo.registry import DATASETS


@DATASETS.register("tagged_texts")
class TaggedTexts(Dataset):
    """Sentences: `words`, and a tag of each, `tags`.

    Args:
        path: a file of columns (.conll, .conllu, .iob, .bio, .tsv, .txt) or JSON lines; or a folder with train.conll
        word: the column of words by its number, null for the first (.conllu: 2); or the key, null for words or tokens
        tag: the column of tags by its number, null for the last (.conllu: 4); or the key, null for tags or ner_tags
        encoding: of the files
        validation_path: a file with the validation split
        test_path: a file with the test split
    """

    gives = ("words", "tags")

    def __init__(
        self,
        path: str,
        word: int | str | None = None,
        tag: int | str | None = None,
        encoding: str = "utf-8",
        validation_path: str | None = None,
        test_path: str | None = None,
    ):
        paths = split_paths(path, SUFFIXES, validation_path, test_path)
        self._files = {split: existing(file, folder=False) for split, file in paths.items()}
        for file in self._files.values():
            if file.suffix.lower() not in SUFFIXES:
                raise ConfigError([f"data.path: '{printable(str(file))}' is none of {', '.join(SUFFIXES)}"])
        self.style: dict[str, Any] = {"word": word, "encoding": encoding}
        """What `read_tagged` needs to read another such file, without its tags."""
        self.tag = tag
        self.txt_columns = any(file.suffix.lower() == ".txt" for file in self._files.values())
        """Whether a .txt file is one of columns."""

    def _read(self, split: str) -> Iterator[Sample | DataError]:
        return read_tagged(self._files[split], **self.style, tag=self.tag)

    @cached_property
    def _loaded(self) -> tuple[list[Sample], dict[str, list[int]]]:
        samples: list[Sample] = []
        splits: dict[str, list[int]] = {}
        for split, file in self._files.items():
            start, bad = len(samples), []
            for sample in self._read(split):
                bad.append(sample) if isinstance(sample, DataError) else samples.append(sample)
            if bad and self.skipped is None:
                raise DataError(str(bad[0]) + (f"\n{len(bad):,} sentences are bad." if len(bad) > 1 else ""))
            for error in bad:
                self.lose(error)
            if len(samples) == start:
                raise DataError(f"{shown(file)}: there are no words in this file.")
            splits[split] = list(range(start, len(samples)))
        return samples, splits

    def __len__(self) -> int:
        return len(self._loaded[0])

    def __getitem__(self, index: int) -> Sample:
        sample = self._loaded[0][index]
        return {"words": sample["words"], "tags": sample["tags"]}

    def column(self, key: str) -> list[Any]:
        """`words` or `tags` of every sentence."""
        if key not in self.gives:
            raise DataError(f"these texts have no column '{printable(key)}', only words and tags.")
        return [sample[key] for sample in self._loaded[0]]

    def source(self, index: int) -> str:
        return str(self._loaded[0][index]["source"])

    def splits(self) -> dict[str, list[int]]:
        return self._loaded[1]

    def contents(self) -> list[bytes]:
        joined = ("\0".join(words).encode("utf-8", "replace") for words in self.column("words"))
        return [blake2b(words, digest_size=8).digest() for words in joined]

    def stream(self) -> Iterator[Sample]:
        """Every sentence, read again from the files; raises DataError at the first bad one, or skips it."""
        for split in self._files:
            for sample in self._read(split):
                if isinstance(sample, DataError):
                    self.lose(sample)
                else:
                    yield sample

    def fingerprint(self) -> str:
        return fingerprint(self._files.values())
