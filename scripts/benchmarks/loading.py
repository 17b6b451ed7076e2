"""Two epochs of a folder of pictures, as training gets them: batches of 128, normalised, shuffled.

    python -m benchmarks.loading PEER FOLDER WORKERS THREADS

Prints the seconds of each epoch, the pictures of one, and the CPU seconds before the first. The first begins where the
loader is made: what dlzoo encodes once is in it, the search of the folder for files is not.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BATCH = 128
USUAL = 224
"""The side of pictures that are not all of one size; dlzoo's own."""


def dlzoo(folder: Path, workers: int, threads: int) -> Iterator[int]:
    """How many pictures there are, when all is ready to begin; then those of each batch of two epochs, by dlzoo."""
    from dlzoo.engine.runtime import Runtime
    from dlzoo.run.built import build
    from dlzoo.schema.reader import from_dict

    config = from_dict(
        {
            "task": "image_classification",
            "data": {"name": "image_folder", "path": str(folder), "test": 0, "hold_out": 0},
            "model": {"name": "mlp", "dim": 8, "depth": 1},
            "train": {"epochs": 2, "batch_size": BATCH, "workers": workers, "threads": threads},
        }
    )
    built = build(config, Runtime(config.train))
    yield len(built.pieces["train"])
    loader = built.loader()
    for batches in loader.windows(0, 2 * len(loader)):
        yield sum(len(batch.inputs["x"]) for batch in batches)


def torchvision(folder: Path, workers: int, threads: int) -> Iterator[int]:
    """The same by torchvision's ImageFolder and torch's DataLoader."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

    torch.set_num_threads(threads)
    steps: list[Any] = [ToTensor(), Normalize([0.5] * 3, [0.25] * 3)]
    dataset = ImageFolder(str(folder))
    if len({Image.open(file).size for file, _ in dataset.samples[:: max(1, len(dataset) // 500)]}) > 1:
        steps[:0] = [Resize(USUAL), CenterCrop(USUAL)]
    dataset.transform = Compose(steps)
    loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=workers)
    yield len(dataset)
    for _ in range(2):
        for x, _ in loader:
            yield len(x)


def main() -> None:
    peer, folder, workers, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    batches = {"dlzoo": dlzoo, "torchvision": torchvision}[peer](folder, workers, threads)
    count = next(batches)
    before, stamps, seen = time.process_time(), [time.perf_counter()], 0
    for pictures in batches:
        seen += pictures
        if seen == count * len(stamps):
            stamps.append(time.perf_counter())
    assert len(stamps) == 3, f"{seen} pictures came, not twice {count}"
    epochs = [after - begin for begin, after in zip(stamps, stamps[1:], strict=False)]
    print(json.dumps({"epochs": epochs, "pictures": count, "before": before}))


if __name__ == "__main__":
    main()
