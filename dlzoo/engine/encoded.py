"""Pieces encoded: once, where encoding draws nothing, so that a batch is one gather; where it draws, in every epoch."""

from __future__ import annotations

import errno
import mmap
import tempfile
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import Any, Protocol

import torch
from torch import Tensor

from dlzoo.data.dataset import Pieces
from dlzoo.engine.seeds import key
from dlzoo.errors import DataError, ResourceError
from dlzoo.task import Columns, Example, Task, columns

IN_MEMORY = 2 * 2**30
"""Bytes of encoded pieces that are kept in memory; what is beyond is kept in a memory-mapped temporary file."""


CHUNK = 512
"""Pieces that are encoded together."""


class Source(Protocol):
    """What batches are gathered from."""

    def __len__(self) -> int: ...

    def gather(self, indices: list[int], epoch: int) -> Columns:
        """The columns of some pieces, as `encode` gives them in that epoch."""

    def lengths(self) -> Tensor | None:
        """The length (N,) that pieces are bucketed by; None where all are alike, or where nobody knows yet."""


def source(task: Task, pieces: Pieces, seed: int, progress: Callable[[Iterable[int]], Iterable[int]] = iter) -> Source:
    """The pieces' own gather, a cache, or encoding as it comes, whichever is right for the task."""
    if hasattr(pieces, "gather"):
        return Direct(pieces)
    return Fresh(task, pieces, seed) if task.draws else Kept(task, pieces, progress)


def encode(task: Task, pieces: Pieces, index: int, rng: Random | None = None) -> Example:
    """One piece encoded; a DataError says where the piece is from."""
    try:
        return task.encode(pieces[index], rng)
    except DataError as error:
        where = pieces.source(index)
        raise error if where in str(error) else DataError(f"{where}: {error}") from error


def encode_many(task: Task, pieces: Pieces, indices: Sequence[int]) -> Columns:
    """Several pieces encoded together; where that fails, one by one, to say which piece is the bad one."""
    try:
        return task.encode_many([pieces[index] for index in indices])
    except (DataError, RuntimeError, KeyError):
        examples = [encode(task, pieces, index) for index in indices]
        for index, example in zip(indices, examples, strict=True):
            _alike(example, examples[0], task.ragged, pieces.source(index))
        raise


def _alike(example: Example, first: Example, ragged: tuple[str, ...], where: str) -> None:
    """Raise DataError unless two examples can stand in one batch."""
    if example.keys() != first.keys():
        raise DataError(f"{where}: only some samples have {', '.join(sorted(first.keys() ^ example.keys()))}")
    for name, tensor in example.items():
        mine, others = ((t.shape[name in ragged :], t.dtype) for t in (tensor, first[name]))
        if mine != others:
            raise DataError(
                f"{where}: {name} is {tuple(mine[0])} of {mine[1]}, that of others {tuple(others[0])} of {others[1]}"
            )


class Direct:
    """Pieces that hand out a batch at once."""

    def __init__(self, pieces: Any):
        self.pieces = pieces

    def __len__(self) -> int:
        return len(self.pieces)

    def gather(self, indices: list[int], epoch: int) -> Columns:
        found: Columns = self.pieces.gather(indices)
        return found

    def lengths(self) -> Tensor | None:
        return None


class Fresh:
    """Pieces encoded when they are wanted, with an rng of (seed, epoch, index), in whichever process that is."""

    def __init__(self, task: Task, pieces: Pieces, seed: int):
        self.task, self.pieces, self.seed = task, pieces, seed

    def __len__(self) -> int:
        return len(self.pieces)

    def gather(self, indices: list[int], epoch: int) -> Columns:
        rngs = (Random(key(self.seed, "encode", epoch, index)) for index in indices)
        examples = [encode(self.task, self.pieces, index, rng) for index, rng in zip(indices, rngs, strict=True)]
        return columns(examples, self.task.ragged)

    def lengths(self) -> Tensor | None:
        return None


