"""A run's folder: how it is found by a path, a name, a prefix or `last`, and what is in run.json and config.yaml."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlzoo import __version__, files, jsontext
from dlzoo.config import Config
from dlzoo.errors import ConfigError, OutputError, RunError, UserError, did_you_mean, printable
from dlzoo.schema.reader import load

ROOT = Path("runs")
CHECKPOINTS = "checkpoints"


def find(run: str | Path, root: Path = ROOT) -> Path:
    """The folder that `run` means: a path, the name of a run in `root`, a unique start of one, or `last` (the newest).

    `elsewhere/last` looks in `elsewhere`. Raises RunError where there is none, or more than one.
    """
    path, name = Path(run), str(run)
    if _is_run(path):
        return path
    if len(path.parts) > 1:
        root, name = path.parent, path.name
    names = {p.name: p for p in sorted(root.glob("*")) if _is_run(p)}
    text = printable(str(run))
    if name == "last":
        if not names:
            raise RunError(f"there is no run in {printable(str(root))}; dlzoo train --config FILE makes one")
        return max(names.values(), key=lambda p: (_started(p), p.name))
    if name in names:
        return names[name]
    fitting = [other for other in names if other.startswith(name)]
    if len(fitting) == 1:
        return names[fitting[0]]
    if fitting:
        shown = ", ".join(fitting[:5]) + (" ..." if len(fitting) > 5 else "")
        raise RunError(f"'{text}' fits {len(fitting)} runs: {shown}; give more of the name")
    if os.path.exists(path):  # unlike Path.exists, no error for a name that no file can have
        raise RunError(f"{text} is not a run: it has no run.json and no model.json")
    raise RunError(
        f"there is no run '{text}', nor a run of that name in {printable(str(root))}.{did_you_mean(name, names)}"
    )


def find_checkpoint(run: str | Path, root: Path = ROOT) -> tuple[Path, Path | None]:
    """The folder that `run` means, and the checkpoint, where it is RUN/checkpoints/step-N. Raises RunError."""
    path = Path(run)
    if path.parent.name != CHECKPOINTS or _is_run(path):
        return find(run, root), None
    home = find(path.parent.parent, root)
    if not (home / CHECKPOINTS / path.name).is_dir():
        there = ", ".join(sorted(found.name for found in (home / CHECKPOINTS).glob("step-*"))) or "none"
        raise RunError(f"{printable(str(home))} has no checkpoint {printable(path.name)}; there are: {there}")
    return home, home / CHECKPOINTS / path.name


def _is_run(path: Path) -> bool:
    try:
        return any((path / name).is_file() for name in ("run.json", "model.json", "model/model.json"))
    except (OSError, ValueError):  # a name that no file can have
        return False


def _started(path: Path) -> float:
    """When a run was made (a run that is gone on with stays as old as it is)."""
    try:
        return float(jsontext.load(path / "run.json")["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.stat().st_mtime


@contextmanager
def understood(name: str) -> Iterator[None]:
    """Whatever goes wrong in making sense of a file of a run is a RunError with its name: anyone may have made it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {printable(str(error))[:100]}"
        raise RunError(f"{printable(name)} does not hold what dlzoo {__version__} saves there ({why})") from error


def closed(path: Path) -> Path:
    """The run in `path`, if what is written to it stays in it. Raises RunError for a run with links or devices inside.

    Whoever sends a run may send a log.txt that leads to a file of yours.
    """
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            try:
                mode = os.lstat(os.path.join(folder, name)).st_mode
            except FileNotFoundError:  # another process trains here: what it writes is renamed as it goes
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                kind = "a link" if stat.S_ISLNK(mode) else "a pipe or a device"
                where = printable(os.path.join(folder, name))
                raise RunError(f"{where} is {kind}; put a copy in its place, so that what this run writes stays in it")
    return path


class Run:
    """One run's folder and the facts in its run.json."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.facts: dict[str, Any] = jsontext.load(path / "run.json")
        except FileNotFoundError:
            self.facts = {}
        except (OSError, ValueError) as error:
            raise RunError(f"{printable(str(path / 'run.json'))} cannot be read: {error}") from error

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints are."""
        return self.path / CHECKPOINTS

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end and tested."""
        return self.facts.get("status") == "finished"

    @property
    def config(self) -> Config:
        """The run's own config, resolved. Raises RunError where it is gone, or where an --import is missing."""
        file = self.path / "config.yaml"
        if not file.is_file():
            raise RunError(f"{printable(str(file))} is not there: a run without its config cannot go on")
        try:
            return load(file)
        except ConfigError as error:
            raise RunError(f"this run cannot be built here: {error}{import_hint(self.facts)}") from error

    def note(self, **facts: Any) -> None:
        """Change some facts of run.json, on disk at once."""
        if self.facts:
            self.stay()
        self.facts |= facts
        files.write_json(self.path / "run.json", self.facts)

    def stay(self) -> None:
        """Raise OutputError where the folder has gone: what is written would make half a run in its place."""
        if not (self.path / "run.json").is_file():
            raise OutputError(
                f"{printable(str(self.path))} is gone: it was moved or removed while it trained\n"
                "  nothing more is saved; where it was moved, dlzoo train --resume goes on from its last checkpoint"
            )


def import_hint(facts: dict[str, Any]) -> str:
    """What to give again of the files that a run or a model was trained with; "" where there were none."""
    needed = ", ".join(printable(str(name)) for name in facts.get("imports", []))
    return f"\n  it was trained with --import {needed}; give it again" if needed else ""
