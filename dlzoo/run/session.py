"""What changes while a run trains: weights, optimizer, average, best score; how that is saved and comes back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlzoo.config import Config
from dlzoo.engine import checkpoint, loop, optimizer, schedule
from dlzoo.engine.average import Average
from dlzoo.engine.checkpoint import State
from dlzoo.engine.loader import Loader
from dlzoo.engine.loop import Row, Scores
from dlzoo.engine.record import finite
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import ConfigError, RunError, choose
from dlzoo.run import portable
from dlzoo.schema.writer import to_dict
from dlzoo.task import Batch, Network, Task


@dataclass
class Best:
    """The best evaluation so far, and how many there were since."""

    value: float | None = None
    loss: float | None = None
    step: int = 0
    epoch: float = 0.0
    waiting: int = 0


class Session:
    """One run's training, between its config and its folder."""

    def __init__(self, config: Config, task: Task, network: Network, runtime: Runtime, steps: int):
        train = config.train
        self.config, self.task, self.network, self.runtime, self.steps = config, task, network, runtime, steps
        runtime.place(network, bool(train.channels_last), train.compile)
        self.optimizer = optimizer.build(config.optimizer, network, runtime.device, train.lr_factors)
        self.average = Average(network, train.ema) if train.ema is not None else None
        self.drops = schedule.Drops()
        self.best = Best()
        self.step = 0
        self.evaluated = True
        """Whether the evaluation that is due at `step` is done: a signal may have come in between."""
        self.loss = torch.zeros((), dtype=torch.float64, device=runtime.device)
        self.pieces = 0

    def lr(self, step: int) -> float:
        """The learning rate of update number `step` (from 0)."""
        return self.config.optimizer.lr * schedule.factor(self.config.schedule, step, self.steps) * self.drops.factor

    def rows(self, loader: Loader, stop: int | None = None) -> Iterator[Row]:
        """The updates from where the session stands to number `stop`, or to the last; each is to be taken."""
        train, stop = self.config.train, self.steps if stop is None else stop
        parts = (self.network, self.task, loader, self.optimizer, self.runtime, self.lr)
        return loop.train(*parts, start=self.step, steps=stop, clip=train.clip, average=self.average)

    def take(self, row: Row) -> None:
        """Note that an update is done."""
        self.step = row.step
        self.loss.add_(row.loss, alpha=row.pieces)
        self.pieces += row.pieces

    def mean_loss(self) -> float | None:
        """The mean training loss since the last call, or since the start."""
        mean = self.loss.item() / self.pieces if self.pieces else None
        self.loss.zero_()
        self.pieces = 0
        return mean

    def evaluate(self, batches: Iterable[Batch]) -> Scores:
        """Score the weights that count: the averaged ones, where there are any."""
        with self.average.applied(self.network) if self.average else nullcontext():
            return loop.evaluate(self.network, self.task, batches, self.runtime)

    def judge(self, scores: Scores, epoch: float) -> bool:
        """Whether these scores are the best so far: the same score with a lower loss is better, NaN never is.

        A Plateau schedule hears of them as well.
        """
        score, loss = monitored(self.config, scores), finite(scores.metrics.get("loss"))
        self.drops.update(self.config.schedule, score)
        if math.isnan(score) or not self._better(score, loss):
            self.best.waiting += 1
            return False
        self.best = Best(score, loss, self.step, epoch)
        return True

    def _better(self, score: float, loss: float | None) -> bool:
        best = self.best
        if best.value is None or score != best.value:
            return best.value is None or score > best.value
        return loss is not None and best.loss is not None and loss < best.loss

    @property
    def exhausted(self) -> bool:
        """Whether `evaluate.patience` evaluations in a row were no better."""
        patience = self.config.evaluate.patience
        return patience is not None and self.best.waiting >= patience

    def export(self, folder: Path, **facts: Any) -> None:
        """Write the weights that count, and all that predict needs, to `folder`."""
        if self.runtime.processes.main:
            with self.average.applied(self.network) if self.average else nullcontext():
                portable.save(folder, self.network, self.task, self.config, **finite(facts))

    def save(self, folder: Path) -> None:
        """Write a checkpoint; the one before it and that of the best score stay."""
        if not self.runtime.processes.main:
            return
        tensors = {f"optimizer/{name}": value for name, value in optimizer.state(self.optimizer, self.network).items()}
        if self.average:
            tensors |= {f"average/{name}": value for name, value in self.average.state_dict().items()}
        values = {
            "best": vars(self.best),
            "plateau": self.drops.state_dict(),
            "scaler": {**self.runtime.scaler.state_dict(), "skipped": self.runtime.skipped},
            "loss": self.loss.item(),
            "pieces": self.pieces,
            "evaluated": self.evaluated,
            "task": self.task.state_dict(),
            "config": to_dict(self.config),
        }
        checkpoint.save(folder, State(self.step, dict(self.network.state_dict()), tensors, values))
        checkpoint.prune(folder, keep=[self.best.step])

    def restore(self, state: State) -> None:
        """Be where `save` was. Raises RunError for a checkpoint of another network or optimizer."""
        try:
            self.network.load_state_dict(state.model)
        except RuntimeError as error:
            raise RunError(
                f"step-{state.step} does not fit the model: {str(error).splitlines()[-1].strip()}"
            ) from error
        parts: dict[str, dict[str, Tensor]] = {"optimizer": {}, "average": {}}
        for name, tensor in state.tensors.items():
            part, _, name = name.partition("/")
            parts[part][name] = tensor
        optimizer.restore(self.optimizer, self.network, parts["optimizer"])
        if self.average:
            self.average.load_state_dict(parts["average"])
        values = state.values
        self.best = Best(**values["best"])
        self.drops.load_state_dict(values["plateau"])
        scaler = dict(values["scaler"])
        self.runtime.skipped = scaler.pop("skipped")
        if scaler:
            self.runtime.scaler.load_state_dict(scaler)
        self.loss.fill_(values["loss"])
        self.pieces, self.evaluated, self.step = values["pieces"], values["evaluated"], state.step


def monitored(config: Config, scores: Scores) -> float:
    """The score that picks the best weights, signed so that more is better; NaN where it is no finite number.

    Raises ConfigError for an unknown one.
    """
    name = config.evaluate.monitor or "-loss"
    metric = name.lstrip("-")
    if metric not in scores.metrics:
        raise ConfigError([f"evaluate.monitor: {choose(metric, scores.metrics, 'metric')}"])
    value = scores.metrics[metric] if math.isfinite(scores.metrics[metric]) else math.nan
    return -value if name.startswith("-") else value
