"""F34 to F37: several processes of which one dies, raises, hangs, or has less to do than the others."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from reliability.command import Arm, Running, start
from reliability.faults.runs import DIGITS, FAULTS, at_step, content, facts, fast, put, refused, resume, run_of, steps
from reliability.faults.signals import send
from reliability.faults.workers import children

PAIR = DIGITS.replace("{every: 6}", "{every: 6, batch_size: 64}")


def _pair(place: Path, *arguments: object, arms: tuple[Arm | None, Arm | None] = (None, None)) -> list[Running]:
    """Two processes of one run that find each other as under torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        start(*arguments, cwd=place, arm=partial(fast, arm), env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank, arm in enumerate(arms)
    ]


def _resumed(place: Path) -> None:
    """The run goes on in two processes, and is then as if nothing had been."""
    assert [rank.wait().code for rank in _pair(place, "train", "--resume", "last")] == [0, 0]
    run = run_of(place)
    found = content(run)
    run.rename(place / "first")
    assert [rank.wait().code for rank in _pair(place, "train", "--config", "c.yaml")] == [0, 0]
    assert content(run_of(place)) == found


@FAULTS.row(
    "F34",
    "under torchrun a process that is killed ends all of them, exit 6 in the run, and the run goes on",
    quick=False,
)
def _(place: Path) -> None:
    put(place, PAIR.replace("steps: 12", "steps: 100000").replace("save_every: 3", "save_every: 50"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "dlzoo", "train", "--config", "c.yaml"]
    with (
        (place / "said").open("wb") as said,
        subprocess.Popen(command, cwd=place, stdout=said, stderr=said, start_new_session=True) as torchrun,
    ):
        ranks: list[int] = []
        try:
            deadline = time.monotonic() + 90
            while not list(place.glob("runs/*/checkpoints/step-50")):
                assert time.monotonic() < deadline and torchrun.poll() is None, (place / "said").read_text()
                time.sleep(0.05)
            ranks = children(torchrun.pid)
            assert len(ranks) == 2, ranks
            os.kill(ranks[1], signal.SIGKILL)
            assert torchrun.wait(60) != 0
            assert not [pid for pid in ranks if Path(f"/proc/{pid}").exists()]
        finally:
            for pid in (torchrun.pid, *(ranks or children(torchrun.pid))):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    text, run = (place / "said").read_text(), run_of(place)
    assert "exitcode" in text and "another process of this run died" in text, text
    assert facts(run)["code"] == 6 and steps(run), facts(run)
    step = steps(run)[-1]
    ended = resume(place, arm=partial(at_step, step + 1, partial(send, "SIGTERM")))
    assert ended.code == 143 and f"resuming from step {step} " in ended.error.replace(",", ""), ended.error


def _bad_data() -> None:
    from dlzoo.errors import DataError

    raise DataError("pictures.csv:12: the picture is broken")


@FAULTS.row("F35", "one of several processes meets an error: its message is the one that counts, and the run goes on")
def _(place: Path) -> None:
    put(place, PAIR)
    first, second = _pair(place, "train", "--config", "c.yaml", arms=(None, partial(at_step, 7, _bad_data)))
    refused(second.wait(30), 3, "pictures.csv:12: the picture is broken")
    refused(first.wait(30), 6, "another process of this run died", "look for its own message above", "train --resume")
    assert steps(run_of(place)) == [3, 6]
    _resumed(place)


def _impatient(seconds: int) -> None:
    from datetime import timedelta

    from dlzoo.engine import processes

    processes.TIMEOUT = timedelta(seconds=seconds)


def _hung() -> None:
    _impatient(2)
    at_step(7, partial(time.sleep, 600))


@FAULTS.row("F36", "one of several processes hangs: the others give up after the timeout, exit 6")
def _(place: Path) -> None:
    put(place, PAIR)
    first, second = _pair(place, "train", "--config", "c.yaml", arms=(partial(_impatient, 2), _hung))
    ended = first.wait(30)
    second.send(signal.SIGKILL)
    second.wait()
    refused(ended, 6, "another process of this run died or did not answer within 2 s", "train --resume")
    assert steps(run_of(place)) == [3, 6] and facts(run_of(place))["code"] == 6


UNEVEN = """\
task: tabular_regression
data: {name: table, path: data.csv, target: y, hold_out: 2, test: 1, split: random}
model: {name: mlp, dim: 4, dropout: 0}
train: {epochs: 1, batch_size: 16, accumulate: 2, log_every: 1, threads: 1}
"""


def _rows(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@FAULTS.row("F37", "processes with unequal shares of a window, or none of it, learn what one process does", quick=False)
def _(place: Path) -> None:
    """Last windows of 2 to 17; tests/test_loader.py has the shares of all lengths."""
    put(place, UNEVEN)
    for length in (2, 3, 9, 17):
        count = 16 + length + 3
        (place / "data.csv").write_text("a,y\n" + "".join(f"{i % 7},{i % 5 + i / 9}\n" for i in range(count)))
        alone = start("train", "--config", "c.yaml", "--name", f"one{length}", cwd=place, arm=fast).wait()
        assert alone.code == 0, alone.error
        for rank in _pair(place, "train", "--config", "c.yaml", "--name", f"two{length}"):
            assert (ended := rank.wait()).code == 0, ended.error
        for one, two in zip(*(_rows(place / f"runs/{name}{length}-001") for name in ("one", "two")), strict=True):
            for key in one.keys() - {"seconds", "split"}:
                assert abs(one[key] - two[key]) <= 1e-4 * abs(one[key]), (length, key, one, two)
