"""The table of faults, the small runs that its rows break, and what is left of them."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from dlzoo import files
from dlzoo.engine import checkpoint
from reliability.command import Arm, Ended, dlzoo
from reliability.table import Table

FAULTS = Table("faults", "survived", "exit code, newest good checkpoint usable, at most 6 lines, no traceback")

DIGITS = """\
task: image_classification
data: digits
model: {name: mlp, dim: 16, dropout: 0.2}
train: {steps: 12, batch_size: 128, save_every: 3, log_every: 1, threads: 1}
evaluate: {every: 6}
"""
"""A fraction of a second: checkpoints at the steps 3, 6, 9, 12, evaluations at 6 and 12."""
_once = threading.Lock()


def put(place: Path, text: str = DIGITS) -> str:
    """A config in `place`; its name."""
    (place / "c.yaml").write_text(text)
    return "c.yaml"


def fast(then: Arm | None = None) -> None:
    """No figures: they take longer than all the rest."""
    from dlzoo.run import report

    report.curves = report.scored = lambda *_: []
    if then is not None:
        then()


def slow(seconds: float) -> None:
    """Every update takes that long, so that something can happen in it."""
    from dlzoo.run.session import Session

    take = Session.take

    def taken(self: Session, row: Any) -> None:
        take(self, row)
        time.sleep(seconds)

    Session.take = taken


def at_step(step: int, act: Callable[[], None]) -> None:
    """Call `act` as soon as update number `step` (from 1) is done."""
    from dlzoo.run.session import Session

    take = Session.take

    def taken(self: Session, row: Any) -> None:
        take(self, row)
        if row.step == step:
            act()

    Session.take = taken


def train(place: Path, *more: object, arm: Arm | None = None, **options: Any) -> Ended:
    """`dlzoo train --config c.yaml` in `place`, without figures."""
    return dlzoo("train", "--config", "c.yaml", *more, cwd=place, arm=partial(fast, arm), **options)


def resume(place: Path, run: object = "last", *more: object, arm: Arm | None = None, **options: Any) -> Ended:
    """`dlzoo train --resume RUN` in `place`, without figures."""
    return dlzoo("train", "--resume", run, *more, cwd=place, arm=partial(fast, arm), **options)


def run_of(place: Path) -> Path:
    """The run that was made in `place`."""
    (run,) = (path for path in (place / "runs").iterdir() if path.is_dir())
    return run


def steps(run: Path) -> list[int]:
    """The steps of its checkpoints; AssertionError where one is not whole."""
    found = checkpoint.saved(run / "checkpoints")
    for path in found:
        checkpoint.verify(path)
    return [int(path.name[5:]) for path in found]


def facts(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def content(run: Path) -> dict[str, Any]:
    """All that a finished run holds, but for times, and for traces of how often it was stopped."""
    last = checkpoint.saved(run / "checkpoints")[-1]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert facts(run)["status"] == "finished"
    return {
        "name": last.name,
        "rows": [{key: value for key, value in row.items() if key != "seconds"} for row in rows],
        "state": json.loads((last / "state.json").read_text()),
        "files": [files.sha256(last / part) for part in checkpoint.PARTS[:2]],
        "model": files.sha256(run / "model" / "model.safetensors"),
        "best": facts(run)["best"],
        "metrics": facts(run)["metrics"],
    }


def nothing_unfinished(place: Path) -> None:
    left = [path for path in place.rglob("*") if files.PART in path.name]
    assert not left, left


def refused(ended: Ended, code: int, *words: str) -> None:
    """AssertionError unless it ended with `code` and a message of at most 6 lines that has all `words`."""
    assert ended.code == code, (ended.code, ended.error)
    assert ended.said and len(ended.said.splitlines()) <= 6 and "Traceback" not in ended.error, ended.error
    for word in words:
        assert word in ended.said, (word, ended.said)


def whole() -> dict[str, Any]:
    """The content of the run that nothing happened to."""
    with _once:
        return _whole()


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    """For the runs that rows copy; made when first asked for, as commands that are killed import this file, too."""
    return tempfile.TemporaryDirectory(prefix="dlzoo-faults-")


@cache
def _whole() -> dict[str, Any]:
    place = Path(_kept().name, "whole", "here")
    place.mkdir(parents=True)
    put(place)
    assert (ended := train(place)).code == 0, ended.error
    return content(run_of(place))


def stopped(place: Path) -> Path:
    """A copy in `place` of a run that was stopped after step 8: it has the checkpoints of the steps 6 and 8."""
    with _once:
        run = _stopped()
    return Path(shutil.copytree(run, place / "runs" / run.name))


@cache
def _stopped() -> Path:
    from reliability.faults.signals import send

    place = Path(_kept().name, "stopped", "here")
    place.mkdir(parents=True)
    put(place)
    assert (ended := train(place, arm=partial(at_step, 8, partial(send, "SIGTERM")))).code == 143, ended.error
    run = run_of(place)
    assert steps(run) == [6, 8], steps(run)
    return run
