"""`dlzoo check`: whether config, data and model fit together; on request all of the data, and one real step."""

from __future__ import annotations

import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from dlzoo.config import Config
from dlzoo.errors import DataError, printable

if TYPE_CHECKING:
    from dlzoo.run.built import Built

STEPS = 3
"""Updates that are timed, after a first one."""


def check(config: Config, *, data: bool = False, step: bool = False) -> dict[str, Any]:
    """Build all that `config` names, and answer a few samples; what was found, as one JSON-able object.

    data: read every sample of every split (scan.py). step: run an update or a few, and forecast the whole run; not
    where there are bad samples. Raises ConfigError for what does not fit, DataError for data that is not there or not
    usable.
    """
    from dlzoo.data.skipped import Skipped
    from dlzoo.engine.runtime import Runtime
    from dlzoo.run import scan
    from dlzoo.run.build import build_dataset
    from dlzoo.run.built import build, rehearse

    try:
        dataset = build_dataset(config)
        if data and dataset.along is None and dataset.skipped is None:
            dataset.skipped = Skipped(math.inf)  # all that cannot be read is to be named, not the first
        built = build(config, Runtime(config.train), dataset=dataset)
    except DataError as error:
        raise DataError(f"{error}\nall keys of the config are right, and the model fits the task") from error
    splits = built.pieces
    report: dict[str, Any] = {
        "task": config.task.name,
        "data": config.data.name,
        "model": config.model.name,
        "splits": {name: len(pieces) for name, pieces in splits.items()},
        "weights": sum(parameter.numel() for parameter in built.network.parameters()),
        "steps": built.steps,
        "notes": [*built.dataset.notes, *built.task.notes],
    }
    if data:
        report["read"] = scan.scan(built)
    if failed(report):
        return report
    rehearse(built)
    if step:
        report["forecast"] = _forecast(built, splits, report["steps"])
    return report


def failed(report: dict[str, Any]) -> bool:
    """Whether `check` found something that has to be mended."""
    return bool(report.get("read", {}).get("bad"))


def _forecast(built: Built, splits: dict[str, Any], steps: int) -> dict[str, Any]:
    """Seconds, memory and disk of the whole run, from a few updates and one evaluated batch."""
    from dlzoo.engine import optimizer
    from dlzoo.engine.loader import Scored
    from dlzoo.run.session import Session

    config, task = built.config, built.task
    started = time.perf_counter()
    loader = built.loader()
    reading = time.perf_counter() - started
    session = Session(config, task, built.network, built.runtime, max(steps, STEPS + 1))
    laps = [list(_laps(session.rows(loader, STEPS + 1))) for _ in range(2)]  # again: what is decoded once is kept then
    first, later = (statistics.median(lap[1:]) for lap in laps)
    epoch = min(steps, len(loader))
    training = laps[0][0] + first * epoch + later * (steps - epoch)
    evaluation = 0.0
    if "validation" in splits:
        size = config.evaluate.batch_size or config.train.batch_size
        held = Scored(task, splits["validation"], size, built.runtime.processes)
        first, again = (_seconds(lambda: session.evaluate(islice(held, 1))) for _ in range(2))
        times = math.ceil(steps / (config.evaluate.every or len(loader)))
        evaluation = (first + again * (times - 1)) * math.ceil(len(splits["validation"]) / size)
    weights = _bytes(built.network.state_dict())
    state = _bytes(optimizer.state(session.optimizer, built.network)) + (weights if session.average else 0)
    return {
        "seconds_per_update": training / steps,
        "seconds": reading + training + evaluation,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024)
        / 1e6,
        "disk_mb": (3 * (weights + state) + weights) / 1e6,
    }


def _laps(rows: Iterator[Any]) -> Iterator[float]:
    """Seconds that each row took to come."""
    before = time.perf_counter()
    for row in rows:
        row.check()
        now = time.perf_counter()
        yield now - before
        before = now


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _bytes(tensors: dict[str, Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def show(name: str, report: dict[str, Any]) -> None:
    """Print what `check` found."""
    sizes = " · ".join(f"{split} {count:,}" for split, count in report["splits"].items())
    print(f"config  {printable(name)} is valid")
    print(f"data    {report['data']}: {sizes}")
    print(f"model   {report['model']}: {report['weights']:,} weights; it fits {report['task']}")
    print(f"train   {report['steps']:,} updates")
    for note in report["notes"]:
        print(f"note    {printable(note)}")
    if "read" in report:
        from dlzoo.run import scan

        scan.show(report["read"])
    if "forecast" in report:
        forecast = report["forecast"]
        print(
            f"step    {forecast['seconds_per_update']:.3g} s an update; about {_duration(forecast['seconds'])} in all, "
            f"{forecast['memory_mb']:,.0f} MB of memory, {forecast['disk_mb']:,.1f} MB of disk"
        )


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )
