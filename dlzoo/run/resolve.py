"""What a config leaves to the machine and to the data, decided by rules (never by a timing) and written down."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dlzoo import __version__
from dlzoo.config import Config
from dlzoo.data.dataset import Dataset, Pieces
from dlzoo.engine.cache import decoded
from dlzoo.engine.optimizer import FUSED, fused
from dlzoo.engine.runtime import Runtime
from dlzoo.task import Task

EPOCHS = 10


def resolve(config: Config, dataset: Dataset, task: Task, network: nn.Module, runtime: Runtime) -> Config:
    """`config` with every choice written out, so that it means the same run on a resume."""
    train, optimizer = config.train, config.optimizer
    convolves = any(isinstance(module, nn.Conv2d) for module in network.modules())
    layout = convolves and (runtime.device.type == "cpu" or train.precision != "float32")
    if optimizer.name in FUSED:
        optimizer = replace(optimizer, fused=fused(optimizer, runtime.device))  # type: ignore[arg-type]
    return replace(
        config,
        data=replace(config.data, args=config.data.args | dataset.arguments()),
        optimizer=optimizer,
        train=replace(
            train,
            epochs=EPOCHS if train.epochs is None and train.steps is None else train.epochs,
            device=runtime.device.type,  # type: ignore[arg-type]
            threads=runtime.threads,
            workers=workers(task, dataset) if train.workers is None else train.workers,
            channels_last=layout if train.channels_last is None else train.channels_last,
        ),
        evaluate=replace(config.evaluate, monitor=config.evaluate.monitor or task.monitor),
    )


def workers(task: Task, data: Pieces) -> int:
    """Processes that encode: a core's each but for the training's, four at most, where there is much to do for them.

    That is where samples are encoded anew in every epoch, or are many files to decode.
    """
    return min(4, (os.cpu_count() or 1) - 1) if task.draws or decoded(data) else 0


def environment(runtime: Runtime) -> dict[str, Any]:
    """What the last bits of a run depend on, besides its config and data."""
    return {
        "dlzoo": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name()
        if runtime.device.type == "cuda"
        else torch.backends.cpu.get_cpu_capability(),
        "threads": runtime.threads,
        "processes": runtime.processes.world,
    }


def commit() -> str | None:
    """The commit of the git checkout that the run is started in, with a + where files differ from it."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, cwd=Path.cwd(), check=True)
        return found.stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
