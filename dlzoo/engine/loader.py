"""Batches in an order that depends on the seed and the step alone: not on workers, prefetching or a resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from dlzoo.data.dataset import Pieces
from dlzoo.engine import cache
from dlzoo.engine.cache import Growing, Progress
from dlzoo.engine.encoded import Direct, Fresh, Indices, Source
from dlzoo.engine.order import Order, micro_batches
from dlzoo.engine.processes import Processes
from dlzoo.engine.workers import in_workers
from dlzoo.errors import DataError
from dlzoo.task import Batch, Columns, Task

SORTED = 16
"""Batches whose pieces are sorted by their length together, where each is wanted once and in order."""
Parts = Callable[[], Iterator[tuple[Indices, int]]]
"""The pieces of each batch and the epoch that they are wanted in, in order, from the start as often as it is called."""


class Loader:
    """The training batches of one process.

    Raises DataError for an empty split, and, with its source, for a piece that cannot be encoded.
    """

    def __init__(
        self,
        task: Task,
        pieces: Pieces,
        *,
        batch_size: int,
        seed: int = 0,
        accumulate: int = 1,
        workers: int = 0,
        processes: Processes | None = None,
        progress: Progress = iter,
    ):
        if not len(pieces):
            raise DataError("the train split is empty: no piece of it is left to train on")
        self.task, self.pieces, self.workers = task, pieces, workers
        self.source = cache.source(task, pieces, seed, progress)
        self.order = Order(len(pieces), batch_size, seed, self.source.lengths())
        self.accumulate = accumulate
        self.rank, self.world = (processes.rank, processes.world) if processes else (0, 1)

    def __len__(self) -> int:
        """Updates in an epoch."""
        return len(self.order)

    def epoch(self, step: int) -> int:
        """The epoch of update number `step` (both from 0)."""
        return step // len(self)

    def pieces_of(self, step: int) -> int:
        """Pieces of update number `step`, over all processes."""
        return len(self.order.window(step))

    def windows(self, start: int, stop: int) -> Iterator[list[Batch]]:
        """The micro-batches of this process for each update from `start` to `stop`; none without a term."""

        def parts() -> Iterator[tuple[Indices, int]]:
            return ((indices, self.epoch(step)) for step in range(start, stop) for indices in self._parts(step))

        found = _batches(self.task, self.source, parts, self.workers)
        for step in range(start, stop):
            yield [batch for batch in islice(found, len(self._parts(step))) if batch.count]

    def _parts(self, step: int) -> tuple[Tensor, ...]:
        window = self.order.window(step)
        return micro_batches(window, self.order.batch_size, self.accumulate, self.rank, self.world)


def batches(task: Task, pieces: Pieces, size: int, workers: int = 0) -> Iterator[Batch]:
    """Every piece once, encoded when it is wanted, in order but for a few batches of ragged ones: to evaluate once."""
    source = Direct(pieces) if hasattr(pieces, "gather") else Fresh(task, pieces)
    many = size * SORTED if task.ragged else size
    for indices, found in _columns(source, lambda: _chunks(range(len(pieces)), many), workers):
        yield from by_length(task, found, _list(indices), size)


def by_length(task: Task, found: Columns, indices: list[int], size: int) -> Iterator[Batch]:
    """Batches of at most `size` from the columns of some pieces, those of similar length together."""
    ragged = [found[key] for key in task.ragged if key in found]
    if not ragged and len(indices) <= size:
        yield _batch(task, found, indices)
        return
    order = sorted(range(len(indices)), key=lambda i: max((len(column[i]) for column in ragged), default=0))
    for start in range(0, len(order), size):
        part = order[start : start + size]
        own = {key: [v[i] for i in part] if isinstance(v, list) else v[part] for key, v in found.items()}
        yield _batch(task, own, [indices[i] for i in part])


class Scored:
    """A split that is evaluated again and again: encoded once, batches of pieces of similar length, each piece once.

    Over several processes each takes every so-manieth piece.
    """

    def __init__(
        self,
        task: Task,
        pieces: Pieces,
        size: int,
        processes: Processes | None = None,
        progress: Progress = iter,
        workers: int = 0,
    ):
        self.task, self.size, self.workers = task, size, workers
        self.source = cache.kept(task, pieces, progress)
        lengths = self.source.lengths()
        order = range(len(pieces)) if lengths is None else torch.argsort(lengths, stable=True).tolist()
        self.mine = order[processes.rank :: processes.world] if processes else order

    def __iter__(self) -> Iterator[Batch]:
        return _batches(self.task, self.source, lambda: _chunks(self.mine, self.size), self.workers)


def _chunks(indices: Sequence[int], size: int) -> Iterator[tuple[Indices, int]]:
    return ((list(indices[start : start + size]), 0) for start in range(0, len(indices), size))


def _batches(task: Task, source: Source, parts: Parts, workers: int) -> Iterator[Batch]:
    """A batch for each part, in order; what has to be encoded for it is, ahead, by so many worker processes."""
    return (_batch(task, found, indices) for indices, found in _columns(source, parts, workers))


def _batch(task: Task, found: Columns, indices: Indices) -> Batch:
    batch = task.collate(found)
    batch.indices = _list(indices)
    return batch


def _columns(source: Source, parts: Parts, workers: int) -> Iterator[tuple[Indices, Columns]]:
    wanted = parts()
    if workers and isinstance(source, Fresh):
        listed = ((_list(indices), epoch) for indices, epoch in wanted)
        for (given, _), found in in_workers(source, listed, workers):
            yield given, found
    elif workers and isinstance(source, Growing) and not source.whole:
        ahead = in_workers(source.fresh, source.missing(parts()), workers)
        for indices, epoch in wanted:
            while not source.has(indices):
                (new, _), found = next(ahead)
                source.put(new, found)
            yield indices, source.gather(indices, epoch)
            if source.whole:
                break
        ahead.close()  # ends the processes
    for indices, epoch in wanted:
        yield indices, source.gather(indices, epoch)


def _list(indices: Indices) -> list[int]:
    return indices.tolist() if isinstance(indices, Tensor) else list(indices)
