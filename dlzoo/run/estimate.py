"""What a whole run will take: a few of its updates, one batch of an evaluation, a checkpoint and the figures, timed."""

from __future__ import annotations

import math
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlzoo import files, jsontext
from dlzoo.engine.loader import Scored, batches
from dlzoo.engine.loop import Row, evaluate
from dlzoo.run import report
from dlzoo.run.built import Built
from dlzoo.run.session import Session

SECONDS, LEAST, MOST = 2.0, 3, 50
"""Updates are timed for so long; at least and at most so many."""
ROW = 150
"""Bytes of a row of metrics.jsonl, about."""


def estimate(built: Built, start: float) -> dict[str, Any]:
    """Seconds of the whole command, memory and disk; the network is not what it was afterwards.

    start: seconds until everything was built.
    """
    config, steps, clock = built.config, built.steps, _Clock()
    loader = built.loader()
    session = Session(config, built.task, built.network, built.runtime, max(steps, MOST + 1))
    preparing = clock.lap()
    cold, first = _updates(session.rows(loader, MOST + 1))
    _, later = _updates(session.rows(loader, MOST + 1))  # what is decoded once is kept by now
    epoch = min(steps, len(loader))
    training = cold + first * epoch + later * (steps - epoch)
    looks = math.ceil(steps / (config.evaluate.every or len(loader)))
    evaluation, test = _evaluations(built, session, looks)
    with TemporaryDirectory() as folder:
        save, export, figures, answers = _writes(built, session, Path(folder))
        checkpoint, model, pictures = (_bytes(Path(folder, name)) for name in ("checkpoints", "model", "figures"))
    saves = math.ceil(steps / config.train.save_every) if config.train.save_every else looks
    total = start + preparing + training + evaluation + saves * save + looks * export + test + figures
    rows = ROW * (steps // config.train.log_every + looks) + answers * len(built.pieces.get("test", ()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "seconds_per_update": training / steps,
        "seconds": total,
        "memory_mb": peak / 1e6,
        "disk_mb": (min(3, saves) * checkpoint + model + pictures + rows) / 1e6,
    }


class _Clock:
    """Seconds since it was last looked at."""

    def __init__(self) -> None:
        self.before = time.perf_counter()

    def lap(self) -> float:
        before, self.before = self.before, time.perf_counter()
        return self.before - before


def _updates(rows: Iterator[Row]) -> tuple[float, float]:
    """Seconds that the first update takes more than the others, and the median of those."""
    clock, laps = _Clock(), list[float]()
    for row in rows:
        row.check()
        laps.append(clock.lap())
        if len(laps) > LEAST and sum(laps) > SECONDS:
            break
    middle = statistics.median(laps[1:])
    return max(0.0, laps[0] - middle), middle


def _evaluations(built: Built, session: Session, looks: int) -> tuple[float, float]:
    """Seconds of `looks` evaluations of the validation split, and of the one of the test split."""
    name = "validation" if "validation" in built.pieces else "test"
    if name not in built.pieces:
        return 0.0, 0.0
    size = built.config.evaluate.batch_size or built.config.train.batch_size
    held = Scored(built.task, built.pieces[name], size, built.runtime.processes)
    count = len(held.mine)
    held.mine = held.mine[(middle := (count - 1) // 2) : middle + size]  # of the middle length
    clock = _Clock()
    session.evaluate(held)
    first = clock.lap() / len(held.mine)
    session.evaluate(held)
    again = clock.lap() / len(held.mine)
    return (first + again * (looks - 1)) * count if name == "validation" else 0.0, again * len(
        built.pieces.get("test", ())
    )


def _writes(built: Built, session: Session, folder: Path) -> tuple[float, float, float, float]:
    """Seconds of a checkpoint, of the model and of the figures of a few answers; bytes of an answer."""
    clock = _Clock()
    session.save(folder / "checkpoints")
    save = clock.lap()
    session.export(folder / "model", step=0, metrics={})
    export = clock.lap()
    name = "test" if "test" in built.pieces else "validation" if "validation" in built.pieces else "train"
    size = built.config.evaluate.batch_size or built.config.train.batch_size
    few = islice(batches(built.task, built.pieces[name], size), 1)
    scores = evaluate(built.network, built.task, few, built.runtime, detail=True, keep=size)
    report.scored(folder / "figures", built.task, scores)
    rows = [{"step": 1, "epoch": 1, "loss": 1, "norm": 1, "lr": 1}, {"step": 1, "epoch": 1, "split": "validation"}]
    files.write_text(folder / "metrics.jsonl", "".join(f"{jsontext.dumps(row)}\n" for row in rows))
    report.curves(folder, built.config.evaluate.monitor or built.task.monitor)
    answers = len(repr(scores.answers)) / max(1, len(scores.answers))
    return save, export, clock.lap(), answers


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
