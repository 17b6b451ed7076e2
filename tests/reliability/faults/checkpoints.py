"""F12 to F18 and F40: checkpoints that are damaged, and runs that cannot go on or need not."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dlzoo import files
from dlzoo.engine import checkpoint
from reliability.command import dlzoo
from reliability.faults.runs import FAULTS, content, facts, put, refused, resume, steps, stopped, train, whole

Damage = Callable[[Path], object]


def _flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def _gives_way(place: Path, damage: Damage, *words: str) -> None:
    """The newest checkpoint, damaged, is said to be, and the run goes on from the one before and is as it should be."""
    run = stopped(place)
    damage(run / "checkpoints" / "step-8")
    ended = resume(place)
    assert ended.code == 0 and "resuming from step 6 " in ended.error, ended.error
    for word in (*words, "checkpoint step-8 is", "set aside", "step-8.aside"):
        assert word in ended.error, (word, ended.error)
    assert content(run) == whole() and (run / "checkpoints" / "step-8.aside").is_dir()


@FAULTS.row("F12", "a newest checkpoint cut at any of 50 places: it is said, and the run goes on from the one before")
def _(place: Path) -> None:
    _gives_way(place, lambda path: os.truncate(path / "model.safetensors", 1000), "truncated", "1,000 of ")
    shutil.rmtree(place / "runs")
    folder = stopped(place) / "checkpoints"
    for _ in range(50):
        file = folder / "step-8" / random.choice(checkpoint.PARTS)
        data = file.read_bytes()
        os.truncate(file, random.randrange(len(data)))
        state, problems = checkpoint.newest(folder)
        assert state is not None and state.step == 6 and "truncated" in problems[0], problems
        file.write_bytes(data)


def _bad_disk(step: int) -> None:
    """What is written of a checkpoint's weights is not what the disk then holds."""
    settle = files._settle

    def settled(file: Path) -> None:
        settle(file)
        if file.name == "model.safetensors" and f".step-{step}." in file.parent.name:
            _flip(file, 9999)

    files._settle = settled


@FAULTS.row(
    "F13", "no flipped bit of 300 goes unseen: the checkpoint before is used; one that is named is refused, exit 4"
)
def _(place: Path) -> None:
    run = stopped(place)
    path = run / "checkpoints" / "step-8"
    for _ in range(300):
        file = path / random.choice(checkpoint.PARTS)
        bit = random.randrange(8 * file.stat().st_size)
        _flip(file, bit)
        try:
            checkpoint.verify(path)
            raise AssertionError(f"bit {bit} of {file.name} is flipped, and nobody saw")
        except checkpoint.Damaged:
            _flip(file, bit)
    checkpoint.verify(path)
    _flip(path / "state.safetensors", 9999)
    refused(resume(place, path), 4, "step-8", "checksum mismatch in state.safetensors")
    assert (path / "state.safetensors").exists() and facts(run)["status"] == "stopped"
    shutil.rmtree(place / "runs")
    _gives_way(place, lambda path: _flip(path / "state.safetensors", 9999), "checksum mismatch in state.safetensors")
    shutil.rmtree(place / "runs")
    run = stopped(place)
    said = "cannot save step 9: what the disk holds is not what was written"
    refused(
        resume(place, arm=partial(_bad_disk, 9)), 7, said, "checksum mismatch in model.safetensors", "step 8 is kept"
    )
    assert steps(run) == [6, 8]


@FAULTS.row("F14", "a part of the newest checkpoint that is empty or gone: as F12")
def _(place: Path) -> None:
    folder = stopped(place) / "checkpoints"
    for name in (*checkpoint.PARTS, "manifest.json"):
        kept = (folder / "step-8" / name).read_bytes()
        for damage in (lambda file: os.truncate(file, 0), lambda file: file.unlink()):
            damage(folder / "step-8" / name)
            state, problems = checkpoint.newest(folder)
            assert state is not None and state.step == 6 and len(problems) == 1, name
            (folder / "step-8" / name).write_bytes(kept)
    shutil.rmtree(place / "runs")
    _gives_way(place, lambda path: (path / "state.json").unlink(), "damaged")


