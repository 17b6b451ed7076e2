"""F01 to F04: SIGKILL and loss of power at any moment."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dlzoo import files
from dlzoo.engine import checkpoint
from reliability.command import start
from reliability.faults.runs import (
    DIGITS,
    FAULTS,
    content,
    fast,
    nothing_unfinished,
    put,
    resume,
    run_of,
    slow,
    stopped,
    train,
    whole,
)


@FAULTS.row(
    "F01", "SIGKILL at any moment, up to three times: the resumed run is bit for bit the one that was not killed"
)
def _(place: Path) -> None:
    put(place)
    arm, kills = partial(fast, partial(slow, 0.03)), 0
    arguments: tuple[object, ...] = ("--config", "c.yaml")
    for _ in range(3):
        running = start("train", *arguments, cwd=place, arm=arm)
        rows = random.randrange(1, 12)
        running.until(lambda rows=rows: _rows(place) >= rows)
        running.send(signal.SIGKILL)
        kills += running.wait().code == -signal.SIGKILL
        arguments = ("--resume", "last")
    ended = resume(place)
    assert kills and ended.code == 0, ended.error
    saved = "resuming from step" in ended.error or "it starts at step 0" in ended.error
    assert (saved or "already finished" in ended.error) and content(run_of(place)) == whole(), ended.error


def _rows(place: Path) -> int:
    """Rows of metrics so far."""
    return sum(len(path.read_text().splitlines()) for path in place.glob("runs/*/metrics.jsonl"))


def _doomed(act: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """`act`, but that the process is killed before it, or after it, when `left` has counted down."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for before in (True, False):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if before:
                found = act(*args, **kwargs)
        return found

    return wrapped


CALLS = [(checkpoint.weights, "save"), (files, "_sync"), (os, "rename"), (shutil, "rmtree")]
"""What a write to the disk consists of."""


def _killed_at(number: int) -> None:
    """SIGKILL at that of the moments before and after each of CALLS."""
    left = [number]
    for home, name in CALLS:
        setattr(home, name, _doomed(getattr(home, name), left))


def _try_all(at: int) -> None:
    """In place of the save of step `at`: the save, in as many forks as it has moments, each killed at its own."""
    save = checkpoint.save

    def tried(folder: Path, state: checkpoint.State) -> Path:
        if state.step != at:
            return save(folder, state)
        found = []
        for number in range(1, 1000):
            copy = Path(shutil.copytree(folder, folder.parent / f"copy-{number}"))
            if (child := os.fork()) == 0:
                _killed_at(number)
                save(copy, state)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            files.clean(copy)
            found.append(sorted(checkpoint.verify(path)["step"] for path in copy.iterdir()))
            shutil.rmtree(copy)
            if not os.WIFSIGNALED(status):
                break
        Path("found.json").write_text(json.dumps(found))
        return save(folder, state)

    checkpoint.save = tried


@FAULTS.row(
    "F02", "SIGKILL at every call of a checkpoint's write: it is whole or not there, and what is unfinished goes"
)
def _(place: Path) -> None:
    put(place)
    ended = train(place, arm=partial(_try_all, 9))
    assert ended.code == 0, ended.error
    *killed, done = json.loads((place / "found.json").read_text())
    assert len(killed) >= 16 and done == [3, 6, 9], (len(killed), done)
    assert all(found in ([3, 6], [3, 6, 9]) for found in killed), killed
    assert [3, 6] in killed and [3, 6, 9] in killed
    assert content(run_of(place)) == whole()


def _killed_at_evaluation(number: int) -> None:
    from dlzoo.run.session import Session

    Session.evaluate = _doomed(Session.evaluate, [2 * number - 1])


def _killed_at_name(name: str) -> None:
    """SIGKILL before a file gets that name."""
    replace = os.replace

    def replaced(old: Path, new: Path) -> None:
        if Path(new).name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(old, new)

    os.replace = replaced


@FAULTS.row("F03", "SIGKILL in an evaluation or in the export of the best model: it is done again, the model is whole")
def _(place: Path) -> None:
    put(place)
    assert train(place, arm=partial(_killed_at_evaluation, 2)).code == -signal.SIGKILL
    for name in ("next.safetensors", "model.json", "model.safetensors"):
        ended = resume(place, arm=partial(_killed_at_name, name))
        assert ended.code == -signal.SIGKILL, (name, ended.error)
    assert resume(place).code == 0 and content(run_of(place)) == whole()
    nothing_unfinished(place)


def _noted() -> None:
    """Write down in which order things are made lasting."""
    notes: list[list[str]] = []

    def note(home: Any, name: str, shown: Callable[..., list[str]]) -> None:
        act = getattr(home, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            found = act(*args, **kwargs)
            notes.append([name, *shown(*args)])
            Path("notes.json").write_text(json.dumps(notes))
            return found

        setattr(home, name, noted)

    note(files, "_sync", lambda path: [Path(path).name])
    note(os, "rename", lambda old, new: [Path(new).name])


@FAULTS.row(
    "F04", "loss of power: files are on the disk before their name is; a newest checkpoint that is cut gives way"
)
def _(place: Path) -> None:
    put(place, DIGITS.replace("steps: 12", "steps: 3"))
    ended = train(place, arm=_noted)
    assert ended.code == 0, (ended.code, ended.error)
    notes = json.loads((place / "notes.json").read_text())
    end = notes.index(["rename", "step-3"])
    before = [name for kind, name in notes[end - 5 : end]]
    assert {*checkpoint.PARTS, "manifest.json"} == set(before[:4]) and files.PART in before[4], before
    assert notes[end + 1] == ["_sync", "checkpoints"]
    shutil.rmtree(place / "runs")
    folder = stopped(place) / "checkpoints"
    for part in (*checkpoint.PARTS, "manifest.json"):
        file = folder / "step-8" / part
        content = file.read_bytes()
        for size in (0, 1, len(content) // 2, len(content) - 1):
            os.truncate(file, size)
            state, problems = checkpoint.newest(folder)
            assert state is not None and state.step == 6 and len(problems) == 1, (part, size)
            file.write_bytes(content)
    state, problems = checkpoint.newest(folder)
    assert state is not None and state.step == 8 and not problems
