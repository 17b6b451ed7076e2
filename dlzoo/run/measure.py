"""What `dlzoo selftest` compares: small trainings and evaluations, in one process or in several that work together."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlzoo.config import Config
from dlzoo.engine import loop, weights
from dlzoo.engine.loader import Loader, Scored
from dlzoo.engine.runtime import Runtime
from dlzoo.run.built import Built, build
from dlzoo.run.session import Session
from dlzoo.schema.reader import from_dict

MICRO = {"1x8": 1, "4x2": 4, "8x1": 8}
"""Micro-batches times their size, of one update: accumulate."""
AGAIN = "1x8 again"
WORLDS = (1, 2, 3)
"""Numbers of processes."""
SIZES = (1, 64)
"""Batch sizes of an evaluation."""

TASKS: dict[str, dict[str, Any]] = {
    "image_classification": {"data": {"name": "digits", "test": 1696, "hold_out": 41}},
    "face_recognition": {"embedding": 8, "data": {"name": "digits", "test": 1696, "hold_out": 41}},
    "tabular_classification": {"data": {"name": "credit", "test": 4353, "hold_out": 41}},
    "tabular_regression": {"data": {"name": "diabetes", "test": 341, "hold_out": 41}},
    "text_classification": {"context": 48, "data": {"name": "spam", "test": 2399, "hold_out": 41}},
    "masked_language_modeling": {"context": 24, "vocab": 300, "data": {"name": "spam", "test": 2399, "hold_out": 41}},
    "language_modeling": {"context": 16, "data": {"name": "austen", "test": 683_152, "hold_out": 656}},
    "forecasting": {"context": 12, "horizon": 6, "data": {"name": "airline", "test": 24, "hold_out": 46}},
}
"""Tasks that something bundled is for: about 60 pieces to train on, and 41, which neither 2 nor 3 divides, to score."""
PAIRS: list[tuple[str, dict[str, Any]]] = [
    ("image_classification", {"name": "lenet", "channels": [4, 8], "hidden": [16]}),
    ("image_classification", {"name": "resnet", "depth": 10, "width": 4}),
    ("image_classification", {"name": "vit", "dim": 16, "depth": 1, "heads": 2}),
    ("face_recognition", {"name": "lenet", "channels": [4, 8], "hidden": [16]}),
    ("tabular_classification", {"name": "mlp", "dim": 16}),
    ("tabular_regression", {"name": "mlp", "dim": 16}),
    ("text_classification", {"name": "bert", "dim": 16, "depth": 1, "heads": 2, "dropout": 0.0}),
    ("text_classification", {"name": "cnn1d", "embedding": 8, "dim": 12}),
    ("text_classification", {"name": "gru", "dim": 16, "causal": False}),
    ("language_modeling", {"name": "gpt", "dim": 16, "depth": 1, "heads": 2}),
    ("language_modeling", {"name": "lstm", "dim": 16}),
    ("masked_language_modeling", {"name": "bert", "dim": 16, "depth": 1, "heads": 2, "dropout": 0.0}),
    ("forecasting", {"name": "tcn", "dim": 8, "depth": 2}),
    ("forecasting", {"name": "transformer", "dim": 16, "depth": 1, "heads": 2}),
]


@dataclass(frozen=True)
class Case:
    """A task and a model."""

    name: str
    config: Config


def _case(task: str, model: dict[str, Any]) -> Case:
    keys = {"name": task} | {key: value for key, value in TASKS[task].items() if key != "data"}
    values = {
        "task": keys,
        "data": TASKS[task]["data"],
        "model": model,
        "optimizer": {"name": "sgd", "lr": 0.05},
        "schedule": "constant",
        "train": {"epochs": 1, "batch_size": 8, "clip": 1.0, "device": "cpu", "threads": 1},
    }
    return Case(f"{task} {model['name']}", from_dict(values))


CASES = [_case(task, model) for task, model in PAIRS]


@dataclass
class Measured:
    """What was found in one number of processes; the names of the cases lead those of what was measured."""

    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)

    def save(self, folder: Path, world: int) -> None:
        """Write it to `folder`."""
        flat = {f"{key}/{name}": value for key, found in self.tensors.items() for name, value in found.items()}
        weights.save(folder / f"{world}.safetensors", flat)
        (folder / f"{world}.json").write_text(json.dumps(self.scores), encoding="utf-8")

    @staticmethod
    def load(folder: Path, world: int) -> Measured:
        """What `save` wrote."""
        found = Measured(scores=json.loads((folder / f"{world}.json").read_text(encoding="utf-8")))
        for path, value in weights.load(folder / f"{world}.safetensors").items():
            key, _, name = path.partition("/")
            found.tensors.setdefault(key, {})[name] = value
        return found


def measure(folder: Path) -> None:
    """Measure every case, alone or as one of several processes, the first of which writes what was found."""
    runtime = Runtime(CASES[0].config.train)
    world, found = runtime.processes.world, Measured()
    alone = Measured.load(folder, 1) if world > 1 else found
    for case in CASES:
        built = build(case.config, runtime)
        runtime.place(built.network, bool(built.config.train.channels_last))
        initial = {name: value.clone() for name, value in built.network.state_dict().items()}
        for way in _ways(world, built.network):
            built.network.load_state_dict(initial)
            _train(built, MICRO.get(way, 1))
            found.tensors[f"{case.name} {way}"] = {k: v.clone() for k, v in built.network.state_dict().items()}
        built.network.load_state_dict(alone.tensors[f"{case.name} 1x8"])
        for size in SIZES if world == 1 else SIZES[:1]:
            found.scores[f"{case.name} size {size}"] = _scores(built, size)
        if world == 1:
            one, other = _padded(built)
            found.tensors[f"{case.name} alone"], found.tensors[f"{case.name} padded"] = one, other
    if runtime.processes.main:
        found.save(folder, world)
    runtime.processes.leave()


def batch_statistics(network: nn.Module) -> bool:
    """Whether what a sample becomes in training depends on its micro-batch."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def _ways(world: int, network: nn.Module) -> list[str]:
    """The ways in which a case is trained in so many processes; one that its micro-batches change, in one way alone."""
    if batch_statistics(network):
        return ["1x8", AGAIN] if world == 1 else []
    return [*MICRO, AGAIN] if world == 1 else ["1x8"]


def _train(built: Built, accumulate: int) -> None:
    """One epoch, whose last window is smaller, and one update of the next."""
    config, task, runtime = built.config, built.task, built.runtime
    loader = Loader(task, built.pieces["train"], batch_size=8, accumulate=accumulate, processes=runtime.processes)
    session = Session(config, task, built.network, runtime, len(loader) + 1)
    for row in session.rows(loader):
        session.take(row)


def _scores(built: Built, size: int) -> dict[str, float]:
    held = Scored(built.task, built.pieces["validation"], size, built.runtime.processes)
    return loop.evaluate(built.network, built.task, held, built.runtime).metrics


@torch.inference_mode()
def _padded(built: Built) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The outputs for every piece alone, and beside the longest one; none where all pieces are alike."""
    source = Scored(built.task, built.pieces["validation"], 1).source
    lengths = source.lengths()
    if lengths is None:
        return {}, {}
    built.network.eval()
    longest = int(lengths.argmax())

    def outputs(indices: list[int]) -> Tensor:
        found: Tensor = built.network(**built.task.collate(source.gather(indices, 0)).inputs)
        return found[0].clone()

    shorter = [i for i in range(len(lengths)) if lengths[i] < lengths[longest]]
    return {str(i): outputs([i]) for i in shorter}, {str(i): outputs([i, longest]) for i in shorter}