@FAULTS.row("F15", "all checkpoints damaged: each is listed with its reason, exit 4, and nothing starts afresh")
def _(place: Path) -> None:
    run = stopped(place)
    os.truncate(run / "checkpoints/step-6/model.safetensors", 10)
    _flip(run / "checkpoints/step-8/state.json", 77)
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    refused(
        resume(place), 4, "every checkpoint", "step-6 is truncated", "step-8 is damaged: checksum", "train --config"
    )
    assert sorted(path.relative_to(run) for path in run.rglob("*")) == before


@FAULTS.row("F16", "a resume under another model is refused with the keys that differ, exit 4")
def _(place: Path) -> None:
    run = stopped(place)
    put(place)
    ended = dlzoo("train", "--resume", "last", "--config", "c.yaml", "--set", "model.dim=32", cwd=place)
    refused(ended, 4, "model.dim: the run 16, the config given 32")
    own = run / "config.yaml"
    own.write_text(own.read_text().replace("dim: 16", "dim: 32"))
    refused(resume(place), 4, "model.dim: step-8 16, config.yaml 32")


ROWS = "size,kind\n" + "".join(f"{i % 9},{'yes' if i % 9 > 4 else 'no'}\n" for i in range(60))
TABLE = """\
task: tabular_classification
data: {name: table, path: data.csv, target: kind}
model: {name: mlp, dim: 8}
train: {steps: 4, batch_size: 16, threads: 1}
"""


@FAULTS.row("F17", "a resume under another optimizer, other data or other classes is refused, exit 4")
def _(place: Path) -> None:
    run = stopped(place)
    own = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(own.replace("lr: 0.001", "lr: 0.002"))
    refused(resume(place), 4, "optimizer.lr: step-8 0.001, config.yaml 0.002")
    shutil.rmtree(place / "runs")
    put(place, TABLE)
    for changed in (ROWS.replace("3,no", "3,yes"), ROWS + "4,perhaps\n"):
        (place / "data.csv").write_text(ROWS)
        assert train(place, "--name", "t").code == 0
        (made,) = place.glob("runs/*")
        (made / "run.json").write_text(json.dumps({**facts(made), "status": "stopped"}))
        (place / "data.csv").write_text(changed)
        refused(resume(place), 4, "the data is not what this run was started with")
        shutil.rmtree(made)


@FAULTS.row("F18", "a checkpoint in a later format is refused by the version that wrote it, exit 4, not passed over")
def _(place: Path) -> None:
    path = stopped(place) / "checkpoints" / "step-8"
    state = json.loads((path / "state.json").read_text()) | {"format": 3, "dlzoo": "9.1"}
    (path / "state.json").write_text(json.dumps(state))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["state.json"] = {
        "sha256": files.sha256(path / "state.json"),
        "bytes": (path / "state.json").stat().st_size,
    }
    del manifest["state.safetensors"]  # its parts may be others
    (path / "manifest.json").write_text(json.dumps(manifest))
    refused(resume(place), 4, "written by dlzoo 9.1 (format 3)", "(format 1)")


@FAULTS.row(
    "F40",
    "a finished run is not trained again; a run goes on from a step that is named, or from 0, and says so; exit 0",
)
def _(place: Path) -> None:
    run = stopped(place)
    path = run / "checkpoints" / "step-6"
    ended = resume(place, path)
    assert ended.code == 0 and f"resuming from step 6 ({path})" in ended.error, ended.error
    assert "step-8.aside" in ended.error and content(run) == whole(), ended.error
    checkpoint.verify(aside := run / "checkpoints" / "step-8.aside")
    assert len((aside / "metrics.jsonl").read_text().splitlines()) == 9
    for again in (resume(place), resume(place, path.with_name("step-9"))):
        assert again.code == 0 and "already finished (step 12); nothing to do" in again.error, again.error
    refused(resume(place, path.with_name("step-7")), 4, "no checkpoint step-7", "step-9")
    shutil.rmtree(run / "checkpoints")
    (run / "run.json").write_text(json.dumps({**facts(run), "status": "running", "seconds": 0, "best": None}))
    ended = resume(place)
    assert ended.code == 0 and "stopped before its first checkpoint; it starts at step 0" in ended.error, ended.error
    assert content(run) == whole()
