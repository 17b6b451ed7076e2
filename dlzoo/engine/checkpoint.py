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
from dlzoo.errors import OutputError, ResourceError, RunError, printable

FORMAT = 1
PARTS = ("model.safetensors", "state.safetensors", "state.json")
ASIDE = ".aside"
"""The end of the name of a checkpoint that a run has gone back behind."""


class Damaged(RunError):  # noqa: N818
    """A checkpoint that is not what was written."""


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
    """Write `folder`/step-N, which has that name only once all of it is on disk and verified. Returns it.

    On a full disk the earlier checkpoints but the newest make room, once. Raises ResourceError where that is not
    enough, OutputError for a folder that cannot be written or does not hold what is written; the newest stays.
    """
    try:
        return _write(folder, state)
    except ResourceError:
        prune(folder, last=1)
    try:
        return _write(folder, state)
    except ResourceError as error:
        raise ResourceError(f"cannot save step {state.step:,}: {_want(folder, state)}; {_kept(folder)}") from error


def _write(folder: Path, state: State) -> Path:
    path = folder / f"step-{state.step}"
    values = {"format": FORMAT, "dlzoo": __version__, "step": state.step, **state.values}
    try:
        with files.commit_folder(path, lambda part: verify(part, path.name)) as part:
            weights.save(part / PARTS[0], state.model)
            weights.save(part / PARTS[1], state.tensors)
            (part / PARTS[2]).write_text(jsontext.dumps(values), encoding="utf-8")
            manifest = {
                name: {"sha256": files.sha256(part / name), "bytes": (part / name).stat().st_size} for name in PARTS
            }
            (part / "manifest.json").write_text(jsontext.dumps(manifest, indent=1), encoding="utf-8")
    except Damaged as error:
        why = f"what the disk holds is not what was written ({error})"
        raise OutputError(f"cannot save step {state.step:,}: {why}; {_kept(folder)}; have the disk checked") from error
    return path


def _want(folder: Path, state: State) -> str:
    """What a checkpoint needs and what there is."""
    need, free = state.bytes + sum(tensor.nbytes for tensor in state.tensors.values()), files.free(folder)
    room = f"{free / 1e6:,.1f} MB free" if free < need else "which a quota or a limit on files does not allow"
    return f"needs {need / 1e6:,.1f} MB, {room} in {files.shown(folder)}"


def _kept(folder: Path) -> str:
    there = saved(folder)
    return f"{there[-1].name.replace('-', ' ')} is kept" if there else "there is no earlier one"


def load(path: Path) -> State:
    """The checkpoint in `path`, every byte of it verified. Raises RunError that says what is wrong with it."""
    values = verify(path)
    return State(int(values["step"]), weights.load(path / PARTS[0]), weights.load(path / PARTS[1]), values)


def verify(path: Path, name: str = "") -> dict[str, Any]:
    """Compare every byte in `path` with the manifest; returns the plain values. `name` is what it is called.

    Raises Damaged, or RunError for a checkpoint that another version of dlzoo wrote in a format of its own.
    """
    name = printable(name or path.name)
    try:
        manifest = jsontext.load(path / "manifest.json")
        _compare(path / PARTS[2], manifest, name)  # first, as it says how the others are to be read
        values = jsontext.load(path / PARTS[2])
        int(values["step"])
        if values["format"] != FORMAT:
            made = f"written by dlzoo {printable(str(values['dlzoo']))} (format {values['format']})"
            raise RunError(f"{name} was {made}; this is dlzoo {__version__} (format {FORMAT}): go on with that version")
        for part in PARTS[:2]:
            _compare(path / part, manifest, name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"checkpoint {name} is damaged: {type(error).__name__}: {printable(str(error))[:100]}") from error
    return values


def _compare(file: Path, manifest: dict[str, Any], name: str) -> None:
    wanted = manifest[file.name]
    if (size := file.stat().st_size) != wanted["bytes"]:
        raise Damaged(f"checkpoint {name} is truncated: {file.name} has {size:,} of {wanted['bytes']:,} bytes")
    if files.sha256(file) != wanted["sha256"]:
        raise Damaged(f"checkpoint {name} is damaged: checksum mismatch in {file.name}")


def newest(folder: Path) -> tuple[State | None, list[str]]:
    """The newest checkpoint of a run that is whole, and what was wrong with newer ones; None where there is none.

    Raises RunError where there are some and all are damaged, and for one that another version of dlzoo wrote.
    """
    problems: list[str] = []
    for path in reversed(saved(folder)):
        try:
            return load(path), problems
        except Damaged as error:
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


def set_aside(folder: Path, step: int) -> list[Path]:
    """Rename the checkpoints after `step`, which the run goes back to, so that none counts as its newest; their names.

    Nothing is lost: one that gets its name back is a checkpoint again.
    """
    found = []
    for path in saved(folder):
        if int(path.name[5:]) > step:
            names = (f"{path.name}{ASIDE}{number}" for number in ("", *range(2, 1000)))
            found.append(path.rename(next(place for name in names if not (place := folder / name).exists())))
    return found


def prune(folder: Path, keep: Iterable[int] = (), last: int = 2) -> None:
    """Remove all but the `last` newest and those of the steps in `keep`."""
    kept = {f"step-{step}" for step in keep}
    for path in saved(folder)[:-last]:
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
