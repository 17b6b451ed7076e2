"""The command line in a process of its own, warm: forked from one that has imported everything, so that it takes
a fraction of a second, may be killed, starved or patched, and leaves this process as it was.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from threading import Lock
from typing import Any

WARM = ["reliability.warm"]
HERE = Path(__file__).resolve().parents
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE[1]), str(HERE[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
"""Where the fork server, which takes no sys.path, finds what it is to import; without that every command is cold."""
ASKING = Lock()
"""Starting a process asks how all others ended; of two threads that ask at once, one reads 255 instead of the code."""
Arm = Callable[[], None]
"""Called in the new process before the command: patches what is to fail, sets a limit. At module level, or partial."""


@dataclass
class Ended:
    """How a command ended."""

    code: int
    """Its exit code; minus the number of the signal that killed it."""
    out: str
    error: str
    seconds: float
    memory: float
    """Most resident memory in MB; 0 where it was killed."""
    work: float = 0.0
    """Seconds of the processor: on a busy machine, `seconds` says little."""

    @property
    def said(self) -> str:
        """The error message alone: from `error:` to the end."""
        return self.error[self.error.rfind("error: ") :] if "error: " in self.error else ""


@dataclass
class Running:
    """A command under way."""

    process: Any
    folder: Path
    started: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def error(self) -> str:
        """What stderr has so far."""
        return _text(self.folder / "stderr")

    def send(self, number: int) -> None:
        """A signal to the process, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def until(self, met: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something that the command does; AssertionError where it ends or takes too long before."""
        deadline = time.monotonic() + seconds
        while not met():
            assert not wait([self.process.sentinel], 0), f"ended before that: {self.error}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {self.error}"
            time.sleep(0.005)

    def wait(self, seconds: float = 120) -> Ended:
        """How it ended; AssertionError (and the process killed) where it takes longer than that."""
        over = wait([self.process.sentinel], seconds)
        taken = time.monotonic() - self.started
        if not over:
            self.send(signal.SIGKILL)
            raise AssertionError(f"still running after {seconds} s: {self.error}")
        used = self.folder / "used.json"
        spent = json.loads(used.read_text()) if used.exists() else {"memory": 0.0, "work": 0.0}
        with ASKING:
            code = self.process.exitcode
        return Ended(code, _text(self.folder / "stdout"), self.error, taken, **spent)


def start(*arguments: object, cwd: Path, arm: Arm | None = None, env: dict[str, str] | None = None) -> Running:
    """Begin `dlzoo ARGUMENTS` in the folder `cwd`; what it prints is kept beside that folder."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    number = sum(1 for _ in cwd.parent.glob(f".{cwd.name}.command-*"))
    folder = cwd.parent / f".{cwd.name}.command-{number}"
    folder.mkdir()
    process = context.Process(target=_main, args=([str(a) for a in arguments], str(cwd), str(folder), arm, env or {}))
    with ASKING:
        process.start()
    return Running(process, folder)


def dlzoo(
    *arguments: object, cwd: Path, arm: Arm | None = None, env: dict[str, str] | None = None, seconds: float = 120
) -> Ended:
    """`dlzoo ARGUMENTS` in the folder `cwd`, to its end."""
    return start(*arguments, cwd=cwd, arm=arm, env=env).wait(seconds)


def _main(arguments: list[str], cwd: str, folder: str, arm: Arm | None, env: dict[str, str]) -> None:
    """What the new process does."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        handle = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, number)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the fork server ignores Ctrl-C
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    multiprocessing.set_start_method(None, force=True)  # what a command finds on this system, not the fork server's
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["dlzoo", *arguments]
    from dlzoo.cli import main

    code: Any = 0
    try:
        if arm is not None:
            arm()
        main()
    except SystemExit as ended:
        code = ended.code
    finally:
        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = {"memory": used.ru_maxrss / 1024, "work": used.ru_utime + used.ru_stime}
        Path(folder, "used.json").write_text(json.dumps(spent))
    sys.stdout.flush()
    sys.exit(code)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