class Kept:
    """Every piece encoded once, column by column."""

    def __init__(self, task: Task, pieces: Pieces, progress: Callable[[Iterable[int]], Iterable[int]] = iter):
        self.count = len(pieces)
        first = encode(task, pieces, 0)
        limit = IN_MEMORY // max(1, len(first))
        self.columns: dict[str, _Dense | _Ragged] = {
            name: (_Ragged if name in task.ragged else _Dense)(tensor, self.count, limit)
            for name, tensor in first.items()
        }
        for start in progress(range(0, self.count, CHUNK)):
            indices = range(start, min(start + CHUNK, self.count))
            found = encode_many(task, pieces, indices)
            here = {name: values[0] for name, values in found.items()}
            _alike(here, first, task.ragged, pieces.source(start))
            for name, values in found.items():
                self.columns[name].add(values)
        for column in self.columns.values():
            column.close()

    def __len__(self) -> int:
        return self.count

    def gather(self, indices: list[int], epoch: int) -> Columns:
        chosen = torch.tensor(indices)
        return {name: column.gather(chosen) for name, column in self.columns.items()}

    def lengths(self) -> Tensor | None:
        ragged = [column.lengths for column in self.columns.values() if isinstance(column, _Ragged)]
        return torch.stack(ragged).amax(0) if ragged else None


class _Bytes:
    """Tensors of one dtype, one after the other: in memory up to `limit` bytes, then in a file without a name."""

    def __init__(self, dtype: torch.dtype, limit: int):
        self.dtype, self.limit = dtype, limit
        self.parts: list[Tensor] = []
        self.held = 0
        self.file: Any = None

    def add(self, tensor: Tensor) -> None:
        self.parts.append(tensor.reshape(-1))
        self.held += tensor.numel() * tensor.element_size()
        if self.held > self.limit:
            self._spill()

    def _spill(self) -> None:
        self.limit = 16 * 2**20
        self.file = self.file or tempfile.TemporaryFile()
        try:
            self.file.write(torch.cat(self.parts).view(torch.uint8).numpy())
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise ResourceError(
                f"the encoded data fills the disk of {tempfile.gettempdir()}; set TMPDIR to a larger one"
            ) from error
        self.parts, self.held = [], 0

    def close(self) -> Tensor:
        """All of it, as one flat tensor (mapped, where it is in a file)."""
        if self.file is None:
            return torch.cat(self.parts) if self.parts else torch.empty(0, dtype=self.dtype)
        if self.parts:
            self._spill()
        self.file.flush()
        mapped = mmap.mmap(self.file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self.file.close()  # the mapping keeps what is in it
        return torch.frombuffer(mapped, dtype=self.dtype)


class _Dense:
    """Tensors of one shape as one tensor (N, ...)."""

    def __init__(self, first: Tensor, count: int, limit: int):
        self.shape, self.dtype, self.used = first.shape, first.dtype, 0
        fits = count * first.numel() * first.element_size() <= limit
        self.values = torch.empty((count if fits else 0, *first.shape), dtype=first.dtype)
        self.bytes = None if fits else _Bytes(first.dtype, 0)

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
        self.bytes = _Bytes(first.dtype, limit)
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


def pack(found: Columns) -> dict[str, Any]:
    """Columns with each list of tensors as (flat, lengths): a worker sends few large tensors, not many small ones."""
    lists = {k: (torch.cat(v), torch.tensor([len(t) for t in v])) for k, v in found.items() if isinstance(v, list)}
    return found | lists


def unpack(packed: dict[str, Any]) -> Columns:
    """The inverse of `pack`."""
    return {key: _cut(*value) if isinstance(value, tuple | list) else value for key, value in packed.items()}


def _cut(flat: Tensor, lengths: Tensor) -> list[Tensor]:
    ends = [0, *lengths.cumsum(0).tolist()]
    return [flat[start:end] for start, end in pairwise(ends)]
