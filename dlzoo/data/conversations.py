"""Conversations: turns of a user, of an assistant, and perhaps of the system, in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from typing import Any

from dlzoo import jsontext
from dlzoo.data.conversation_files import SUFFIXES, read
from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.folders import split_paths
from dlzoo.data.location import existing, fingerprint, shown
from dlzoo.errors import DataError, printable
from dlzoo.registry import DATASETS


@DATASETS.register("conversations")
class Conversations(Dataset):
    """Conversations: `messages`, each with a role (system, user, assistant) and content.

    Args:
        path: a .jsonl file, a conversation a line, or a .json list; or a folder with train.jsonl, test.jsonl ...
        validation_path: a file with the validation split
        test_path: a file with the test split
    """

    gives = ("messages",)

    def __init__(self, path: str, validation_path: str | None = None, test_path: str | None = None):
        found = split_paths(path, SUFFIXES, validation_path, test_path)
        self.files = {split: existing(file, folder=False) for split, file in found.items()}

    @cached_property
    def _loaded(self) -> tuple[list[Sample], dict[str, list[int]]]:
        """The conversations, each with its source, and the splits."""
        samples: list[Sample] = []
        splits: dict[str, list[int]] = {}
        for split, file in self.files.items():
            start, bad = len(samples), []
            for sample in trainable(read(file)):
                bad.append(sample) if isinstance(sample, DataError) else samples.append(sample)
            if bad and self.skipped is None:
                raise DataError(str(bad[0]) + (f"\n{len(bad):,} conversations are bad." if len(bad) > 1 else ""))
            for error in bad:
                self.lose(error)
            if len(samples) == start:
                raise DataError(f"{shown(file)}: there are no conversations in this file.")
            splits[split] = list(range(start, len(samples)))
        return samples, splits

    def __len__(self) -> int:
        return len(self._loaded[0])

    def __getitem__(self, index: int) -> Sample:
        return {"messages": self._loaded[0][index]["messages"]}

    def column(self, key: str) -> list[Any]:
        """`messages` of every conversation."""
        if key != "messages":
            raise DataError(f"conversations have no column '{printable(key)}', only messages.")
        return [sample["messages"] for sample in self._loaded[0]]

    def source(self, index: int) -> str:
        return self._loaded[0][index]["source"]

    def splits(self) -> dict[str, list[int]]:
        return self._loaded[1]

    def contents(self) -> list[bytes]:
        return [blake2b(jsontext.dumps(turns).encode(), digest_size=8).digest() for turns in self.column("messages")]

    def stream(self) -> Iterator[Sample]:
        """Every conversation, read again from the files; raises DataError at the first bad one, or skips it."""
        for file in self.files.values():
            for sample in trainable(read(file)):
                if isinstance(sample, DataError):
                    self.lose(sample)
                else:
                    yield sample

    def fingerprint(self) -> str:
        return fingerprint(self.files.values())


def trainable(samples: Iterator[Sample | DataError]) -> Iterator[Sample | DataError]:
    """The same, but that a conversation in which the assistant says nothing is a bad one."""
    for sample in samples:
        if isinstance(sample, DataError) or any(turn["role"] == "assistant" for turn in sample["messages"]):
            yield sample
        else:
            yield DataError(f"{sample['source']}: the assistant has no turn: there is nothing to learn from it.")
