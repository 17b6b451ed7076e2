"""Row start: seconds from the command to the end of the first update, beside a bare script.

    python -m benchmarks.start PEER FOLDER THREADS

Both train the network of configs/image_classification/digits_lenet.yaml on scikit-learn's digits.
"""

import json
import os
import sys
import time
from typing import Any

from benchmarks import pairs
from benchmarks.pairs import median, ratio
from benchmarks.settings import ROOT, Settings, module
from benchmarks.table import Table, spread

CONFIG = ROOT / "configs" / "image_classification" / "digits_lenet.yaml"


def measure(settings: Settings) -> Table:
    """Seconds and CPU seconds to the first update; how many times the bare script's that is."""
    commands = {peer: module("start", peer, settings.folder, settings.threads) for peer in ("dlzoo", "bare")}
    found = pairs.fresh(commands, settings)
    seconds = {peer: [turn.facts["at"] - turn.began for turn in turns] for peer, turns in found.items()}
    table = Table(["", "first update after", "CPU time", "of bare"])
    for peer, turns in found.items():
        cpu = median([turn.cpu for turn in turns])[0]
        times = spread(ratio(seconds[peer], seconds["bare"]))
        table.lines.append([peer, f"{median(seconds[peer])[0]:.2f} s", f"{cpu:.2f} s", times])
    table.notes.append(
        "Before its first update dlzoo has also cut the splits, scored the untrained network and written a run folder."
    )
    return table


def stop() -> None:
    """Say when this was, and end at once."""
    print(json.dumps({"at": time.monotonic()}), flush=True)
    os._exit(0)


def train_dlzoo(folder: str, threads: int) -> None:
    """`dlzoo train --config CONFIG`, ended after an update."""
    from dlzoo import cli
    from dlzoo.run import session

    take = session.Session.take

    def taken(this: Any, row: Any) -> None:
        take(this, row)
        stop()

    session.Session.take = taken  # type: ignore[method-assign]
    sys.argv = ["dlzoo", "train", "--config", str(CONFIG), "--runs", folder, "--set", f"train.threads={threads}"]
    cli.main()


def train_bare(folder: str, threads: int) -> None:
    """The script that one writes by hand."""
    import torch
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    digits = load_digits()
    x = torch.from_numpy(digits.images).float()[:, None] / 16
    y = torch.from_numpy(digits.target).long()
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64)):
        layers += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    layers += [nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Dropout(0.3), nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    chosen = torch.randperm(len(x))[:64]
    F.cross_entropy(model(x[chosen]), y[chosen]).backward()
    optimizer.step()
    stop()


if __name__ == "__main__":
    {"dlzoo": train_dlzoo, "bare": train_bare}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
