"""F38 and F39: nobody watches; a device that is not there."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import torch

from reliability.command import dlzoo
from reliability.faults.runs import FAULTS, at_step, content, put, refused, train, whole
from reliability.table import Skipped


def _unheard() -> None:
    """Whoever read stdout and stderr has gone."""
    for stream in (sys.stdout, sys.stderr):
        ours, theirs = os.pipe()
        os.close(ours)
        os.dup2(theirs, stream.fileno())


def _closed() -> None:
    """As after `>&- 2>&-`."""
    os.close(1)
    os.close(2)
    sys.stdout = sys.stderr = None


@FAULTS.row(
    "F38", "nobody reads stdout or stderr, from the start or later: trained to the end, exit by result; no spam"
)
def _(place: Path) -> None:
    put(place)
    for number, arm in enumerate((_closed, _unheard, partial(at_step, 5, _unheard))):
        ended = train(place, arm=arm)
        assert ended.code == 0, (number, ended.code, ended.error)
        run = place / "runs" / f"c-{number + 1:03d}"
        assert content(run) == whole() and "done: the best model" in (run / "log.txt").read_text()
    ended = dlzoo("predict", "last", "x.png", cwd=place, arm=_unheard)
    assert ended.code in (3, 141), ended.code
    assert "\r" not in train(place).error


@FAULTS.row("F39", "CUDA asked for where there is none: what to set instead, exit 2, nothing made")
def _(place: Path) -> None:
    if torch.cuda.is_available():
        raise Skipped("there is a CUDA device here")
    put(place)
    refused(
        train(place, "--device", "cuda"), 2, "device: cuda, but torch", "sees no CUDA device; use device: auto or cpu"
    )
    assert not (place / "runs").exists()
