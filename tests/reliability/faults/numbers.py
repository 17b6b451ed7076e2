"""F19 to F23: what is not finite, and what does not fit into memory."""

from __future__ import annotations

import os
import resource
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dlzoo.engine import checkpoint
from reliability.command import Ended
from reliability.faults.runs import FAULTS, at_step, content, facts, put, refused, resume, run_of, steps, train, whole


def _no_number_saved(run: Path, ended: Ended) -> None:
    """The checkpoints are those of before, whole and finite, and the run notes how it ended."""
    assert steps(run) == [3, 6], steps(run)
    for path in checkpoint.saved(run / "checkpoints"):
        state = checkpoint.load(path)
        assert all(tensor.isfinite().all() for tensor in [*state.model.values(), *state.tensors.values()])
    assert facts(run)["code"] == ended.code and facts(run)["status"] == "failed"
    assert resume(run.parent.parent).code == 0 and content(run) == whole()


def _infinite(step: int) -> None:
    """One number of one picture of update number `step` (from 1) is infinite."""
    from dlzoo.engine.loader import Loader

    windows = Loader.windows

    def spoilt(self: Loader, start: int, stop: int) -> Any:
        for number, batches in enumerate(windows(self, start, stop), start + 1):
            if number == step:
                batches[0].inputs["x"][5, 0, 3, 3] = float("inf")
            yield batches

    Loader.windows = spoilt


@FAULTS.row("F19", "a loss that is not finite: exit 5 before the update, with step, sample and first bad layer")
def _(place: Path) -> None:
    put(place)
    ended = train(place, arm=partial(_infinite, 8))
    layer = "first layer whose output is not finite: backbone.layers.0.0 (Linear)"
    refused(
        ended, 5, "loss is nan at step 8 (epoch 1)", "with inputs that are not finite: digits:", layer, "learning rate"
    )
    assert " and " not in ended.said.splitlines()[1]
    _no_number_saved(run_of(place), ended)


def _bad_gradient() -> None:
    """From now on the gradient of the first layer's bias is infinite, and what flows on from it is not."""
    from dlzoo.engine import loop

    act = loop.train_step

    def stepped(model: torch.nn.Module, *args: Any) -> Any:
        bias = dict(model.named_parameters())["backbone.layers.0.0.bias"]
        bias.register_hook(lambda gradient: gradient * float("inf"))
        return act(model, *args)

    loop.train_step = stepped


@FAULTS.row(
    "F20", "gradients that are not finite under a finite loss: exit 5 before the update, with the first of them"
)
def _(place: Path) -> None:
    put(place)
    ended = train(place, arm=partial(at_step, 7, _bad_gradient))
    name = "first gradient that is not finite, on the way back from the loss: backbone.layers.0.0.bias"
    refused(ended, 5, "but the norm of its gradient is", "at step 8 (epoch 1)", "samples of the batch: digits:", name)
    _no_number_saved(run_of(place), ended)


def _undefined(number: int) -> None:
    """The accuracy of the `number`-th evaluation is NaN."""
    from dlzoo.engine.loop import Scores
    from dlzoo.run.session import Session

    evaluate, left = Session.evaluate, [number]

    def spoilt(self: Session, batches: Any) -> Scores:
        scores = evaluate(self, batches)
        left[0] -= 1
        if left[0] == 0:
            scores.metrics["accuracy"] = float("nan")
        return scores

    Session.evaluate = spoilt


@FAULTS.row("F21", "a metric that is NaN never is the best, counts as no improvement, and is said")
def _(place: Path) -> None:
    put(place)
    ended = train(place, arm=partial(_undefined, 2))
    assert ended.code == 0 and "(accuracy is undefined here: not counted)" in ended.error, ended.error
    run = run_of(place)
    state = checkpoint.load(run / "checkpoints" / "step-12")
    assert facts(run)["best"]["step"] == 6 and state.values["best"]["waiting"] == 1
    assert '"accuracy": null' in (run / "metrics.jsonl").read_text()


def _starved() -> None:
    """No more address space than now, but for a little."""
    from dlzoo.tasks.image_classification import ImageClassification

    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
    loss = ImageClassification.loss
    ImageClassification.loss = lambda self, outputs, batch: loss(self, outputs, batch) * torch.ones(1 << 28).mean()


@FAULTS.row("F22", "out of memory: how much was wanted and what to make smaller, exit 6, the checkpoint stays")
def _(place: Path) -> None:
    put(place)
    ended = train(place, arm=partial(at_step, 7, _starved))
    refused(ended, 6, "out of memory (1,074 MB at once); try train.batch_size: 64, or train.accumulate: 2")
    _no_number_saved(run_of(place), ended)


def _cuda_full() -> None:
    from dlzoo.tasks.image_classification import ImageClassification

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")

    ImageClassification.loss = full


@FAULTS.row("F23", "out of memory on CUDA: the same")
def _(place: Path) -> None:
    put(place)
    ended = train(place, arm=partial(at_step, 7, _cuda_full))
    refused(ended, 6, "out of memory (2.00 GiB at once); try train.batch_size: 64, or train.accumulate: 2")
    _no_number_saved(run_of(place), ended)
