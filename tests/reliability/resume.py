"""Kills: a training that is killed, wherever that is, and resumed ends bit for bit as the one that was not."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from dlzoo.run import kill, verify
from reliability.command import dlzoo
from reliability.kinds import Kind, kinds
from reliability.table import Table

RESUME = Table("resume", "bit-identical", "each killed 1 to 3 times and resumed; weights, optimizer, log, predictions")
RUNS = 5
QUICK = (0, 31)
"""Kinds that are tried with `--quick`: one cached, one with workers."""
QUICKLY = {"TMPDIR": "/dev/shm"} if os.access("/dev/shm", os.W_OK) else {}
"""A kill is the same wherever files are; the disk only makes it slow."""


def in_writes() -> None:
    """From now on every kill comes in the writing or pruning of a checkpoint or a model."""
    verify.draw = partial(kill.draw, points=kill.WRITING)


def killed(kind: Kind, number: int, writing: bool, place: Path) -> None:
    options = [*kind.put(place), "--runs", RUNS, "--steps", kind.values["train"]["steps"], "--seed", number]
    ended = dlzoo("verify-resume", *options, cwd=place, arm=in_writes if writing else None, env=QUICKLY, seconds=300)
    assert ended.code == 0, f"{ended.said}\n{ended.out}"
    assert ended.out.count(": max |Δw| = 0\n") == RUNS, ended.out


for number, kind in enumerate(kinds()):
    writing = number % 3 == 1
    where = "in the midst of writing" if writing else "anywhere"
    RESUME.row(f"R{number + 1:02}", f"{kind}; killed {where}", quick=number in QUICK, cases=RUNS)(
        partial(killed, kind, number, writing)
    )
