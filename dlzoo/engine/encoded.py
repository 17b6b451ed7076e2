"""Pieces encoded, one by one or many together, when they are wanted; cache.py keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any, Protocol

import torch
from torch import Tensor

from dlzoo.data.dataset import Pieces
from dlzoo.engine.seeds import key
from dlzoo.errors import DataError
from dlzoo.task import Columns, Example, Task, columns

Indices = Sequence[int] | Tensor
"""Which pieces: their numbers, or a Tensor (B,) of them."""
CHUNK = 512
"""Pieces that are encoded together."""


class Source(Protocol):
    """What batches are gathered from."""

    def __len__(self) -> int: ...

    def gather(self, indices: Indices, epoch: int) -> Columns:
        """The columns of some pieces, as `encode` gives them in that epoch."""

    def lengths(self) -> Tensor | None:
        """The length (N,) that pieces are bucketed by; None where all are alike, or where nobody knows yet."""


def encode(task: Task, pieces: Pieces, index: int, rng: Random | None = None) -> Example:
    """One piece encoded; a DataError says where the piece is from."""
    if rng is None and task.stochastic:
        rng = Random(key("question", index))
    try:
        return task.encode(pieces[index], rng)
    except DataError as error:
        where = pieces.source(index)
        raise error if where in str(error) else DataError(f"{where}: {error}") from error


def encode_many(task: Task, pieces: Pieces, indices: Sequence[int]) -> Columns:
    """Several pieces encoded together; where that fails, one by one, to say which piece is the bad one."""
    if task.stochastic:
        return columns([encode(task, pieces, index) for index in indices], task.ragged)
    try:
        return task.encode_many([pieces[index] for index in indices])
    except (DataError, RuntimeError, KeyError):
        examples = [encode(task, pieces, index) for index in indices]
        for index, example in zip(indices, examples, strict=True):
            alike(example, examples[0], task.ragged, pieces.source(index))
        raise


def alike(example: Example, first: Example, ragged: tuple[str, ...], where: str) -> None:
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

    def gather(self, indices: Indices, epoch: int) -> Columns:
        found: Columns = self.pieces.gather(indices)
        return found

    def lengths(self) -> Tensor | None:
        return None


class Fresh:
    """Pieces encoded when they are wanted, in whichever process that is.

    With a seed, each with an rng of (seed, epoch, index); without one, as an evaluation sees them.
    """

    def __init__(self, task: Task, pieces: Pieces, seed: int | None = None):
        self.task, self.pieces, self.seed = task, pieces, seed

    def __len__(self) -> int:
        return len(self.pieces)

    def gather(self, indices: Indices, epoch: int) -> Columns:
        places = indices.tolist() if isinstance(indices, Tensor) else indices
        if self.seed is None:
            return encode_many(self.task, self.pieces, places)
        rngs = (Random(key(self.seed, "encode", epoch, index)) for index in places)
        examples = [encode(self.task, self.pieces, index, rng) for index, rng in zip(places, rngs, strict=True)]
        return columns(examples, self.task.ragged)

    def lengths(self) -> Tensor | None:
        return None


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
