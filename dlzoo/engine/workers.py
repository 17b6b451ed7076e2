"""Worker processes that encode ahead of the training: jobs go in, columns come out in order, a lost worker is named.

torch's DataLoader tells of a dead worker by an exception out of a signal handler, which may strike in the middle of an
update and leave half of it behind. Here a worker is missed where its columns are waited for, and nowhere else.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Generator, Iterator
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

import torch
import torch.multiprocessing  # tensors go through pipes as shared memory

from dlzoo.data.dataset import Pieces, Sample
from dlzoo.engine import encoded
from dlzoo.errors import ResourceError, UserError, printable
from dlzoo.task import Columns

PATIENCE = 120.0
"""Seconds without a batch after which a worker counts as stuck."""
AHEAD = 2
"""Jobs that each worker is given before the first of them is wanted back."""
Job = tuple[list[int], int]
"""The indices of some pieces, and the epoch that they are wanted for."""


class LostWorker(ResourceError):  # noqa: N818
    """A worker that died or is stuck; raised before anything of the next update is done."""


def in_workers(source: encoded.Fresh, jobs: Iterator[Job], count: int) -> Generator[tuple[Job, Columns]]:
    """Each job and its columns, in order, from `count` processes that are ahead of the training, across epochs too.

    Raises the UserError that a worker met, at its turn, and LostWorker.
    """
    workers = _Workers(source, count)
    given: deque[tuple[int, Job]] = deque()
    for number, job in enumerate(jobs):
        if len(given) == AHEAD * count:
            worker, oldest = given.popleft()
            yield oldest, workers.take(worker)
        workers.give(number % count, job)
        given.append((number % count, job))
    for worker, oldest in given:
        yield oldest, workers.take(worker)


class _Workers:
    """The processes, and a pipe to each."""

    def __init__(self, source: encoded.Fresh, count: int):
        context = multiprocessing.get_context()
        self.pieces = source.pieces
        self.at = context.RawArray("q", [-1] * count)
        self.pipes: list[Connection] = []
        self.processes: list[BaseProcess] = []
        for number in range(count):
            ours, theirs = context.Pipe()  # one by one: no worker may hold the end of another
            process = context.Process(target=_work, args=(source, theirs, self.at, number), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)
        util.Finalize(self, _end, (self.processes,), exitpriority=10)  # before the daemons are waited for at the exit

    def give(self, worker: int, job: Job) -> None:
        try:
            self.pipes[worker].send(job)
        except OSError:
            self._lost(worker)

    def take(self, worker: int) -> Columns:
        """What a worker has made of its oldest job."""
        pipe, process = self.pipes[worker], self.processes[worker]
        ready = wait([pipe, process.sentinel], PATIENCE)
        if not ready:
            raise LostWorker(
                f"no batch for {PATIENCE:.0f} s: data worker {worker} is stuck{self._where(worker)}\n"
                "  look at that sample, or try train.workers: 0"
            )
        try:
            found = pipe.recv() if pipe in ready else self._lost(worker)
        except (EOFError, OSError):
            self._lost(worker)
        if isinstance(found, Exception):
            raise found
        return encoded.unpack(found)

    def _lost(self, worker: int) -> NoReturn:
        process = self.processes[worker]
        process.join(1)
        code = process.exitcode or 0
        how = f"was killed (signal {-code}), usually for want of memory" if code < 0 else f"ended (exit code {code})"
        raise LostWorker(
            f"data worker {worker} {how}{self._where(worker)}\n  train.workers is {len(self.pipes)}: try fewer, or 0"
        )

    def _where(self, worker: int) -> str:
        index = self.at[worker]
        return f"; its last sample was {printable(self.pieces.source(index))}" if index >= 0 else ""


def _end(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


class _Noted:
    """Pieces that note, where the parent can see it, which one is being read."""

    def __init__(self, pieces: Pieces, at: Any, worker: int):
        self.pieces, self.at, self.worker = pieces, at, worker

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> Sample:
        self.at[self.worker] = index
        return self.pieces[index]

    def source(self, index: int) -> str:
        return self.pieces.source(index)


def _work(source: encoded.Fresh, pipe: Connection, at: Any, number: int) -> None:
    """What a worker does, until its parent is gone or has no more to do."""
    _die_with_parent()
    torch.set_num_threads(1)
    source.pieces = _Noted(source.pieces, at, number)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        found: dict[str, Any] | Exception
        try:
            found = encoded.pack(source.gather(*job))
        except UserError as error:
            found = error
        except Exception as error:  # a bug: its own class may not go through a pipe
            found = RuntimeError(f"{source.pieces.source(at[number])}: {type(error).__name__}: {error}")
            found.add_note(traceback.format_exc())
        pipe.send(found)


def _die_with_parent() -> None:
    """Signals are for the parent; on Linux the kernel ends a worker whose parent is gone, even one stuck in a read."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == 1:
            os._exit(1)
