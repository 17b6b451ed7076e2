"""Row forecast: what `dlzoo check --step` says of time, memory and disk, beside the run itself."""

import json
import os
import threading
from pathlib import Path

from benchmarks import pairs
from benchmarks.pairs import median, ratio
from benchmarks.settings import ROOT, Settings, dlzoo
from benchmarks.table import Table, spread

CONFIG = ROOT / "configs" / "image_classification" / "digits_lenet.yaml"
MB = 1e6


def measure(settings: Settings) -> Table:
    """Forecast and fact of a shipped config, and how many times the forecast the fact is."""
    sets = ["--set", f"train.threads={settings.threads}", *(["--set", "train.epochs=2"] if settings.small else [])]
    said: list[dict[str, float]] = []
    found: list[dict[str, float]] = []
    for number in range(settings.rounds):
        check = pairs.run(dlzoo("check", "--config", CONFIG, "--step", "--json", *sets), settings)
        said.append(json.loads(check.out)["forecast"])
        found.append(_run(settings.folder / f"forecast_{number}", sets, settings))
    table = Table(["", "forecast", "the run", "the run is, of the forecast"])
    for name, key, unit in (
        ("time, start and test included", "seconds", "s"),
        ("memory, peak", "memory_mb", "MB"),
        ("disk, most at a time", "disk_mb", "MB"),
    ):
        fact = [one[key] for one in found]
        guess = [one[key] for one in said]
        cells = [f"{median(values)[0]:,.1f} {unit}" for values in (guess, fact)]
        table.lines.append([name, *cells, spread(ratio(fact, guess))])
    return table


def _run(folder: Path, sets: list[str], settings: Settings) -> dict[str, float]:
    """What a run took, and the most that it had on the disk, looked at ten times a second."""
    ended, most = threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(0.1):
            most[0] = max(most[0], _bytes(folder))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        ran = pairs.run(dlzoo("train", "--config", CONFIG, "--runs", folder, "--json", *sets), settings)
    finally:
        ended.set()
        watcher.join()
    return {"seconds": ran.wall, "memory_mb": ran.peak * 2**20 / MB, "disk_mb": most[0] / MB}


def _bytes(folder: Path) -> int:
    """Of all files; one that goes while this looks is not counted."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total
