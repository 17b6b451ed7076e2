"""F05 to F09: signals that ask a run to stop."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from reliability.command import start
from reliability.faults.runs import FAULTS, at_step, content, fast, put, resume, run_of, slow, steps, train, whole


def send(name: str) -> None:
    """A signal to this process itself."""
    os.kill(os.getpid(), getattr(signal, name))


def _stops(place: Path, name: str, code: int, *more: str) -> None:
    """A signal from outside, after the first checkpoint: saved, said, resumed bit for bit."""
    put(place)
    running = start("train", "--config", "c.yaml", cwd=place, arm=partial(fast, partial(slow, 0.05)))
    running.until(lambda: bool(list(place.glob("runs/*/checkpoints/step-3"))))
    running.send(getattr(signal, name))
    ended = running.wait(10)
    run = run_of(place)
    step = steps(run)[-1]
    assert ended.code == code, ended.error
    assert f"stopped by {name} at step {step}; dlzoo train --resume runs/c-001 continues" in ended.error, ended.error
    assert resume(place).code == 0 and content(run) == whole()


@FAULTS.row("F05", "SIGTERM: the step is finished and saved, exit 143; the resumed run is the one that was not stopped")
def _(place: Path) -> None:
    _stops(place, "SIGTERM", 143)
    shutil.rmtree(place / "runs")
    ended = train(place, arm=_while_reading)
    assert ended.code == 143 and "stopped by SIGTERM at step 0" in ended.error, ended.error
    assert steps(run_of(place)) == [] and resume(place).code == 0 and content(run_of(place)) == whole()


def _while_reading() -> None:
    """SIGTERM while the training split is encoded."""
    from dlzoo.tasks.image_classification import ImageClassification

    encode = ImageClassification.encode_many

    def encoded(self: ImageClassification, samples: list[dict[str, Any]]) -> Any:
        if len(samples) > 2:  # not the rehearsal, before which there is no run yet
            send("SIGTERM")
        return encode(self, samples)

    ImageClassification.encode_many = encoded


def _terminal() -> None:
    """As if someone watched."""
    sys.stderr.isatty = lambda: True  # type: ignore[method-assign]


@FAULTS.row("F06", "Ctrl-C once: the same, exit 130, and it is said what a second one does")
def _(place: Path) -> None:
    put(place)

    ended = train(place, arm=partial(_watched, 4, "SIGINT"))
    assert ended.code == 130 and "press Ctrl-C again to stop without saving" in ended.error, ended.error
    assert steps(run_of(place))[-1] == 4
    assert resume(place).code == 0 and content(run_of(place)) == whole()


def _watched(step: int, name: str) -> None:
    _terminal()
    at_step(step, partial(send, name))


@FAULTS.row("F07", "Ctrl-C twice: it stops at once, exit 130, and no file is broken")
def _(place: Path) -> None:
    put(place)
    running = start("train", "--config", "c.yaml", cwd=place, arm=partial(fast, partial(slow, 1.0)))
    running.until(lambda: bool(list(place.glob("runs/*/metrics.jsonl"))))
    running.until(lambda: "updates of 128" in running.error)
    running.send(signal.SIGINT)
    time.sleep(0.05)
    running.send(signal.SIGINT)
    ended = running.wait(5)
    assert (
        ended.code == 130
        and "stopped by Ctrl-C, nothing saved; dlzoo train --resume" in ended.error
        and "Traceback" not in ended.error
    ), ended.error
    assert steps(run_of(place)) == []
    assert resume(place).code == 0 and content(run_of(place)) == whole()


def _in_save() -> None:
    from dlzoo.engine import checkpoint

    save = checkpoint.weights.save

    def saved(path: Path, tensors: object) -> None:
        send("SIGTERM")
        save(path, tensors)

    checkpoint.weights.save = saved


@FAULTS.row("F08", "SIGTERM during a save: the save is completed, then exit 143")
def _(place: Path) -> None:
    put(place)
    ended = train(place, arm=_in_save)
    assert ended.code == 143 and "stopped by SIGTERM" in ended.error, ended.error
    assert steps(run_of(place)) == [3, 4]
    assert resume(place).code == 0 and content(run_of(place)) == whole()


@FAULTS.row("F09", "SIGHUP (a closed terminal): as SIGTERM, exit 129")
def _(place: Path) -> None:
    _stops(place, "SIGHUP", 129)
