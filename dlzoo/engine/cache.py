"""Pieces that are encoded once, where encoding draws nothing, so that a batch is one gather."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from dlzoo.data import packed
from dlzoo.data.dataset import Pieces
from dlzoo.data.packed import Packed
from dlzoo.engine.encoded import CHUNK, Direct, Fresh, Indices, Source, alike, encode, encode_many
from dlzoo.task import Columns, Task

FEW = 2000
"""Pieces of a file each that are all encoded, and seen to be whole, before the first update."""
AT_ONCE = 2**26
"""Bytes of large pieces that are encoded together, about."""
Progress = Callable[[Iterable[int]], Iterable[int]]


def source(task: Task, pieces: Pieces, seed: int, progress: Progress = iter) -> Source:
    """What the batches of a training are gathered from, whichever is right for the task and the kind of data."""
    if task.draws and not hasattr(pieces, "gather"):
        return Fresh(task, pieces, seed)
    return kept(task, pieces, progress)


def kept(task: Task, pieces: Pieces, progress: Progress = iter) -> Source:
    """What the batches of a split that is read again and again are gathered from: a cache, if pieces cannot gather."""
    if hasattr(pieces, "gather"):
        return Direct(pieces)
    if not decoded(pieces):
        return Kept(task, pieces, progress)
    growing = None if task.ragged else Growing(task, pieces)
    return growing if growing is not None and growing.columns else Fresh(task, pieces)


def decoded(pieces: Pieces) -> bool:
    """Whether pieces are so many files to decode that the first batch should not wait for the last of them."""
    return getattr(pieces, "decodes", False) and len(pieces) > FEW


class Kept:
    """Every piece encoded once, column by column."""

    def __init__(self, task: Task, pieces: Pieces, progress: Callable[[Iterable[int]], Iterable[int]] = iter):
        self.count = len(pieces)
        first = encode(task, pieces, 0)
        limit = packed.IN_MEMORY // max(1, len(first))
        self.columns: dict[str, _Dense | _Ragged] = {
            name: (_Ragged if name in task.ragged else _Dense)(tensor, self.count, limit)
            for name, tensor in first.items()
        }
        size = sum(tensor.numel() * tensor.element_size() for tensor in first.values())
        step = max(1, min(CHUNK, AT_ONCE // max(1, size)))
        for start in progress(range(0, self.count, step)):
            indices = range(start, min(start + step, self.count))
            found = encode_many(task, pieces, indices)
            here = {name: values[0] for name, values in found.items()}
            alike(here, first, task.ragged, pieces.source(start))
            for name, values in found.items():
                self.columns[name].add(values)
        for column in self.columns.values():
            column.close()

    def __len__(self) -> int:
        return self.count

    def gather(self, indices: Indices, epoch: int) -> Columns:
        chosen = torch.as_tensor(indices)
        return {name: column.gather(chosen) for name, column in self.columns.items()}

    def lengths(self) -> Tensor | None:
        ragged = [column.lengths for column in self.columns.values() if isinstance(column, _Ragged)]
        return torch.stack(ragged).amax(0) if ragged else None


class Growing:
    """Every piece encoded once, when it is first wanted: here, or elsewhere and then `put`. Only dense columns.

    `columns` is empty where neither memory nor half of the temporary folder's disk has room for all.
    """

    def __init__(self, task: Task, pieces: Pieces):
        self.fresh = Fresh(task, pieces)
        self.first = encode(task, pieces, 0)
        self.there = torch.zeros(len(pieces), dtype=torch.bool)
        self.whole = False
        """Whether every piece is there."""
        self.columns = _room(self.first, len(pieces))

    def __len__(self) -> int:
        return len(self.there)

    def gather(self, indices: Indices, epoch: int) -> Columns:
        chosen = torch.as_tensor(indices)
        if not self.whole and len(missing := chosen[~self.there[chosen]]):
            self.put(missing, self.fresh.gather(missing, epoch))
        return {name: column.index_select(0, chosen) for name, column in self.columns.items()}

    def put(self, indices: Indices, found: Columns) -> None:
        """Keep the columns of some pieces."""
        chosen = torch.as_tensor(indices)
        here = {name: values[0] for name, values in found.items()}
        alike(here, self.first, (), self.fresh.pieces.source(int(chosen[0])))
        for name, values in found.items():
            self.columns[name][chosen] = values
        self.there[chosen] = True
        self.whole = bool(self.there.all())

    def missing(self, parts: Iterable[tuple[Indices, int]]) -> Iterator[tuple[list[int], int]]:
        """Of each part, the pieces that neither are there nor were in a part before; ends where none is left."""
        asked = self.there.clone()
        for indices, epoch in parts:
            chosen = torch.as_tensor(indices)
            if len(new := chosen[~asked[chosen]]):
                asked[new] = True
                yield new.tolist(), epoch
                if asked.all():
                    return

    def has(self, indices: Indices) -> bool:
        """Whether these pieces are all there."""
        return self.whole or bool(self.there[torch.as_tensor(indices)].all())

    def lengths(self) -> Tensor | None:
        return None


def _room(first: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """An empty column for `count` tensors like each of `first`; none where there is no room."""
    sizes = {name: count * tensor.numel() * tensor.element_size() for name, tensor in first.items()}
    if sum(sizes.values()) <= packed.IN_MEMORY:
        return {name: torch.empty((count, *tensor.shape), dtype=tensor.dtype) for name, tensor in first.items()}
    if sum(sizes.values()) > shutil.disk_usage(tempfile.gettempdir()).free // 2:
        return {}
    try:
        return {name: _reserved(sizes[name], first[name]) for name in first}
    except OSError:  # a quota
        return {}


def _reserved(size: int, like: Tensor) -> Tensor:
    """A column in a file without a name, its blocks taken: a full disk would kill whoever writes to the mapping."""
    with tempfile.TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, size)
        return torch.frombuffer(mmap.mmap(file.fileno(), size), dtype=like.dtype).view(-1, *like.shape)


class _Dense:
    """Tensors of one shape as one tensor (N, ...)."""

    def __init__(self, first: Tensor, count: int, limit: int):
        self.shape, self.dtype, self.used = first.shape, first.dtype, 0
        fits = count * first.numel() * first.element_size() <= limit
        self.values = torch.empty((count if fits else 0, *first.shape), dtype=first.dtype)
        self.bytes = None if fits else Packed(first.dtype, 0)

    def add(self, values: Any) -> None:
        if self.bytes is None:
            self.values[self.used : self.used + len(values)] = values
        else:
            self.bytes.add(values)
        self.used += len(values)

    def close(self) -> None:
        if self.bytes is not None:
            self.values = self.bytes.close().view(-1, *self.shape)

    def gather(self, indices: Tensor) -> Tensor:
        return self.values.index_select(0, indices)


class _Ragged:
    """Tensors that differ in their first dimension, end to end in one tensor."""

    def __init__(self, first: Tensor, count: int, limit: int):
        self.rest, self.dtype = first.shape[1:], first.dtype
        self.bytes = Packed(first.dtype, limit)
        self.sizes: list[int] = []

    def add(self, values: Any) -> None:
        self.bytes.add(torch.cat(values))
        self.sizes += map(len, values)

    def close(self) -> None:
        self.values = self.bytes.close().view(-1, *self.rest)
        self.lengths = torch.tensor(self.sizes)
        self.starts = torch.cat([torch.zeros(1, dtype=torch.long), self.lengths.cumsum(0)]).tolist()

    def gather(self, indices: Tensor) -> list[Tensor]:
        return [self.values[self.starts[i] : self.starts[i + 1]] for i in indices.tolist()]
