"""Everything that a run needs to go on as if it had never stopped: a folder of safetensors and JSON, hashed and whole.

What is not here is a function of the step: order, augmentation, dropout, learning rate (but for a Plateau's drops).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dlzoo import __version__, files, jsontext
from dlzoo.engine import weights
from dlzoo.errors import RunError, printable

FORMAT = 1
PARTS = ("model.safetensors", "state.safetensors", "state.json")


@dataclass
class State:
    """What a checkpoint holds."""

    step: int
    """Updates done."""
    model: dict[str, Tensor]
    tensors: dict[str, Tensor]
    """The optimizer's and the average's."""
    values: dict[str, Any]
    """Plain values, among them `config` and `task`."""

    @property
    def bytes(self) -> int:
        """What the weights take."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.model.values())


def save(folder: Path, state: State) -> Path:
    """Write `folder`/step-N, which has that name only once all of it is on disk. Returns it.

    Raises ResourceError for a full disk, OutputError for a folder that cannot be written; earlier checkpoints stay.
    """
    path = folder / f"step-{state.step}"
    values = {"format": FORMAT, "dlzoo": __version__, "step": state.step, **state.values}
    with files.commit_folder(path) as part:
        weights.save(part / PARTS[0], state.model)
        weights.save(part / PARTS[1], state.tensors)
        (part / PARTS[2]).write_text(jsontext.dumps(values), encoding="utf-8")
        manifest = {
            name: {"sha256": files.sha256(part / name), "bytes": (part / name).stat().st_size} for name in PARTS
        }
        (part / "manifest.json").write_text(jsontext.dumps(manifest, indent=1), encoding="utf-8")
    return path


def load(path: Path) -> State:
    """The checkpoint in `path`, every byte of it verified. Raises RunError that says what is wrong with it."""
    name = printable(path.name)
    try:
        _verify(path, name)
        values = jsontext.load(path / PARTS[2])
        step, made = int(values["step"]), f"dlzoo {values['dlzoo']} (format {values['format']})"
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {printable(str(error))[:100]}"
        raise RunError(f"checkpoint {name} is damaged: {why}") from error
    if values["format"] != FORMAT:
        raise RunError(f"{name} was written by {printable(made)}; this is dlzoo {__version__} (format {FORMAT})")
    return State(step, weights.load(path / PARTS[0]), weights.load(path / PARTS[1]), values)


def newest(folder: Path) -> tuple[State | None, list[str]]:
    """The newest checkpoint of a run that is whole, and what was wrong with newer ones; None where there is none.

    Raises RunError where there are some and all are damaged.
    """
    problems: list[str] = []
    for path in reversed(saved(folder)):
        try:
            return load(path), problems
        except RunError as error:
            problems.append(str(error))
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems[:4])
        where = printable(str(folder))
        raise RunError(
            f"every checkpoint in {where} is damaged:\n{listed}\n  train --config starts anew, in a new folder"
        )
    return None, []


def saved(folder: Path) -> list[Path]:
    """The checkpoints in a folder, by step (never by date)."""
    found = [path for path in folder.glob("step-*") if path.is_dir() and path.name[5:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[5:]))


def prune(folder: Path, keep: Iterable[int] = (), last: int = 2) -> None:
    """Remove all but the `last` newest and those of the steps in `keep`."""
    kept = {f"step-{step}" for step in keep}
    for path in saved(folder)[:-last]:
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _verify(path: Path, name: str) -> None:
    manifest = jsontext.load(path / "manifest.json")
    for part in PARTS:
        wanted, file = manifest[part], path / part
        if (size := file.stat().st_size) != wanted["bytes"]:
            raise RunError(f"checkpoint {name} is truncated: {part} has {size:,} of {wanted['bytes']:,} bytes")
        if files.sha256(file) != wanted["sha256"]:
            raise RunError(f"checkpoint {name} is damaged: checksum mismatch in {part}")
