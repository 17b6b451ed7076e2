"""One run as one object: typed sections, whose fields are the keys of a YAML file (read by schema/reader.py)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt

from dlzoo.choices import Amount, Count, Positive, Share, Whole
from dlzoo.optim import AdamW, Optimizer
from dlzoo.schedules import Cosine, Plateau, Schedule

NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}")
"""A run's name: it becomes part of a path."""


@dataclass(frozen=True)
class Component:
    """A name from a registry, and the arguments of its constructor."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    """Of a model, `from` in a file: the run whose weights (and tokenizer) it begins with."""


@dataclass(frozen=True)
class Split:
    """How data is divided, and what becomes of samples that cannot be read; in a file these keys stand in the `data`
    section beside the dataset's own.

    Args:
        hold_out: cut from train for validation, where the data has no validation split: a share below 1, else a number
            of samples (of steps or characters, where one long series or text is cut); 0 for no validation split
        test: the same for the test split, cut first
        split: how: auto is stratified for labels, by time for series and long texts, by group where one is named,
            else random
        group: the column whose equal values stay together in one split
        split_seed: the seed of a random, stratified or group split
        folds: cut the test split as one of this many folds instead
        fold: which fold is the test split, from 0
        on_error: a sample that cannot be read ends the run (error), or is left out and counted before the rest is
            divided (skip), for which all samples are read once more
        max_skipped: samples that are left out at most, a share below 1, else a number; beyond, the run ends
    """

    hold_out: Amount = 0.1
    test: Amount = 0.1
    split: Literal["auto", "random", "stratified", "group", "time"] = "auto"
    group: str | None = None
    split_seed: int = 0
    folds: Annotated[int, Ge(2)] | None = None
    fold: Whole | None = None
    on_error: Literal["error", "skip"] = "error"
    max_skipped: Amount = 0.01

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Pairs of a key and what is wrong with it beside the others."""
        for key, value in (("hold_out", self.hold_out), ("test", self.test), ("max_skipped", self.max_skipped)):
            if value >= 1 and value % 1:
                yield key, f"a share is below 1, and a number of samples is whole; got {value}"
        if self.folds is None and self.hold_out < 1 and self.test < 1 and self.hold_out + self.test >= 1:
            yield "hold_out", f"with test {self.test} nothing is left for training: together they must be below 1"
        if self.split == "group" and self.group is None:
            yield "split", "a split by group needs `group`, the name of a column"
        if self.fold is not None and self.folds is None:
            yield "fold", "needs `folds`, the number of folds"
        if self.fold is not None and self.folds is not None and self.fold >= self.folds:
            yield "fold", f"counts from 0, so it must be less than folds ({self.folds})"
        if self.max_skipped != Split.max_skipped and self.on_error == "error":
            yield "max_skipped", "on_error: error skips nothing; leave it out, or set on_error: skip"


@dataclass(frozen=True)
class Train:
    """How long, in what portions, on what.

    Args:
        epochs: passes over the training split; or give `steps`. Neither: 10 epochs
        steps: updates of the weights
        batch_size: samples in one update, over all micro-batches and processes
        accumulate: micro-batches that one update is split into, to save memory
        clip: largest norm of the gradient; null for no limit
        freeze: weights that are not trained, by name, with * and ? (backbone.*); batch norms among them keep their
            statistics
        lora: train an addition of this rank to each weight of an attention, and the head, instead of all weights
        checkpointing: keep the input of each block of a Transformer alone, and compute the block again in the backward
            pass: less memory, more time
        lr_factors: what the learning rate of weights is multiplied by, by name, with * and ? ({"backbone.*": 0.1}); of
            several patterns that match the last counts
        ema: decay of an exponential moving average of the weights, which is then evaluated and kept; null for none
        seed: of initial weights, order, augmentation and dropout
        device: auto takes CUDA where there is one
        precision: of the forward and backward passes; bfloat16 and float16 by autocast (weights stay float32), tf32
            in the matrix products of CUDA's tensor cores alone
        threads: null for the machine's cores
        workers: processes that encode samples; null chooses by the kind of data
        compile: torch.compile the model
        cuda_graphs: record what is compiled as CUDA graphs, so that small models do not wait for the host
        channels_last: memory layout of convolutions; null chooses by device and model
        save_every: updates between two checkpoints; null saves at each evaluation
        log_every: updates between two rows of metrics.jsonl
    """

    epochs: Count | None = None
    steps: Count | None = None
    batch_size: Count = 64
    accumulate: Count = 1
    clip: Positive | None = 1.0
    freeze: tuple[str, ...] = ()
    lora: Count | None = None
    checkpointing: bool = False
    lr_factors: dict[str, Positive] | None = None
    ema: Share | None = None
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    threads: Count | None = None
    workers: Whole | None = None
    compile: bool = False
    cuda_graphs: bool = False
    channels_last: bool | None = None
    save_every: Count | None = None
    log_every: Count = 10

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Pairs of a key and what is wrong with it beside the others."""
        if self.epochs is not None and self.steps is not None:
            yield "steps", "give epochs or steps, not both"
        if self.cuda_graphs and not self.compile:
            yield "cuda_graphs", "records what is compiled; set compile: true as well"
        if self.accumulate > self.batch_size:
            yield "accumulate", f"a batch of {self.batch_size} cannot be split into {self.accumulate} micro-batches"


@dataclass(frozen=True)
class Evaluate:
    """When to look at the validation split, and what for.

    Args:
        every: updates between two evaluations; null for once an epoch
        batch_size: samples in one batch of evaluation; null for that of training
        patience: evaluations without a better score after which training stops; null for never
        monitor: the metric that picks the best weights, '-' in front where less is better; null for the task's own
    """

    every: Count | None = None
    batch_size: Count | None = None
    patience: Count | None = None
    monitor: str | None = None


@dataclass(frozen=True)
class Config:
    """One run, whole: what is in this object is what is in config.yaml, and nothing else decides a run.

    Args:
        task: what the numbers mean
        data: where samples come from, and how they are divided
        model: the network's body
        optimizer: how weights are changed
        schedule: how the learning rate goes
        train: how long, in what portions, on what
        evaluate: when to look at the validation split
        name: of the run folder; null for the config file's
    """

    task: Component
    data: Component
    model: Component
    split: Split = Split()
    optimizer: Optimizer = AdamW()
    schedule: Schedule = Cosine()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    name: str | None = None

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Pairs of a key and what is wrong with it beside the others."""
        if isinstance(self.schedule, Plateau) and not self.split.hold_out:
            yield "schedule", "plateau watches the validation split, so data.hold_out must be more than 0"
        if self.train.steps is not None and self.schedule.warmup >= max(1, self.train.steps):
            yield (
                "schedule",
                f"a warmup of {self.schedule.warmup:g} updates does not end within {self.train.steps} steps",
            )
