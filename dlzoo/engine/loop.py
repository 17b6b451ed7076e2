"""Train and evaluate: loops that know no task and no model by name."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlzoo.engine.average import Average
from dlzoo.engine.blame import diverged
from dlzoo.engine.loader import Loader
from dlzoo.engine.optimizer import set_lr
from dlzoo.engine.runtime import NotFinite, Runtime
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.task import Batch, Task

T = TypeVar("T")
RECENT = 100
"""Updates on CUDA after which the host looks for a bad one at the latest."""
Sink = Callable[[Batch, list[Answer], list[Answer]], None]
"""What is done with the answers and truths of each batch of an evaluation, say write them to a file."""


def train_step(
    model: nn.Module, task: Task, batches: list[Batch], optimizer: Optimizer, runtime: Runtime, clip: float | None
) -> tuple[Tensor, Tensor]:
    """One update of the weights from one or more micro-batches; returns the mean loss and the gradient's norm."""
    count = runtime.total(sum(batch.count for batch in batches))
    losses = []
    for batch in batches:
        batch = task.augment(batch.to(runtime.device), runtime.rng)
        with runtime.autocast():
            loss = task.loss(model(**batch.inputs), batch)
        assert loss is not None
        runtime.backward(loss, count)
        losses.append(loss.detach())
    total = losses[0] if len(losses) == 1 else sum(losses, torch.zeros((), device=runtime.device))
    mean = total / count
    norm = runtime.update(model, optimizer, mean, clip)
    return mean, norm


@dataclass
class Row:
    """One update, as `train` yields it; loss and norm stay on the device until somebody reads them."""

    step: int
    """Updates done, this one included."""
    epoch: int
    """The epoch that the update belongs to, from 0."""
    loss: Tensor
    norm: Tensor
    lr: float
    pieces: int
    """Pieces of the update, over all processes."""
    check: Callable[[], None]
    """Raises Diverged if an update so far was not finite; to be called before the weights are used (free on a CPU)."""


def train(
    model: nn.Module,
    task: Task,
    loader: Loader,
    optimizer: Optimizer,
    runtime: Runtime,
    lr: Callable[[int], float],
    *,
    start: int = 0,
    steps: int,
    clip: float | None = None,
    average: Average | None = None,
) -> Iterator[Row]:
    """Update number `start` to `steps`, one row each; between two of them the caller's plain `for` loop decides.

    lr: the learning rate of an update, by its number from 0; called just before it.
    Raises Diverged before an update with a loss or gradient that is not finite, with the weights as they were.
    """
    model.train()
    recent: deque[tuple[int, list[Batch]]] = deque(maxlen=RECENT if runtime.defers else 1)

    def guarded(act: Callable[[], T]) -> T:
        try:
            return act()
        except NotFinite as error:
            step, batches = recent[max(0, len(recent) - 1 - error.ago)]
            raise diverged(error, step, lr(step), loader, batches, model, task, runtime) from error

    for step, batches in enumerate(loader.windows(start, steps), start):
        runtime.begin(step)
        runtime.holes.hand_back()
        set_lr(optimizer, rate := lr(step))
        recent.append((step, batches))
        loss, norm = guarded(lambda: train_step(model, task, batches, optimizer, runtime, clip))  # noqa: B023
        if average is not None:
            average.update(model, step + 1)
        yield Row(
            step + 1, loader.epoch(step), loss, norm, rate, loader.pieces_of(step), lambda: guarded(runtime.check)
        )
        if len(recent) == RECENT:
            guarded(runtime.check)


@dataclass
class Scores:
    """What an evaluation found."""

    metrics: dict[str, float]
    """`loss` (the mean; absent where the task has none), the metrics, and what follows from the mean loss."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % intervals, for the metrics that have one."""
    baseline: dict[str, float] = field(default_factory=dict)
    """The metrics of the trivial answer, where the task has one."""
    count: int = 0
    """Samples that were scored."""
    states: list[Metric] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    """The first few thousand, for figures; so are the truths."""
    truths: list[Answer] = field(default_factory=list)


