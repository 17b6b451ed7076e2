"""Where a run goes on: at its newest whole checkpoint or the one that is named, the same for all of its processes."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from dlzoo import files
from dlzoo.engine import checkpoint
from dlzoo.engine.checkpoint import State
from dlzoo.engine.processes import Processes
from dlzoo.run.folder import Run


def start_of(run: Run, named: Path | None, processes: Processes) -> tuple[State | None, list[str]]:
    """The state that `run` goes on with, None where it has no checkpoint yet; and what is to be said of it.

    named: the checkpoint that the user chose. The main process, which holds the run's lock, tidies up: what a kill left
    unfinished goes, and checkpoints that are damaged, or later than the chosen one, are set aside. Raises RunError.
    """
    state: State | None = None
    said: list[str] = []
    if processes.main:
        tidy(run)
        state, problems = (checkpoint.load(named), []) if named else checkpoint.newest(run.checkpoints)
        said = [f"warning: {problem}; using the checkpoint before it" for problem in problems]
        if state is None:
            said.append(f"{run.path.name} was stopped before its first checkpoint; it starts at step 0")
        else:
            named = named or run.checkpoints / f"step-{state.step}"
            said.append(f"resuming from step {state.step:,} ({named})")
            if aside := checkpoint.set_aside(run.checkpoints, state.step):
                with suppress(OSError):  # its rows come again in the run's own
                    shutil.copy2(run.path / "metrics.jsonl", aside[-1])
                names = ", ".join(path.name for path in aside)
                said.append(f"set aside, and no longer counted among the run's checkpoints: {names}")
    chosen = processes.from_main(str(named) if state else None)
    if chosen is not None and not processes.main:
        state = checkpoint.load(Path(chosen))
    return state, said


def tidy(run: Run) -> None:
    """Remove what a kill left unfinished in the run's folder: for whoever holds its lock."""
    for folder in [run.path, *filter(Path.is_dir, sorted(run.path.rglob("*")))]:
        files.clean(folder)
