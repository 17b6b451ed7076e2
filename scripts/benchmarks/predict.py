"""Row predict: rows and pictures a second that `dlzoo predict` answers, the pictures beside a bare loop.

    python -m benchmarks.predict PEER RUN OUTPUT THREADS < LIST OF FILES

Prints the seconds for all files, after one has been answered: without the start, which the row `start` is about.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import pairs, pictures
from benchmarks.pairs import Ran, median, ratio
from benchmarks.settings import Settings, dlzoo, module
from benchmarks.size import write_rows
from benchmarks.table import Table, spread

ROWS, PICTURES, BATCH, SIDE = 20_000, 1000, 64, 32


def measure(settings: Settings) -> Table:
    """Answers a second and peak memory, of a table and of pictures; dlzoo's speed against the bare loop."""
    rows, few = settings.folder / "predict.csv", settings.folder / "few.csv"
    write_rows(rows, settings.some(ROWS))
    write_rows(few, 100)
    files = pictures.files(settings, settings.some(PICTURES))
    table = {"name": "table", "path": str(rows), "target": "Status"}
    folder = {"name": "image_folder", "path": str(pictures.folder(settings))}
    credit = _trained("tabular_classification", table, {"name": "mlp", "dim": 64, "depth": 1}, settings)
    net = {"name": "lenet", "channels": [16, 32], "hidden": [128], "kernel": 3}
    clothes = _trained({"name": "image_classification", "size": SIDE}, folder, net, settings)
    found = pairs.fresh(
        {
            "rows, dlzoo": _command("dlzoo", credit, [few, rows], settings),
            "pictures, dlzoo": _command("dlzoo", clothes, [files[0], *files], settings),
            "pictures, bare": _command("bare", clothes, [files[0], *files], settings),
        },
        settings,
    )
    counts = {"rows": settings.some(ROWS), "pictures": len(files)}
    result = Table(["", "answers", "seconds", "answers/s", "peak memory"])
    for name, turns in found.items():
        count, middle = counts[name.split(",")[0]], median(_seconds(turns))[0]
        peak = median([turn.peak for turn in turns])[0]
        result.lines.append([name, f"{count:,}", f"{middle:.3f} s", f"{count / middle:,.0f}", f"{peak:,.0f} MiB"])
    speed = ratio(_seconds(found["pictures, bare"]), _seconds(found["pictures, dlzoo"]))
    result.notes.append(f"dlzoo's speed against bare, for pictures: {spread(speed)}, by wall time.")
    return result


def _trained(task: object, data: dict[str, str], model: dict[str, object], settings: Settings) -> Path:
    """A run of a few updates: what it answers is worth nothing, and takes as long."""
    runs = settings.folder / f"{data['name']}_runs"
    config = {
        "task": task,
        "data": {**data, "test": 0, "hold_out": 0},
        "model": model,
        "train": {"steps": 5, "threads": settings.threads},
    }
    path = settings.folder / f"{data['name']}.yaml"
    path.write_text(json.dumps(config))
    found = pairs.run(dlzoo("train", "--config", path, "--runs", runs, "--json"), settings)
    return settings.folder / json.loads(found.out)["run"]


def _command(peer: str, run: Path, files: list[Path], settings: Settings) -> list[str]:
    listed = settings.folder / f"{run.name}.json"
    listed.write_text(json.dumps(list(map(str, files))))
    return module("predict", peer, run, listed, settings.folder / f"{peer}.csv", settings.threads)


def _seconds(turns: list[Ran]) -> list[float]:
    return [turn.facts["seconds"] for turn in turns]


def answer_dlzoo(run: Path, output: Path, threads: int) -> Callable[[list[str]], None]:
    """`dlzoo predict RUN FILE... -o OUTPUT`."""
    from dlzoo.run.predict import predict

    def answer(files: list[str]) -> None:
        output.unlink(missing_ok=True)
        predict(run, files, output=output)

    return answer


def answer_bare(run: Path, output: Path, threads: int) -> Callable[[list[str]], None]:
    """What one writes by hand: Pillow, a batch of 64, a line of probabilities each."""
    import numpy as np
    import torch
    from PIL import Image
    from torch import nn

    torch.set_num_threads(threads)
    convs = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    convs += [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*convs, nn.Flatten(), nn.Linear(32 * (SIDE // 4) ** 2, 128), nn.ReLU(), nn.Linear(128, 10))
    model.eval()

    def answer(files: list[str]) -> None:
        with torch.inference_mode(), output.open("w") as lines:
            for start in range(0, len(files), BATCH):
                chosen = files[start : start + BATCH]
                pixels = [np.array(Image.open(file).convert("RGB").resize((SIDE, SIDE))) for file in chosen]
                x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float().div_(255).sub_(0.5).div_(0.25)
                for file, row in zip(chosen, model(x).softmax(1).tolist(), strict=True):
                    lines.write(f"{file},{max(range(10), key=row.__getitem__)},{','.join(map(str, row))}\n")

    return answer


def main() -> None:
    """The first file, then the others with the clock running."""
    peer, run, listed, output, threads = sys.argv[1:]
    answer = {"dlzoo": answer_dlzoo, "bare": answer_bare}[peer](Path(run), Path(output), int(threads))
    first, *files = json.loads(Path(listed).read_text())
    answer([first])
    began = time.perf_counter()
    answer(files)
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
