"""Damage: no flipped bit and no missing byte of a checkpoint or a model goes unseen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Lock

from dlzoo.engine import checkpoint
from dlzoo.errors import RunError
from dlzoo.run import portable
from reliability.attack import once
from reliability.command import dlzoo
from reliability.kinds import Kind, kind
from reliability.resume import QUICKLY
from reliability.table import Table

DAMAGE = Table("damage", "detected", "a bit flipped or an end cut off, in any file of a checkpoint or of model/")
CASES = 100
KINDS = {
    "a picture model with running statistics and an average": kind("image_classification", "lenet", train={"ema": 0.9}),
    "a convolutional net under momentum": kind("image_classification", "resnet", optimizer={"name": "sgd"}),
    "a transformer in float16, with its scaler": kind("image_classification", "vit", train={"precision": "float16"}),
    "a table model under nadam": kind("tabular_classification", "mlp", optimizer={"name": "nadam"}),
    "a regression under a plateau": kind("tabular_regression", "mlp", schedule={"name": "plateau"}),
    "a text model with its vocabulary": kind("text_classification", "gru", optimizer={"name": "adagrad"}),
    "a text model in bfloat16": kind("text_classification", "bert", train={"precision": "bfloat16"}),
    "a language model with an average": kind("language_modeling", "gpt", train={"ema": 0.9}),
    "a forecaster under adadelta": kind("forecasting", "tcn", optimizer={"name": "adadelta"}),
    "a recurrent forecaster": kind("forecasting", "lstm", optimizer={"name": "rmsprop"}),
}


@once
def _home() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="dlzoo-damage-", ignore_cleanup_errors=True)


LOCKS = {name: Lock() for name in KINDS}


def trained(name: str, kind: Kind) -> Path:
    """A finished run of a kind, trained once."""
    place = Path(_home().name, f"{list(KINDS).index(name)}")
    with LOCKS[name]:
        if not place.exists():
            place.mkdir()
            ended = dlzoo("train", *kind.put(place), cwd=place, env=QUICKLY)
            assert ended.code == 0, ended.error
    return place / "runs" / "c-001"


def damaged(name: str, seed: int, place: Path) -> None:
    """Damage one file a hundred times, each time another way, and load what it belongs to."""
    run, rng = trained(name, KINDS[name]), Random(f"{name}/{seed}")
    step = checkpoint.saved(run / "checkpoints")[-1].name
    shutil.copytree(run / "checkpoints" / step, place / step)
    shutil.copytree(run / "model", place / "model")
    files = sorted(path for path in place.rglob("*") if path.is_file())
    assert len(files) == 6, files
    checkpoint.load(place / step), portable.load(place / "model")
    for _ in range(CASES):
        file = rng.choice(files)
        whole = file.read_bytes()
        what = rng.choice([flip, flip, cut])(file, whole, rng)
        load = checkpoint.load if file.parent.name == step else portable.load
        assert refused(partial(load, file.parent)), f"{file.relative_to(place)}: {what} is not noticed"
        file.write_bytes(whole)
    checkpoint.load(place / step), portable.load(place / "model")


def flip(file: Path, whole: bytes, rng: Random) -> str:
    place, bit = rng.randrange(len(whole)), rng.randrange(8)
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
    return f"bit {bit} of byte {place} flipped ({whole[max(0, place - 10) : place + 10]!r})"


def cut(file: Path, whole: bytes, rng: Random) -> str:
    size = rng.choice([0, 1, len(whole) // 2, len(whole) - 1, rng.randrange(len(whole))])
    os.truncate(file, size)
    return f"cut to {size} of {len(whole)} bytes"


def refused(load: Callable[[], object]) -> bool:
    try:
        load()
    except RunError as error:
        return len(str(error).splitlines()) <= 6
    return False


for number, (name, seed) in enumerate(((name, seed) for seed in range(3) for name in KINDS), 1):
    DAMAGE.row(f"D{number:02}", f"{name}, damaged in {CASES} ways", quick=number <= 3, cases=CASES)(
        partial(damaged, name, seed)
    )
