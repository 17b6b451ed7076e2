"""`dlzoo reproduce RUN`: train a finished run's own config once more, elsewhere, and say what is not the same."""

from __future__ import annotations

import json as json_
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dlzoo import registry
from dlzoo.errors import BelowBar, RunError, printable
from dlzoo.run import train
from dlzoo.run.folder import Run, find
from dlzoo.run.likeness import Difference, differences
from dlzoo.run.scores import number


@dataclass
class Reproduced:
    """What came of training once more."""

    run: str
    metrics: dict[str, tuple[Any, Any]]
    """Of each score in run.json, what it was and what it is; None where it is undefined."""
    differing: list[Difference]
    circumstances: list[str]
    """What differs in versions, data, device, threads and processes, in words."""

    @property
    def tensor(self) -> Difference | None:
        """The first tensor that differs."""
        return next((found for found in self.differing if ".safetensors " in found.what), None)

    def to_dict(self) -> dict[str, Any]:
        scores = {name: {"was": was, "is": now, "identical": was == now} for name, (was, now) in self.metrics.items()}
        return {
            "run": self.run,
            "identical": not self.differing,
            "metrics": scores,
            "differing": [asdict(found) for found in self.differing],
            "circumstances": self.circumstances,
        }


def reproduce(run: str | Path, *, imports: Sequence[Path] = (), json: bool = False) -> int:
    """Train the config of `run` in a temporary folder, print what is identical and what is not; returns an exit code.

    The run itself is not touched. Raises RunError for a run that is not there or not finished, BelowBar where anything
    differs.
    """
    registry.load(imports)
    before = Run(find(run))
    _finished(before)
    with tempfile.TemporaryDirectory(prefix="dlzoo-reproduce-") as root:
        outcome = train.train(before.config, root=Path(root), imports=imports, quiet=True)
        if outcome.code or os.environ.get("RANK", "0") != "0":  # stopped by a signal; or not the process that writes
            return outcome.code
        now = Run(outcome.run)
        scores, others = (facts.get("metrics", {}) for facts in (before.facts, now.facts))
        found = Reproduced(
            str(run),
            {name: (scores.get(name), others.get(name)) for name in dict.fromkeys([*scores, *others])},
            differences(before.path, now.path),
            list(_circumstances(before.facts, now.facts)),
        )
    if json:
        print(json_.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False, indent=2))
    else:
        _show(found)
    if found.differing:
        raise BelowBar(f"{printable(str(run))} is not reproduced: {printable(str(found.differing[0]))}")
    return 0


def _finished(run: Run) -> None:
    name = printable(str(run.path))
    if not run.facts:
        raise RunError(f"{name} is a model without its run: there is no run.json to say how it was trained")
    if not run.finished:
        status = f"{run.facts.get('status')} at step {run.facts.get('step', 0)}"
        raise RunError(f"{name} is not finished ({status}): dlzoo train --resume {name} ends it, then reproduce it")


def _circumstances(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    was, current = before.get("environment", {}), now.get("environment", {})
    for name in dict.fromkeys([*was, *current]):
        if was.get(name) != current.get(name):
            yield f"{name} was {was.get(name)} and is {current.get(name)}"
    if before.get("commit") != now.get("commit"):
        yield f"the commit was {before.get('commit')} and is {now.get('commit')}"
    if before.get("data") != now.get("data"):
        yield "the data is not what it was"


def _show(found: Reproduced) -> None:
    width = max(map(len, ["weights", *found.metrics]))
    print(f"{'weights'.ljust(width)}  {found.tensor or 'identical'}")
    for name, (was, now) in found.metrics.items():
        print(f"{printable(name).ljust(width)}  {_compared(was, now)}")
    for words in found.circumstances:
        print(f"{'changed'.ljust(width)}  {printable(words)}")
    if not found.differing:
        print("bit-identical: weights, optimizer, every logged row, best score, test scores, predictions")


def _compared(was: Any, now: Any) -> str:
    if was == now:
        return f"identical: {number(was)}"
    if was is None or now is None:
        return f"was {number(was)} and is {number(now)}"
    return f"was {was:.6g} and is {now:.6g}: {now - was:+.3g}"
