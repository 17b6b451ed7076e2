"""Batches in an order that depends on the seed and the step alone: not on workers, prefetching or a resume."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from dlzoo.data.dataset import Pieces
from dlzoo.engine import encoded
from dlzoo.engine.order import Order, micro_batches
from dlzoo.engine.processes import Processes
from dlzoo.engine.workers import in_workers
from dlzoo.errors import DataError
from dlzoo.task import Batch, Columns, Task

Progress = Callable[[Iterable[int]], Iterable[int]]


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
        self.source = encoded.source(task, pieces, seed, progress)
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
        ahead = None
        if self.workers and isinstance(self.source, encoded.Fresh):
            jobs = ((indices, self.epoch(step)) for step in range(start, stop) for indices in self._parts(step))
            ahead = in_workers(self.source, jobs, self.workers)
        for step in range(start, stop):
            batches = []
            for indices in self._parts(step):
                found = next(ahead) if ahead else self.source.gather(indices, self.epoch(step))
                batches.append(_batch(self.task, found, indices))
            yield [batch for batch in batches if batch.count]

    def _parts(self, step: int) -> list[list[int]]:
        window = self.order.window(step)
        parts = micro_batches(window, self.order.batch_size, self.accumulate, self.rank, self.world)
        return [part.tolist() for part in parts]


def batches(task: Task, pieces: Pieces, size: int) -> Iterator[Batch]:
    """Every piece once, in order, each encoded when it is wanted: for an evaluation that is done once."""
    gather = getattr(pieces, "gather", None)
    for start in range(0, len(pieces), size):
        indices = list(range(start, min(start + size, len(pieces))))
        found = gather(indices) if gather else encoded.encode_many(task, pieces, indices)
        yield _batch(task, found, indices)


def _batch(task: Task, found: Columns, indices: list[int]) -> Batch:
    batch = task.collate(found)
    batch.indices = indices
    return batch


class Scored:
    """A split that is evaluated again and again: encoded once, batches of pieces of similar length, each piece once.

    Over several processes each takes every so-manieth piece.
    """

    def __init__(
        self, task: Task, pieces: Pieces, size: int, processes: Processes | None = None, progress: Progress = iter
    ):
        self.task, self.size = task, size
        self.source = encoded.Direct(pieces) if hasattr(pieces, "gather") else encoded.Kept(task, pieces, progress)
        lengths = self.source.lengths()
        order = range(len(pieces)) if lengths is None else torch.argsort(lengths, stable=True).tolist()
        self.mine = order[processes.rank :: processes.world] if processes else order

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.mine), self.size):
            indices = list(self.mine[start : start + self.size])
            yield _batch(self.task, self.source.gather(indices, 0), indices)
