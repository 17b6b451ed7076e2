"""Every shipped config is valid, fits its data, and trains; its head says what it costs and what it reaches."""

import re
from pathlib import Path

import pytest
import torch

from dlzoo.data.dataset import Subset
from dlzoo.engine.loader import Loader, batches
from dlzoo.engine.loop import evaluate, train
from dlzoo.engine.runtime import Runtime
from dlzoo.run.built import build
from dlzoo.run.opened import opened
from dlzoo.run.session import Session

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_says_its_command_its_minutes_and_its_score(path):
    head = path.read_text().splitlines()[0]
    assert head.startswith(f"# dlzoo train --config {path.relative_to(ROOT)}")
    assert re.search(r"[\d.]+ (minutes?|seconds?) on (1 core|2 cores); .*\d", head), head


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_takes_two_steps_and_is_scored(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for given in re.findall(r"\bpath: ([\w./]+)|\b(data/[\w./]+)", path.read_text()):
        if not Path("".join(given)).exists():
            pytest.skip(f"{''.join(given)} is not here: data that may not be shipped")
    with opened(path, ["train.device=cpu", "train.threads=1"]) as config:
        built = build(config, Runtime(config.train))
    pieces = {name: _few(built.task, split, name) for name, split in built.splits.items()}
    loader = Loader(built.task, pieces["train"], batch_size=min(8, config.train.batch_size))
    session = Session(built.config, built.task, built.network, built.runtime, steps=2)
    rows = list(train(session.network, built.task, loader, session.optimizer, built.runtime, session.lr, steps=2))
    assert [row.step for row in rows] == [1, 2] and all(torch.isfinite(row.loss) for row in rows)
    some = next(iter(batches(built.task, pieces["test"], 4)))
    assert evaluate(session.network, built.task, [some], built.runtime).count == len(some.indices)


def _few(task, split, name):
    """Windows of a long text or series as they are; of many samples the first few of each class."""
    pieces = task.pieces(split, name)
    return pieces if hasattr(pieces, "gather") else Subset(split.dataset, split.indices[:: max(1, len(split) // 64)])
