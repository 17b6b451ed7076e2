"""Processes forked from this one, in which nothing is left to import: a training that begins in a blink, and may be
killed and begun again.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from dlzoo import terminal
from dlzoo.config import Config
from dlzoo.engine.loader import batches
from dlzoo.engine.loop import evaluate
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import UserError
from dlzoo.run import report
from dlzoo.run.built import Built, build
from dlzoo.run.memory import explained
from dlzoo.run.session import Session


@dataclass
class Child:
    """A process that this one has forked; a `with` block does not leave it alive."""

    pid: int
    log: Path
    """What it prints, on stdout and on stderr."""
    started: float = field(default_factory=time.monotonic)
    code: int | None = None
    """Its exit code once it has ended; minus the number of the signal that ended it."""

    def ended(self) -> bool:
        """Whether it has ended, without waiting."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def wait(self, seconds: float = math.inf) -> int:
        """Its exit code; it is killed where it lives for so many seconds."""
        while not self.ended():
            if time.monotonic() - self.started >= seconds:
                self.kill()
            time.sleep(0.001)
        assert self.code is not None
        return self.code

    def kill(self) -> None:
        """End it by SIGKILL, if it has not ended yet."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
            self.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def said(self) -> str:
        """Its error message, without `error: `; all that it said where there is none."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip() if self.log.exists() else ""
        return text.rpartition("error: ")[2] or f"exit code {self.code}"


def warm(config: Config) -> Built:
    """Build all that `config` names and score two pieces, on the CPU, so that a fork has nothing left to import.

    In one thread, because a pool of threads would not outlive a fork. Raises as `train` does for what cannot work, and
    UserError under torchrun.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("this command starts processes of its own: start it without torchrun")
    with explained(config):
        precision = "float32" if config.train.precision == "tf32" else config.train.precision
        host = replace(config.train, device="cpu", threads=1, compile=False, cuda_graphs=False, precision=precision)
        built = build(replace(config, train=host), Runtime(host))
        session = Session(built.config, built.task, built.network, built.runtime, steps=1)
        session.optimizer.zero_grad()
        few = batches(built.task, built.pieces.get("validation", built.pieces["train"]), 2)
        evaluate(session.network, built.task, islice(few, 1), built.runtime, detail=True)
    return built


def fork(act: Callable[[], int], log: Path) -> Child:
    """`act` in a process of its own, whose exit code it returns; a user's mistake becomes a message in `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return Child(pid, log)
    code = 1
    try:
        _alone(log)
        with terminal.guarded():
            code = act()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # what the parent would do at its own end is not for us to do


def _alone(log: Path) -> None:
    """Print into `log`, draw no figures, and end with the parent, where the kernel can see to that."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(handle, number)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    for name in ("scored", "curves"):
        setattr(report, name, lambda *_: [])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
