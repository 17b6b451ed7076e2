"""`dlzoo check`: whether config, data and model fit together; on request all of the data, and one real step."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from dlzoo.config import Config
from dlzoo.errors import DataError, printable

if TYPE_CHECKING:
    pass


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
    splits, start = built.pieces, time.process_time()
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
        from dlzoo.run.estimate import estimate

        report["forecast"] = estimate(built, start)
    return report


def failed(report: dict[str, Any]) -> bool:
    """Whether `check` found something that has to be mended."""
    return bool(report.get("read", {}).get("bad"))


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
