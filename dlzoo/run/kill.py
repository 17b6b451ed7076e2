"""Where a training is killed: as it comes to a step or to a call that makes a file lasting, or at any moment."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any

from dlzoo.engine import checkpoint, weights
from dlzoo.run.session import Session

POINTS: dict[str, tuple[Any, str]] = {
    "step": (Session, "take"),
    "evaluation": (Session, "evaluate"),
    "write": (weights, "save"),
    "fsync": (os, "fsync"),
    "rename": (os, "rename"),
    "replace": (os, "replace"),
    "prune": (checkpoint, "prune"),
    "unlink": (os, "unlink"),
}
"""Calls that a kill may come before or after. `take` ends an update; `unlink` stands in the middle of a pruning."""
WRITING = ("write", "fsync", "rename", "replace", "prune", "unlink")
MOMENT = "moment"
"""The point of a kill that comes from outside, at any moment, in the middle of whatever that is."""


@dataclass(frozen=True)
class Kill:
    """One SIGKILL."""

    point: str
    """One of POINTS, or MOMENT."""
    number: int = 0
    """At the so-manieth time (from 1) that a process comes to that point."""
    after: bool = False
    """After that call, not before it."""
    seconds: float = 0.0
    """For a MOMENT: how long after the process has begun."""

    def arm(self) -> None:
        """Let this process kill itself there."""
        if self.point != MOMENT:
            _wrap(self.point, _Fuse(os.getpid(), self))


class _Fuse:
    """Counts how often a point is come to, and kills the process at its time."""

    def __init__(self, pid: int, kill: Kill):
        self.pid, self.kill, self.seen = pid, kill, 0

    def __call__(self, act: Callable[[], Any]) -> Any:
        self.seen += 1
        due = self.seen == self.kill.number
        if due and not self.kill.after:
            os.kill(self.pid, signal.SIGKILL)
        result = act()
        if due:
            os.kill(self.pid, signal.SIGKILL)
        return result


def count(file: Path) -> Callable[[], None]:
    """Count from now on how often this process comes to each point; what is returned writes the counts to `file`."""
    seen: Counter[str] = Counter()

    def write() -> None:
        file.write_text(json.dumps(seen), encoding="utf-8")

    def counted(point: str) -> Callable[[Callable[[], Any]], Any]:
        def around(act: Callable[[], Any]) -> Any:
            seen[point] += 1
            return act()

        return around

    for point in POINTS:
        _wrap(point, counted(point))
    return write


def draw(rng: Random, seen: dict[str, int], seconds: float, points: tuple[str, ...] = (*POINTS, MOMENT)) -> Kill:
    """A random kill of a process that comes to each point as often as `seen` says, and takes so many `seconds`."""
    point = rng.choice([point for point in points if point == MOMENT or seen.get(point)])
    if point == MOMENT:
        return Kill(MOMENT, seconds=rng.uniform(0, seconds))
    return Kill(point, rng.randint(1, seen[point]), after=rng.random() < 0.5)


def _wrap(point: str, around: Callable[[Callable[[], Any]], Any]) -> None:
    home, name = POINTS[point]
    act = getattr(home, name)

    @wraps(act)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return around(lambda: act(*args, **kwargs))

    setattr(home, name, wrapped)
