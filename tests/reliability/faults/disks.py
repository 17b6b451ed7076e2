"""F10, F11, F28 to F33: full disks, places that cannot be written, folders that vanish, clocks that jump."""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from dlzoo import files
from reliability.command import start
from reliability.faults.runs import (
    DIGITS,
    FAULTS,
    at_step,
    content,
    facts,
    fast,
    nothing_unfinished,
    put,
    refused,
    resume,
    run_of,
    slow,
    steps,
    stopped,
    train,
    whole,
)
from reliability.table import Skipped


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[int]:
    """A disk of that size at `folder`, seen by those who join the process of this number; Skipped where not allowed."""
    folder.mkdir()
    script = f'mount -t tmpfs -o size={size} none "{folder}" && echo ready && exec cat'
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(["unshare", "-Urm", "sh", "-c", script], **pipes) as holder:
        try:
            if holder.stdout.readline() != "ready\n":
                raise Skipped("an unprivileged process may not mount a disk of its own here")
            yield holder.pid
        finally:
            holder.kill()


def _join(pid: int, cwd: str) -> None:
    """See the disks that process `pid` sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name in ("user", "mnt"):
        handle = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
        if libc.setns(handle, 0):
            raise OSError(ctypes.get_errno(), f"setns {name}")
        os.close(handle)
    os.chdir(cwd)


@FAULTS.row(
    "F10", "disk full at a checkpoint: older ones make room; else it says what it needs; the newest stays, exit 6"
)
def _(place: Path) -> None:
    put(place, DIGITS.replace("dim: 16", "dim: 450").replace("evaluate: {every: 6}", "evaluate: {every: 12}"))
    disk = place / "runs"
    for size, code in (("8m", 0), ("5m", 6)):
        with small_disk(disk, size) as holder:
            ended = train(place, arm=partial(_join, holder, str(place)))
            seen = Path(f"/proc/{holder}/root{disk}")
            (run,) = (path for path in seen.iterdir() if path.is_dir())
            nothing_unfinished(run)
            if code == 0:
                assert ended.code == 0 and steps(run)[-1] == 12, ended.error
            else:
                refused(ended, 6, "cannot save step 6: needs 2.", " MB free in runs/c-001/checkpoints; step 3 is kept")
                assert steps(run) == [3] and facts(run)["code"] == 6
        disk.rmdir()


def _full() -> None:
    from dlzoo.engine.record import Record

    begin = Record.start

    def begun(self: Record, step: int, steps: int) -> None:
        begin(self, step, steps)
        self._files = {name: open("/dev/full", "a", buffering=1) for name in self._files}  # noqa: SIM115

    Record.start = begun


@FAULTS.row("F11", "disk full at a line of metrics.jsonl or log.txt: warned once, the training goes on, exit 0")
def _(place: Path) -> None:
    put(place)
    ended = train(place, arm=_full)
    assert ended.code == 0 and ended.error.count("warning: cannot write") == 1, ended.error
    assert "the training goes on" in ended.error and "some of metrics.jsonl and log.txt is missing" in ended.error
    assert steps(run_of(place))[-1] == 12


def _nobody() -> None:
    """Runs are made by a user who may do nothing; root may write everywhere."""
    make = files.new_run

    def made(root: Path, name: str) -> Path:
        os.seteuid(65534)
        try:
            return make(root, name)
        finally:
            os.seteuid(0)

    files.new_run = made


@FAULTS.row("F28", "a folder that may not be written: refused before the training, exit 7")
def _(place: Path) -> None:
    put(place)
    place.chmod(0o555)
    ended = train(place, arm=_nobody if os.geteuid() == 0 else None)
    place.chmod(0o755)
    refused(ended, 7, "cannot write runs: Permission denied")
    assert "updates of" not in ended.error and not (place / "runs").exists()


@FAULTS.row(
    "F29", "a run's folder that vanishes: exit 7, half a run is not made in its place; its checkpoints are made again"
)
def _(place: Path) -> None:
    put(place)
    ended = train(place, arm=partial(at_step, 8, partial(os.rename, "runs/c-001", "elsewhere")))
    refused(ended, 7, "runs/c-001 is gone", "moved or removed", "--resume")
    assert not (place / "runs" / "c-001").exists() and steps(place / "elsewhere") == [3, 6]
    assert resume(place, "elsewhere").code == 0 and content(place / "elsewhere") == whole()
    ended = train(place, arm=partial(at_step, 8, partial(shutil.rmtree, "runs/c-001/checkpoints")))
    assert ended.code == 0 and "runs/c-001/checkpoints was removed; it is made again" in ended.error, ended.error
    assert steps(run_of(place)) == [9, 12]


@FAULTS.row("F30", "two at once in one run: the second says who has it and since when, exit 7")
def _(place: Path) -> None:
    stopped(place)
    running = start("train", "--resume", "last", cwd=place, arm=partial(fast, partial(slow, 1.0)))
    running.until(lambda: "resuming from" in running.error)
    refused(resume(place), 7, f"already in use by pid {running.pid} on ", " since 20")
    running.send(signal.SIGKILL)
    running.wait()


@FAULTS.row("F31", "a lock that a killed process left holds nobody up")
def _(place: Path) -> None:
    run = stopped(place)
    running = start("train", "--resume", "last", cwd=place, arm=partial(fast, partial(slow, 1.0)))
    running.until(lambda: "resuming from" in running.error)
    running.send(signal.SIGKILL)
    assert running.wait().code == -signal.SIGKILL and f"pid {running.pid}" in (run / ".lock").read_text()
    assert resume(place).code == 0 and content(run) == whole()


@FAULTS.row("F32", "a place that is a file or has a name of 300 letters: exit 7 (no argument can hold a NUL)")
def _(place: Path) -> None:
    put(place)
    (place / "file").write_text("")
    for name in ("file", "x" * 300):
        ended = train(place, "--runs", name)
        refused(ended, 7, "cannot write")
        assert len(ended.said) < 400 and "updates of" not in ended.error


def _restless() -> None:
    """A clock that jumps back and forth by up to a day."""
    now, by = time.time, random.Random(1)
    time.time = lambda: now() + by.uniform(-86400, 86400)
    touch = files._sync

    def touched(path: Path) -> None:
        touch(path)
        os.utime(path, (moment := time.time(), moment))

    files._sync = touched


@FAULTS.row("F33", "a clock that jumps: the newest checkpoint is that of the latest step, and no duration is negative")
def _(place: Path) -> None:
    put(place)
    assert train(place, arm=partial(_jumping_and_stopped, 8)).code == 143
    run = run_of(place)
    os.utime(run / "checkpoints" / "step-6", (4e9, 4e9))
    ended = resume(place, arm=_restless)
    assert ended.code == 0 and "resuming from step 8 " in ended.error, ended.error
    seconds = [json.loads(line)["seconds"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert content(run) == whole() and seconds == sorted(seconds) and 0 <= seconds[0] <= seconds[-1] < 60, seconds
    assert 0 <= facts(run)["seconds"] < 60


def _jumping_and_stopped(step: int) -> None:
    from reliability.faults.signals import send

    _restless()
    at_step(step, partial(send, "SIGTERM"))
