"""F24 to F27: worker processes that die, meet a bad sample, are stuck, or lose their parent."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from reliability.command import Running, start
from reliability.faults.runs import FAULTS, content, facts, fast, put, refused, run_of, slow, steps
from reliability.table import Skipped

NOISY = '''\
"""A task that draws in `encode`, so that workers serve it; WORKERS says what befalls them."""

import os
import time

import torch

from dlzoo.errors import DataError
from dlzoo.registry import TASKS
from dlzoo.tasks.image_classification import ImageClassification


@TASKS.register("noisy_images")
class Noisy(ImageClassification):
    """Pictures (B, C, H, W) with noise."""

    draws = True
    drawn = 0

    def encode(self, sample, rng=None):
        example = super().encode(sample)
        if rng is None:
            return example
        self.drawn += 1
        if self.drawn == 500 and os.environ.get("WORKERS") == "raise":
            raise DataError("the picture is broken")
        if self.drawn == 500 and os.environ.get("WORKERS") == "hang":
            time.sleep(600)
        return example | {"image": example["image"] + torch.tensor(rng.choices(range(20), k=64)).view(1, 8, 8).byte()}
'''
CONFIG = """\
task: noisy_images
data: digits
model: {name: mlp, dim: 16}
train: {steps: 12, batch_size: 128, save_every: 3, log_every: 1, threads: 1, workers: 2}
evaluate: {every: 12}
"""


def _train(place: Path, fate: str = "", step: float = 0.0, patience: float = 120.0) -> Running:
    put(place, CONFIG)
    (place / "noisy.py").write_text(NOISY)
    arguments = ("train", "--config", "c.yaml", "--import", "noisy.py")
    return start(*arguments, cwd=place, arm=partial(fast, partial(_arm, step, patience)), env={"WORKERS": fate})


def _arm(step: float, patience: float) -> None:
    from dlzoo.engine import workers

    workers.PATIENCE = patience
    slow(step)


def children(pid: int) -> list[int]:
    """The processes that `pid` has started."""
    if not Path("/proc").is_dir():
        raise Skipped("children are found in /proc")
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return sorted(found)


def _resumed(place: Path) -> None:
    """The run goes on, and is then as it would have been."""
    ended = start("train", "--resume", "last", "--import", "noisy.py", cwd=place, arm=fast).wait()
    assert ended.code == 0, ended.error
    run = run_of(place)
    found = content(run)
    run.rename(place / "first")
    again = _train(place).wait()
    assert again.code == 0 and content(run_of(place)) == found, again.error


@FAULTS.row(
    "F24",
    "a worker that is killed: which, by what, at which sample; saved at the last step, exit 6, resumed without loss",
)
def _(place: Path) -> None:
    running = _train(place, step=0.2)
    running.until(lambda: bool(list(place.glob("runs/*/checkpoints/step-3"))))
    workers = children(running.pid)
    assert len(workers) == 2, workers
    os.kill(workers[1], signal.SIGKILL)
    killed = time.monotonic()
    ended = running.wait(10)
    assert time.monotonic() - killed < 10
    refused(
        ended,
        6,
        "data worker 1 was killed (signal 9)",
        "its last sample was digits:",
        "train.workers is 2: try fewer, or 0",
    )
    run = run_of(place)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert steps(run)[-1] == last >= 3 and facts(run)["code"] == 6, (steps(run), last)
    _resumed(place)


@FAULTS.row("F25", "a worker that meets a bad sample: its place, exit 3, saved at the last step")
def _(place: Path) -> None:
    ended = _train(place, "raise").wait()
    refused(ended, 3, "digits:", "the picture is broken")
    run = run_of(place)
    assert steps(run) == [3, 6] and facts(run)["code"] == 3, steps(run)


@FAULTS.row("F26", "a worker that is stuck: which and at which sample, exit 6, and it is gone")
def _(place: Path) -> None:
    running = _train(place, "hang", patience=1.0)
    running.until(lambda: len(children(running.pid)) == 2)
    workers = children(running.pid)
    ended = running.wait(20)
    refused(ended, 6, "no batch for 1 s: data worker 0 is stuck; its last sample was digits:", "train.workers: 0")
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert steps(run_of(place)) == [3, 6], steps(run_of(place))


@FAULTS.row("F27", "a parent that is killed leaves no worker behind, not even one that is stuck")
def _(place: Path) -> None:
    running = _train(place, "hang")
    running.until(lambda: bool(list(place.glob("runs/*/checkpoints/step-6"))))
    workers = children(running.pid)
    assert len(workers) == 2, workers
    running.send(signal.SIGKILL)
    running.wait()
    deadline = time.monotonic() + 10
    while left := [pid for pid in workers if _alive(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    """Whether a process runs (one that nobody has waited for is not running)."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
