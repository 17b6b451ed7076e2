"""Row size: what more data costs. The same number of updates on 1, 4 and 16 times the samples, each by itself.

    python -m benchmarks.size FEW CONFIG

Trains FEW, so that all that is imported is, then CONFIG, and prints the CPU seconds of that.
"""

import csv
import gzip
import json
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks import pairs
from benchmarks.pairs import Ran, median
from benchmarks.settings import BUNDLED, Settings, module
from benchmarks.table import Table

TIMES = (1, 4, 16)
IMAGES, ROWS = 7500, 2500
"""The least number of samples."""
FEW, STEPS = 256, 1000
SIDE = 28


def measure(settings: Settings) -> Table:
    """CPU seconds and peak memory by size; what each sample beyond the least number costs."""
    heads = ["samples", "CPU time", "peak memory", "CPU time a sample more than the least", "memory a sample more"]
    table = Table(heads)
    for kind, base in (("pictures", IMAGES), ("rows", ROWS)):
        counts = [settings.some(base) * times for times in TIMES]
        first = _config(kind, FEW, 1, settings)
        configs = {str(count): _config(kind, count, settings.some(STEPS), settings) for count in counts}
        commands = {name: module("size", first, config) for name, config in configs.items()}
        found = pairs.fresh(commands, settings)
        few, least = counts[0], found[str(counts[0])]
        for count in counts:
            here = found[str(count)]
            more = ["", ""]
            if count > few:
                cpu = median([(_cpu(a) - _cpu(b)) / (count - few) for a, b in zip(here, least, strict=True)])[0]
                peak = median([(a.peak - b.peak) / (count - few) for a, b in zip(here, least, strict=True)])[0]
                more = [f"{1e6 * cpu:,.1f} µs", f"{2**20 * peak:,.0f} bytes"]
            seconds, most = median([_cpu(one) for one in here])[0], median([one.peak for one in here])[0]
            table.lines.append([f"{count:,} {kind}", f"{seconds:.2f} s", f"{most:,.0f} MiB", *more])
    table.notes.append(
        f"Each does {settings.some(STEPS):,} updates of 128, so that what grows is reading and encoding; the imports "
        f"are done before, by a training on {FEW} samples. "
        f"A picture has {SIDE * SIDE} bytes; a row has 13 columns."
    )
    return table


def _cpu(turn: Ran) -> float:
    seconds: float = turn.facts["cpu"]
    return seconds


def _config(kind: str, count: int, steps: int, settings: Settings) -> Path:
    """A config that trains on so many samples, which are written beside it."""
    folder = settings.folder / f"{count}_{kind}"
    folder.mkdir(exist_ok=True)
    data: dict[str, Any]
    if kind == "pictures":
        _write_images(settings.images, folder, count)
        task, data = "image_classification", {"name": "idx", "path": str(folder)}
    else:
        write_rows(folder / "rows.csv", count)
        task, data = "tabular_classification", {"name": "table", "path": str(folder / "rows.csv"), "target": "Status"}
    config = {
        "task": task,
        "data": {**data, "test": 0, "hold_out": 0},
        "model": {"name": "mlp", "dim": 64, "depth": 1},
        "train": {"steps": steps, "batch_size": 128, "threads": settings.threads},
        "evaluate": {"every": steps},
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


def _write_images(source: Path, folder: Path, count: int) -> None:
    """The first pictures of Fashion-MNIST, over and over; few at a time, as this process is to stay small."""
    with gzip.open(source / "train-images-idx3-ubyte.gz") as images:
        images.seek(16)
        pictures = images.read(SIDE * SIDE * min(count, IMAGES))
    with gzip.open(source / "train-labels-idx1-ubyte.gz") as labels:
        labels.seek(8)
        numbers = labels.read(len(pictures) // SIDE**2)
    for name, dims, content in (("images-idx3", (SIDE, SIDE), pictures), ("labels-idx1", (), numbers)):
        with (folder / f"train-{name}-ubyte").open("wb") as file:
            file.write(bytes((0, 0, 8, 1 + len(dims))) + b"".join(n.to_bytes(4, "big") for n in (count, *dims)))
            size = len(content) // len(numbers)
            for start in range(0, count, len(numbers)):
                file.write(content[: size * min(len(numbers), count - start)])


def write_rows(path: Path, count: int) -> None:
    """Loans of the bundled table, over and over, with a price of their own where they come again."""
    with (BUNDLED / "credit_data.csv").open(newline="") as source, path.open("w", newline="") as file:
        head, *rows = csv.reader(source)
        writer = csv.writer(file)
        writer.writerow(head)
        for number, row in enumerate(islice(cycle(rows), count)):
            writer.writerow([*row[:-1], str(int(row[-1]) + number // len(rows))])


def main() -> None:
    """Two trainings, the second on the clock."""
    from dlzoo.run.train import train
    from dlzoo.schema.reader import from_dict

    for name in sys.argv[1:]:
        config = Path(name)
        began = time.process_time()
        train(from_dict(json.loads(config.read_text())), root=config.parent / "runs", quiet=True)
        seconds = time.process_time() - began
    print(json.dumps({"cpu": seconds}))


if __name__ == "__main__":
    main()