def evaluate(
    model: nn.Module,
    task: Task,
    batches: Iterable[Batch],
    runtime: Runtime,
    *,
    detail: bool = False,
    keep: int = 0,
    sink: Sink | None = None,
    options: Mapping[str, Any] | None = None,
) -> Scores:
    """Score every sample of `batches` once (over all processes); memory does not grow with their number.

    detail: intervals and the trivial baseline as well. keep: answers and truths to keep for figures. options: of the
    task's `answer`, which is then scored as that of a task that generates is. The mode that the model was in, training
    or not, is what it is in afterwards.
    """
    was_training = model.training
    model.eval()
    tally = _Tally(task, detail, keep, sink, options or {})
    try:
        with torch.inference_mode():
            for batch in batches:
                tally.add(model, batch.to(runtime.device), runtime)
                runtime.holes.hand_back()
    finally:
        model.train(was_training)
    return tally.scores(runtime, detail)


class _Tally:
    """The running sums of an evaluation."""

    def __init__(self, task: Task, detail: bool, keep: int, sink: Sink | None, options: Mapping[str, Any]):
        self.task, self.keep, self.sink, self.options = task, keep, sink, options
        self.written = task.written()
        """What scores the answers of `answer` and the trivial ones, where that is not what `metrics` are for."""
        self.asks = bool(options) or (task.generates and (detail or not self.written))
        """Whether the answers that are scored come from `answer`."""
        self.foretells = not self.asks or bool(self.written)
        """Whether `metrics` are of the outputs of a forward pass."""
        self.metrics = task.metrics()
        self.guesses = (task.written() or task.metrics()) if detail and task.baseline else None
        self.loss, self.terms, self.samples = 0.0, 0, 0
        self.answers: list[Answer] = []
        self.truths: list[Answer] = []

    def add(self, model: nn.Module, batch: Batch, runtime: Runtime) -> None:
        task = self.task
        with runtime.autocast():
            outputs = model(**batch.inputs) if self.foretells else None
            loss = task.loss(outputs, batch) if self.foretells else None
        if loss is not None:
            self.loss += float(loss)
            self.terms += batch.count
        self.samples += len(batch.indices)
        wanted = self.sink is not None or len(self.answers) < self.keep
        if self.foretells:
            task.update(self.metrics, outputs, batch)
        if wanted or self.asks or self.guesses is not None:
            self._answers(model, outputs, batch, wanted, runtime)

    def _answers(self, model: nn.Module, outputs: Any, batch: Batch, wanted: bool, runtime: Runtime) -> None:
        task, truths = self.task, self.task.truth(batch)
        if self.guesses is not None:
            guesses = task.guess(batch)
            for metric in self.guesses:
                metric.update(guesses, truths)
        if not wanted and not self.asks:
            return
        if self.asks:
            with runtime.autocast():
                answers = task.answer(model, batch, **self.options)
            for metric in self.written or self.metrics:
                metric.update(answers, truths)
        else:
            answers = task.decode(outputs, batch)
        if self.sink is not None:
            self.sink(batch, answers, truths)
        room = max(0, self.keep - len(self.answers))
        self.answers += answers[:room]
        self.truths += truths[:room]

    def scores(self, runtime: Runtime, detail: bool) -> Scores:
        loss, terms, samples = runtime.processes.total([self.loss, float(self.terms), float(self.samples)])
        metrics = _merged(self.task.metrics, self.metrics, runtime)
        if self.asks and self.written:
            metrics += _merged(self.task.written, self.written, runtime)
        fresh = self.task.written if self.written else self.task.metrics
        guesses = _merged(fresh, self.guesses or [], runtime)
        mean = {"loss": loss / terms} if terms else {}
        found = {**mean, **(self.task.scores(loss / terms) if terms else {})}
        intervals: dict[str, tuple[float, float]] = {}
        for metric in metrics:
            found |= metric.compute()
            intervals |= metric.intervals() if detail else {}
        baseline = {name: value for metric in guesses for name, value in metric.compute().items()}
        return Scores(found, intervals, baseline, int(samples), metrics, self.answers, self.truths)


def _merged(fresh: Callable[[], list[Metric]], metrics: list[Metric], runtime: Runtime) -> list[Metric]:
    """The metrics of all processes as one, added in the order of the ranks: the same numbers in each of them."""
    if runtime.processes.world == 1 or not metrics:
        return metrics
    whole = fresh()
    for metric, own in zip(whole, metrics, strict=True):
        for state in runtime.processes.gather(own.state_dict()):
            metric.merge(state)
    return whole
