"""Participants that take turns, round after round, so that whatever else the machine does falls on all of them."""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.settings import Settings, module

UNIT = 2**20 if sys.platform == "darwin" else 2**10
"""What getrusage counts memory in, as a part of a MiB."""


@dataclass
class Participant:
    """A process that waits for its turn; what it measured, turn by turn."""

    name: str
    process: subprocess.Popen[str]
    log: Path
    turns: list[dict[str, Any]] = field(default_factory=list)

    def turn(self, updates: int, keep: bool = True) -> None:
        """Run so many updates; kept for the figures unless it is a warm-up."""
        stdin, stdout = pipes(self.process)
        stdin.write(f"{updates}\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended: {self.log.read_text()[-2000:]}")
        if keep:
            self.turns.append(json.loads(line) | {"updates": updates})

    def rates(self, clock: str = "cpu") -> list[float]:
        """Updates a second of cpu or wall time, a turn each."""
        return [turn["updates"] / turn[clock] for turn in self.turns]

    def close(self) -> None:
        stdin, stdout = pipes(self.process)
        stdin.close()
        self.process.wait(30)
        stdout.close()


def pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    """Both ends of a process that was started with both."""
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


def start(peer: str, workload: str, settings: Settings) -> Participant | None:
    """A participant that is ready; None where its library is not installed."""
    with tempfile.NamedTemporaryFile("w", dir=settings.folder, suffix=".log", delete=False) as log:
        process = subprocess.Popen(
            module("participant", peer, workload, settings.images, settings.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=settings.environment,
        )
    if not pipes(process)[1].readline():
        process.communicate()
        if "ModuleNotFoundError" in (said := Path(log.name).read_text()):
            return None
        raise SystemExit(f"{peer} could not start: {said[-2000:]}")
    return Participant(peer, process, Path(log.name))


def interleaved(participants: list[Participant], updates: int, rounds: int) -> None:
    """A warm-up turn each, then `rounds` of turns; every other round goes backwards."""
    for one in participants:
        one.turn(max(20, updates // 5), keep=False)
    for number in range(rounds):
        for one in participants[:: 1 if number % 2 == 0 else -1]:
            one.turn(updates)


@dataclass
class Ran:
    """A process that has ended, all that it started counted in."""

    began: float
    """On the monotonic clock, which processes share."""
    wall: float
    cpu: float
    peak: float
    """MiB of the largest of its processes."""
    out: str

    @property
    def facts(self) -> dict[str, Any]:
        """What its last line says."""
        found: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return found


def run(command: list[str], settings: Settings) -> Ran:
    """Run a command to its end.

    A process inherits the peak of the one that started it, so nothing large is imported or read here.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=said, cwd=settings.folder, env=settings.environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {said.read()[-2000:]}")
        return Ran(began, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / UNIT, out.read())


def fresh(commands: dict[str, list[str]], settings: Settings) -> dict[str, list[Ran]]:
    """Every command in a fresh process, turn by turn; a turn that is not counted warms the disk's cache."""
    found: dict[str, list[Ran]] = {name: [] for name in commands}
    for number in range(-1 if settings.rounds > 1 else 0, settings.rounds):
        for name in list(commands)[:: 1 if number % 2 == 0 else -1]:
            one = run(commands[name], settings)
            if number >= 0:
                found[name].append(one)
    return found


def median(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and its distribution-free interval of 95 % or a little more (ranks 2 and 8 of 9: 96 %).

    Fewer than six values are too few for it: theirs is the whole range.
    """
    ordered = sorted(values)
    n, outside = len(ordered), -1
    while sum(math.comb(n, k) for k in range(outside + 2)) / 2**n <= 0.025:
        outside += 1
    rank = max(0, outside)
    return statistics.median(ordered), ordered[rank], ordered[-1 - rank]


def ratio(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """How many times one is the other, round by round: the median and its interval."""
    return median([a / b for a, b in zip(one, other, strict=True)])
