"""Conversations: turns of a user, of an assistant, and perhaps of the system, in JSON."""

from __future__ import annotations

from collections.abc import Iterator

from dlzoo.data import conversation_files
from dlzoo.data.dataset import Sample
from dlzoo.data.folders import split_paths
from dlzoo.data.location import existing
from dlzoo.data.records import Records
from dlzoo.errors import DataError
from dlzoo.registry import DATASETS


@DATASETS.register("conversations")
class Conversations(Records):
    """Conversations: `messages`, each with a role (system, user, assistant) and content.

    Args:
        path: a .jsonl file, a conversation a line, or a .json list; or a folder with train.jsonl, test.jsonl ...
        validation_path: a file with the validation split
        test_path: a file with the test split
    """

    gives = ("messages",)
    called = "conversations"

    def __init__(self, path: str, validation_path: str | None = None, test_path: str | None = None):
        found = split_paths(path, conversation_files.SUFFIXES, validation_path, test_path)
        self.files = {split: [existing(file, folder=False)] for split, file in found.items()}

    def read(self, split: str) -> Iterator[Sample | DataError]:
        return trainable(conversation_files.read(self.files[split][0]))


def trainable(samples: Iterator[Sample | DataError]) -> Iterator[Sample | DataError]:
    """The same, but that a conversation in which the assistant says nothing is a bad one."""
    for sample in samples:
        if isinstance(sample, DataError) or any(turn["role"] == "assistant" for turn in sample["messages"]):
            yield sample
        else:
            yield DataError(f"{sample['source']}: the assistant has no turn: there is nothing to learn from it.")
