"""Participants that take turns, round after round, so that whatever else the machine does falls on all of them."""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass
class Participant:
    """A process that waits for its turn; what it measured, turn by turn."""

    name: str
    process: subprocess.Popen
    turns: list[dict] = field(default_factory=list)

    def turn(self, updates: int, keep: bool = True) -> None:
        """Run so many updates; kept for the figures unless it is a warm-up."""
        self.process.stdin.write(f"{updates}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended: {self.process.stderr.read()[-2000:]}")
        if keep:
            self.turns.append(json.loads(line) | {"updates": updates})

    def rates(self) -> list[float]:
        """Updates a second of CPU time, a turn each."""
        return [turn["updates"] / turn["cpu"] for turn in self.turns]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)


def start(peer: str, workload: str, data: Path, threads: int, log: Path) -> Participant | None:
    """A participant that is ready; None where its library is not installed."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(HERE.parents[1])}
    process = subprocess.Popen(
        [sys.executable, str(HERE / "participant.py"), peer, workload, str(data), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log.open("a"),
        text=True,
        env=environment,
    )
    if not process.stdout.readline():
        process.wait()
        if "ModuleNotFoundError" in log.read_text():
            return None
        raise SystemExit(f"{peer} could not start; see {log}")
    return Participant(peer, process)


def interleaved(participants: list[Participant], updates: int, rounds: int) -> None:
    """A warm-up turn each, then `rounds` of turns; every other round goes backwards."""
    for one in participants:
        one.turn(max(20, updates // 5), keep=False)
    for number in range(rounds):
        for one in participants[:: 1 if number % 2 == 0 else -1]:
            one.turn(updates)


def median(values: list[float]) -> tuple[float, float, float]:
    """The median and its distribution-free interval of 95 % or a little more (ranks 2 and 8 of 9: 96 %)."""
    ordered = sorted(values)
    rank = {9: 1, 7: 0, 11: 1}.get(len(ordered), 0)
    return statistics.median(ordered), ordered[rank], ordered[-1 - rank]


def ratio(one: Participant, other: Participant) -> tuple[float, float, float]:
    """How many times faster one is than the other, round by round: the median and its interval."""
    return median([a / b for a, b in zip(one.rates(), other.rates(), strict=True)])
