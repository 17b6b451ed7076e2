"""Ablation: whatever a resume takes from a checkpoint, without it the run becomes another. So the other tests can fail,
and nothing is saved in vain.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dlzoo.engine import checkpoint
from dlzoo.engine.checkpoint import State
from dlzoo.engine.record import Record
from dlzoo.run.fit import Fit
from dlzoo.run.kill import Kill
from dlzoo.run.likeness import differences
from dlzoo.run.session import Session
from reliability.command import dlzoo
from reliability.kinds import NOISY, Kind, kind
from reliability.resume import QUICKLY
from reliability.table import Table

ABLATION = Table("ablation", "make a resume differ", "an item that a checkpoint has is dropped or reset on the resume")
QUICK = ("the model's weight", "adamw's exp_avg", "best.waiting")
AT = 12
"""The step at which the run is killed: the last checkpoint is that of step 10, the last evaluation that of step 8."""
Forget = Callable[[State], None]


def forgetting(forget: Forget, first: Callable[[], None] | None = None) -> None:
    """From now on a checkpoint that is loaded has forgotten something."""
    if first is not None:
        first()
    load = checkpoint.load

    def loaded(path: Path) -> State:
        forget(state := load(path))
        return state

    checkpoint.load = loaded


def zero(of: str, start: str, end: str, state: State) -> None:
    """Zeros in the place of the tensors whose names start and end so."""
    tensors = getattr(state, of)
    chosen = [name for name in tensors if name.startswith(start) and name.endswith(end)]
    assert chosen, f"no tensor is called {start}{end}: {list(tensors)[:9]}"
    for name in chosen:
        tensors[name] = torch.zeros_like(tensors[name])


def put(path: str, value: Any, state: State) -> None:
    """Another plain value."""
    *parents, key = path.split(".")
    values = state.values
    for parent in parents:
        values = values[parent]
    assert key in values and values[key] != value, f"{path} is {values.get(key)} anyway"
    values[key] = value


def drop(path: str, state: State) -> None:
    """No value at all."""
    *parents, key = path.split(".")
    values = state.values
    for parent in parents:
        values = values[parent]
    del values[key]


def start_over(state: State) -> None:
    state.step = 0


def first_is_best() -> None:
    """Only the first evaluation is ever the best one, so that what is known of it lasts."""
    Session._better = lambda self, score, loss: self.best.value is None


def log_goes_on() -> None:
    """The rows after the checkpoint stay in metrics.jsonl."""
    rewind = Record.rewind
    Record.rewind = lambda self, step: rewind(self, step if step == 0 else 10**9)


def ablated(kind: Kind, arm: Callable[[], None], fails: bool, place: Path) -> None:
    """Kill and resume under `arm`: the run differs, or, where nothing else can come of it, the resume fails."""
    options = [*kind.put(place), "--runs", 1, "--kill-at", AT]
    ended = dlzoo("verify-resume", *options, cwd=place, arm=arm, env=QUICKLY)
    assert ended.code == 8 and "killed at step 11" in ended.out, f"no difference: {ended.out}{ended.error}"
    assert ("the resume ended" in ended.out) == fails, ended.out


PICTURES = kind("image_classification", "lenet", train={"ema": 0.9})
SOON, LATER = (
    kind(
        "image_classification",
        "vit",
        optimizer={"name": "sgd", "lr": 1e-12},
        schedule={"name": "plateau", "patience": patience},
    )
    for patience in (1, 2)
)
"""Nothing is learned, so that no evaluation is better than the first."""
HALF = kind("image_classification", "mlp", train={"precision": "float16"})
OPTIMIZERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "sgd"}, ["momentum_buffer"]),
    ({"name": "adam", "amsgrad": True}, ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]),
    ({"name": "adamw"}, ["step", "exp_avg", "exp_avg_sq"]),
    ({"name": "nadam"}, ["step", "exp_avg", "exp_avg_sq", "mu_product"]),
    ({"name": "radam"}, ["step", "exp_avg", "exp_avg_sq"]),
    ({"name": "adamax"}, ["step", "exp_avg", "exp_inf"]),
    ({"name": "rmsprop", "momentum": 0.9}, ["step", "square_avg", "momentum_buffer"]),
    ({"name": "rmsprop", "centered": True}, ["grad_avg"]),
    ({"name": "adagrad", "lr_decay": 0.1}, ["step", "sum"]),
    ({"name": "adadelta"}, ["step", "square_avg", "acc_delta"]),
]
VALUES: dict[str, tuple[Any, Kind, Callable[[], None] | None]] = {
    "loss": (0.0, PICTURES, None),
    "pieces": (0, PICTURES, None),
    "best.value": (None, PICTURES, first_is_best),
    "best.loss": (None, PICTURES, first_is_best),
    "best.step": (0, PICTURES, first_is_best),
    "best.epoch": (0.0, PICTURES, first_is_best),
    "best.waiting": (0, PICTURES, first_is_best),
    "plateau.factor": (1.0, SOON, None),
    "plateau.best": (None, LATER, None),
    "plateau.waiting": (0, LATER, None),
    "scaler.scale": (2.0**10, HALF, None),
    "scaler._growth_tracker": (0, HALF, None),
    "scaler.growth_factor": (3.0, HALF, None),
    "scaler.backoff_factor": (0.25, HALF, None),
    "scaler.growth_interval": (5, HALF, None),
}
WHOLE = ("task", "config", "best", "plateau", "scaler", "evaluated", "loss", "pieces")
"""Without these a resume does not even begin."""
PLAIN = {"format", "dlzoo", "step"}
"""What state.json says of the checkpoint itself."""


Item = tuple[str, Kind, Callable[[], None], bool]
"""What is forgotten, by which training, how, and whether the resume then fails."""


def items() -> list[Item]:
    found: list[Item] = []
    for end in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        found.append((f"the model's {end}", PICTURES, partial(forgetting, partial(zero, "model", "", end)), False))
    found.append(("the average", PICTURES, partial(forgetting, partial(zero, "tensors", "average/", "")), False))
    for optimizer, keys in OPTIMIZERS:
        trained = kind("image_classification", "mlp", optimizer=optimizer | {"lr": 0.01})
        for key in keys:
            forget = partial(zero, "tensors", "optimizer/", f"/{key}")
            found.append((f"{optimizer['name']}'s {key}", trained, partial(forgetting, forget), False))
    for path, (value, trained, first) in VALUES.items():
        found.append((path, trained, partial(forgetting, partial(put, path, value), first), False))
    for path in WHOLE:
        found.append((f"{path} as a whole", HALF, partial(forgetting, partial(drop, path)), True))
    found.append(("the step", PICTURES, partial(forgetting, start_over), False))
    found.append(("where the log ends", PICTURES, log_goes_on, False))
    return found


for number, (what, trained, arm, fails) in enumerate(items(), 1):
    ABLATION.row(f"A{number:02}", what, quick=what in QUICK)(partial(ablated, trained, arm, fails))


def stopped_in_evaluation() -> None:
    """SIGTERM as the first evaluation begins, which is then still due."""
    look = Fit.look

    def stopped(self: Fit) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return look(self)

    Fit.look = stopped


@ABLATION.row("A91", "whether the evaluation of a step is done", quick=False)
def _(place: Path) -> None:
    options = PICTURES.put(place)
    whole = dlzoo("train", *options, "--name", "whole", cwd=place)
    assert whole.code == 0, whole.error
    found = []
    for name, arm in (("kept", None), ("lost", partial(forgetting, partial(put, "evaluated", True)))):
        stopped = dlzoo("train", *options, "--name", name, cwd=place, arm=stopped_in_evaluation)
        assert stopped.code == 143, stopped.error
        resumed = dlzoo("train", "--resume", name, "--import", options[-1], cwd=place, arm=arm)
        assert resumed.code == 0, resumed.error
        rest = differences(place / "runs/whole-001", place / f"runs/{name}-001")
        found.append([str(difference) for difference in rest if difference.what != "state.json config name"])
    kept, lost = found
    assert not kept and lost, (kept, lost)


def overflowing(at: int = 0, forget: Forget | None = None) -> None:
    """A scaler so high that more than 20 updates in a row overflow; killed at a step."""
    scaler = torch.amp.GradScaler
    torch.amp.GradScaler = lambda device, enabled: scaler(device, init_scale=2.0**100, enabled=enabled)
    if at:
        Kill("step", at).arm()
    if forget is not None:
        forgetting(forget)


@ABLATION.row("A92", "how many updates in a row a float16 scaler has skipped", quick=False)
def _(place: Path) -> None:
    options = [*HALF.put(place), "--set", "train.steps=25"]
    said = {}
    for name, forget in (("kept", None), ("lost", partial(put, "scaler.skipped", 0))):
        killed = dlzoo("train", *options, "--name", name, cwd=place, arm=partial(overflowing, AT))
        assert killed.code == -signal.SIGKILL, killed.error
        resume = partial(overflowing, 0, forget)
        said[name] = dlzoo("train", "--resume", name, "--import", NOISY, cwd=place, arm=resume)
    assert said["kept"].code == 5 and "at step 20 " in said["kept"].said, said["kept"]
    assert said["lost"].code == 0, said["lost"]


@ABLATION.row("A93", "every key of a checkpoint's plain values has a row here", quick=False)
def _(place: Path) -> None:
    ended = dlzoo("train", *HALF.put(place), cwd=place)
    assert ended.code == 0, ended.error
    values = json.loads((checkpoint.saved(place / "runs/c-001/checkpoints")[-1] / "state.json").read_text())
    assert set(values) == PLAIN | set(WHOLE)
    inner = {f"{key}.{name}" for key in ("best", "plateau", "scaler") for name in values[key]}
    assert inner == {path for path in VALUES if "." in path} | {"scaler.skipped"}
