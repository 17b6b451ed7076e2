"""Texts in which every word has a tag: columns as CoNLL's shared tasks have them, or JSON lines."""

from collections.abc import Iterator
from typing import Any

from dlzoo.data.dataset import Sample
from dlzoo.data.folders import split_paths
from dlzoo.data.location import existing
from dlzoo.data.records import Records
from dlzoo.data.tagged_words import SUFFIXES, read_tagged
from dlzoo.errors import ConfigError, DataError, printable
from dlzoo.registry import DATASETS


@DATASETS.register("tagged_texts")
class TaggedTexts(Records):
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
    called = "sentences"

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
        self.files = {split: [existing(file, folder=False)] for split, file in paths.items()}
        every = [file for files in self.files.values() for file in files]
        for file in every:
            if file.suffix.lower() not in SUFFIXES:
                raise ConfigError([f"data.path: '{printable(str(file))}' is none of {', '.join(SUFFIXES)}"])
        self.style: dict[str, Any] = {"word": word, "encoding": encoding}
        """What `read_tagged` needs to read another such file, without its tags."""
        self.tag = tag
        self.txt_columns = any(file.suffix.lower() == ".txt" for file in every)
        """Whether a .txt file is one of columns."""

    def read(self, split: str) -> Iterator[Sample | DataError]:
        return read_tagged(self.files[split][0], **self.style, tag=self.tag)
