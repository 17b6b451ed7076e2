"""A run's `model` folder: the weights and all that `predict` needs beside them. It works wherever it is copied."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from dlzoo import __version__, files, jsontext, registry
from dlzoo.config import Config, Train
from dlzoo.engine import weights
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import ConfigError, RunError, UserError, printable
from dlzoo.run import seal
from dlzoo.run.build import build_network, build_task
from dlzoo.run.folder import find, import_hint, understood
from dlzoo.schema.reader import from_dict
from dlzoo.schema.writer import to_dict
from dlzoo.task import Network, Task

FORMAT = 2
WEIGHTS, NEXT = "model.safetensors", "next.safetensors"


@dataclass
class Description:
    """What model.json says."""

    folder: Path
    config: Config
    meta: dict[str, Any]
    """`task` (what the task learned), `step`, `metrics`, `imports`, `data` (its fingerprint), `sha256` ..."""

    @property
    def run(self) -> Path | None:
        """The run that the folder belongs to; None for a model folder alone."""
        return self.folder.parent if (self.folder.parent / "run.json").is_file() else None


@dataclass
class Portable(Description):
    """A model ready to answer."""

    task: Task
    network: Network
    runtime: Runtime


def save(folder: Path, network: nn.Module, task: Task, config: Config, **facts: Any) -> None:
    """Write the network as it is, the task's state and `facts` to `folder`; what was there stays whole until this is.

    The new weights come beside the old ones, then model.json names them by their hash, then they take the old ones'
    place: whenever that is cut short, model.json names weights that are there.
    """
    files.write(folder / NEXT, lambda part: weights.save(part, network.state_dict()))
    meta = {
        "format": FORMAT,
        "dlzoo": __version__,
        "torch": torch.__version__,
        "sha256": files.sha256(folder / NEXT),
        "bytes": (folder / NEXT).stat().st_size,
        "config": to_dict(config),
        "task": task.state_dict(),
        **facts,
    }
    seal.write(folder / "model.json", meta)
    os.replace(folder / NEXT, folder / WEIGHTS)


def read(run: str | Path, imports: list[Path] | None = None) -> Description:
    """What a run's model is, its weights not read. Raises RunError where there is none, or it cannot be built here."""
    path = find(run)
    folder = path if (path / "model.json").is_file() else path / "model"
    file = folder / "model.json"
    if not file.is_file():
        why = "its first evaluation is still to come (train --resume goes on with it), or model/ was taken away"
        raise RunError(f"{printable(str(path))} has no model: {why}")
    try:
        meta = jsontext.load(file)
        if meta["format"] != FORMAT:
            made = f"dlzoo {printable(str(meta['dlzoo']))} (format {meta['format']})"
            raise RunError(f"{printable(str(file))} was written by {made}; this is {__version__} (format {FORMAT})")
        seal.check(file)
        if imports:
            registry.load(imports)
        return Description(folder, from_dict(meta["config"], str(file)), meta)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{printable(str(file))} is damaged: {type(error).__name__}: {printable(str(error))[:100]}"
        ) from error
    except ConfigError as error:
        raise RunError(f"this model cannot be built here: {error}{import_hint(meta)}") from error


def load(run: str | Path, *, device: str = "auto", imports: list[Path] | None = None) -> Portable:
    """A run's best model (or that in a copy of its model folder), verified, on the device, in evaluation mode.

    For one process alone: raises UserError under torchrun, where each would print and write all of the answers.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("evaluate and predict are the work of one process: start them without torchrun")
    found = read(run, imports)
    task = build_task(found.config)
    with understood(str(found.folder / "model.json")):
        task.load_state_dict(found.meta["task"])
        file = verified(found)
        network = build_network(found.config, task, most=file.stat().st_size)
        task.scored(found.meta.get("metrics", {}))
    fill(network, file)
    # precision as in training: what was scored is what is answered
    runtime = Runtime(Train(device=cast(Any, device), precision=found.config.train.precision))
    runtime.place(network, bool(found.config.train.channels_last))
    network.eval()
    return Portable(found.folder, found.config, found.meta, task, network, runtime)


def verified(found: Description) -> Path:
    """The file with the weights that model.json names. Raises RunError where there is none."""
    for name in (WEIGHTS, NEXT):
        file = found.folder / name
        if file.is_file() and file.stat().st_size == found.meta["bytes"] and files.sha256(file) == found.meta["sha256"]:
            return file
    file = found.folder / WEIGHTS
    why = "it has been changed or cut short (checksum mismatch)" if file.is_file() else "it is not there"
    raise RunError(
        f"{printable(str(file))} is not the model that was saved: {why}; copy the folder again, or train --resume"
    )


def fill(network: nn.Module, file: Path) -> None:
    """Give `network` the weights in a file that is `verified`. Raises RunError where they do not fit."""
    try:
        network.load_state_dict(weights.load(file))
    except RuntimeError as error:
        raise RunError(
            f"{printable(str(file))} does not fit its own description: {str(error).splitlines()[-1].strip()}"
        ) from error
