"""Answers that are on the terminal while they are written, piece by piece."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from dlzoo.decoding import Reader
from dlzoo.errors import DataError
from dlzoo.metrics.metric import Answer
from dlzoo.run.answers import lined
from dlzoo.run.items import Item
from dlzoo.run.portable import Portable
from dlzoo.task import Batch, Example, columns


@runtime_checkable
class Streaming(Protocol):
    """A task that gives its answer to a batch of one in pieces, which together are the text of `answer`."""

    def stream(self, model: nn.Module, batch: Batch, reader: Reader | None = None, **options: Any) -> Iterator[str]:
        """The pieces; `options` are those of `answer`."""

    def reader(self, model: nn.Module) -> Reader:
        """What `stream` can keep from one answer to the next."""


@torch.inference_mode()
def pieces(
    model: Portable, example: Example, options: Mapping[str, Any], reader: Reader | None = None
) -> Iterator[str]:
    """The answer to an encoded sample as it is written; the task is Streaming."""
    task = model.task
    assert isinstance(task, Streaming)
    batch = task.collate(columns([example], task.ragged)).to(model.runtime.device)
    with model.runtime.autocast():
        yield from task.stream(model.network, batch, reader, **options)


def say(text: Iterable[str]) -> None:
    """Write pieces of a text on stdout as they come, and end the line."""
    for piece in text:
        sys.stdout.write(lined(piece))
        sys.stdout.flush()
    sys.stdout.write("\n")


def said(model: Portable, items: Iterable[Item | None], options: Mapping[str, Any]) -> Iterator[Answer]:
    """One answer for each item, in order; that of a good one has been said when it comes."""
    for source, content in filter(None, items):
        if isinstance(content, DataError):
            yield {"source": source, "error": str(content)}
        else:
            say(pieces(model, content, options))
            yield {"source": source}
