"""Batches in an order that depends on the seed and the step alone: not on workers, prefetching or a resume."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from dlzoo.data.dataset import Pieces
from dlzoo.engine import encoded
from dlzoo.engine.order import Order, micro_batches
from dlzoo.engine.processes import Processes
from dlzoo.errors import DataError, ResourceError, UserError
from dlzoo.task import Batch, Columns, Task

PATIENCE = 120.0
"""Seconds without a batch after which a worker counts as stuck."""
Progress = Callable[[Iterable[int]], Iterable[int]]
Job = tuple[list[int], int]
"""The indices of some pieces, and the epoch that they are wanted for."""


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
            ahead = _in_workers(self.source, jobs, self.workers)
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


class _Remote(torch.utils.data.Dataset[Any]):
    """What a worker does: gathers the columns of a job; a user's mistake comes back as a value, not as a traceback."""

    def __init__(self, source: encoded.Source):
        self.source = source

    def __getitem__(self, job: Job) -> dict[str, Any] | UserError:
        try:
            return encoded.pack(self.source.gather(*job))
        except UserError as error:
            return error


def _in_workers(source: encoded.Source, jobs: Iterator[Job], workers: int) -> Iterator[Columns]:
    """The columns of each job, in order, from worker processes that are ahead of the training, across epochs too."""
    loader = torch.utils.data.DataLoader(
        _Remote(source),
        batch_size=None,
        sampler=jobs,  # type: ignore[arg-type]
        num_workers=workers,
        timeout=PATIENCE,
        worker_init_fn=_die_with_parent,
        generator=torch.Generator().manual_seed(0),  # else every iterator draws from the global one
    )
    iterator = iter(loader)
    while True:
        try:
            found = next(iterator)
        except StopIteration:
            return
        except RuntimeError as error:
            raise _lost(error, getattr(iterator, "_workers", [])) from error
        if isinstance(found, UserError):
            raise found
        yield encoded.unpack(found)


def _lost(error: RuntimeError, workers: Sequence[Any]) -> Exception:
    """What became of the workers, in a user's words; `error` itself where it is about something else."""
    for number, worker in enumerate(workers):
        if worker.exitcode:
            how = (
                f"was killed (signal {-worker.exitcode}), usually for want of memory"
                if worker.exitcode < 0
                else "ended"
            )
            return ResourceError(f"data worker {number} {how}; train.workers is {len(workers)}: try fewer, or 0")
    if "timed out" in str(error):
        return ResourceError(
            f"no batch for {PATIENCE:.0f} s: a data worker is stuck; try train.workers: 0 to see where"
        )
    return error


def _die_with_parent(worker: int) -> None:
    """On Linux the kernel ends a worker whose parent is gone, even one stuck in a read; Ctrl-C is for the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == 1:
            os._exit(1)
