"""Whether two finished runs are the same, bit for bit, and if not, what differs first and by how much."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlzoo import files
from dlzoo.engine import checkpoint, weights
from dlzoo.errors import RunError, printable
from dlzoo.run.folder import Run

CLOCK = "seconds"
"""The key of what a row of metrics.jsonl knows from the clock."""
VERSION = "dlzoo"
"""The key of state.json that says with what a run was trained, not what came of it."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same."""

    what: str
    """A tensor's name behind that of its file, a metric, a line of a file."""
    how: str
    delta: float | None = None
    """The largest absolute difference, where that can be said."""

    def __str__(self) -> str:
        return f"{self.what}: {self.how}"


def differences(one: Path, other: Path) -> list[Difference]:
    """All that differs between two finished run folders; weights come first, then what follows from them.

    Compared are the last checkpoint (weights, optimizer, average, plain values), the model, metrics.jsonl but for its
    clock, the best score, the test scores and the predictions. Raises RunError for a file that cannot be read.
    """
    return list(_differences(one, other))


def _differences(one: Path, other: Path) -> Iterator[Difference]:
    saved = [checkpoint.saved(run / "checkpoints")[-1:] for run in (one, other)]
    if all(saved):
        (mine,), (theirs,) = saved
        if mine.name != theirs.name:
            yield Difference("last checkpoint", f"{mine.name} and {theirs.name}")
        for part in checkpoint.PARTS[:2]:
            yield from _tensors(mine / part, theirs / part)
        yield from _values("state.json", *(_state(path / "state.json") for path in (mine, theirs)))
    yield from _tensors(one / "model" / "model.safetensors", other / "model" / "model.safetensors")
    yield from _rows(one / "metrics.jsonl", other / "metrics.jsonl")
    facts, others = Run(one).facts, Run(other).facts
    for key in ("status", "step", "best", "metrics", "intervals", "baseline"):
        yield from _values(f"run.json {key}", facts.get(key), others.get(key))
    yield from _bytes(*(run / "evaluate" / "test" / "predictions.jsonl" for run in (one, other)))


def _tensors(one: Path, other: Path) -> Iterator[Difference]:
    """Files of named tensors."""
    if files.sha256(one) == files.sha256(other):
        return
    mine, theirs = weights.load(one), weights.load(other)
    for name in mine.keys() ^ theirs.keys():
        yield Difference(f"{one.name} {name}", "in one of the two alone")
    for name in mine:
        if name in theirs:
            yield from _tensor(f"{one.name} {name}", mine[name], theirs[name])


def _tensor(name: str, one: Tensor, other: Tensor) -> Iterator[Difference]:
    if one.shape != other.shape or one.dtype != other.dtype:
        yield Difference(name, f"{tuple(one.shape)} of {one.dtype} and {tuple(other.shape)} of {other.dtype}")
    elif not torch.equal(_bits(one), _bits(other)):
        delta = float((one.double() - other.double()).abs().max())
        yield Difference(name, f"max |Δ| = {delta:.3g}", delta)


def _bits(tensor: Tensor) -> Tensor:
    """Every byte of a tensor: 0 is not -0, and a NaN is the same NaN."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _values(name: str, one: Any, other: Any) -> Iterator[Difference]:
    """Plain values, key by key."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            yield from _values(f"{name} {key}", one.get(key), other.get(key))
    elif one != other:
        numbers = isinstance(one, float | int) and isinstance(other, float | int)
        yield Difference(name, f"{_short(one)} and {_short(other)}", abs(one - other) if numbers else None)


def _rows(one: Path, other: Path) -> Iterator[Difference]:
    mine, theirs = _lines(one), _lines(other)
    if len(mine) != len(theirs):
        yield Difference(one.name, f"{len(mine)} rows and {len(theirs)}")
    for number, (row, their) in enumerate(zip(mine, theirs, strict=False), 1):
        yield from _values(f"{one.name} row {number}", row, their)


def _lines(path: Path) -> list[dict[str, Any]]:
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [{key: value for key, value in row.items() if key != CLOCK} for row in rows]


def _bytes(one: Path, other: Path) -> Iterator[Difference]:
    if one.exists() != other.exists():
        yield Difference(one.name, "written by one of the two alone")
    elif one.exists() and files.sha256(one) != files.sha256(other):
        with one.open("rb") as mine, other.open("rb") as theirs:
            line = next((i for i, pair in enumerate(zip(mine, theirs, strict=False), 1) if pair[0] != pair[1]), None)
        yield Difference(one.name, f"line {line} is the first that differs" if line else "one is longer")


def _state(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{printable(str(path))} cannot be read: {error}") from error
    return {key: value for key, value in values.items() if key != VERSION}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
