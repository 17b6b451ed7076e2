"""`dlzoo train --folds K`: a model a fold, and the mean and standard deviation of every test metric."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlzoo.config import Config
from dlzoo.errors import ConfigError, UserError, printable
from dlzoo.run.folder import ROOT
from dlzoo.run.train import Outcome, train


@dataclass
class Folds:
    """How the trainings of all folds ended."""

    runs: list[Outcome]
    code: int = 0

    @property
    def metrics(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation over the folds of every metric that all of them have."""
        return _spread([run.metrics for run in self.runs])

    @property
    def baseline(self) -> dict[str, tuple[float, float]]:
        """The same of the trivial answer."""
        return _spread([run.baseline for run in self.runs])

    def to_dict(self) -> dict[str, Any]:
        spreads = {"metrics": self.metrics, "baseline": self.baseline}
        return {
            "runs": [run.to_dict() for run in self.runs],
            **{
                key: {name: {"mean": mean, "sd": sd} for name, (mean, sd) in spread.items()}
                for key, spread in spreads.items()
            },
            "code": self.code,
        }


def _spread(found: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    names = [name for name in found[0] if all(isinstance(scores.get(name), float | int) for scores in found)]
    values = {name: [scores[name] for scores in found] for name in names}
    return {name: (statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else 0.0) for name, v in values.items()}


def folds(
    config: Config,
    count: int,
    *,
    root: Path = ROOT,
    imports: Sequence[Path] = (),
    argv: Sequence[str] = (),
    quiet: bool = False,
) -> Folds:
    """Train `config` once for each of `count` folds, the fold being the test split, each in a run of its own.

    A signal stops the fold under way, which can be resumed, and those that were to come. Raises ConfigError for a
    config that asks for another number of folds, or for one of them, and UserError under torchrun, whose processes meet
    once: those that are early for the next fold would meet the last one's.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("--folds trains one model after the other in one process: start it without torchrun")
    if config.split.folds not in (None, count):
        raise ConfigError([f"data.folds: {config.split.folds}, but --folds {count}: leave one of them out"])
    if config.split.fold is not None:
        raise ConfigError([f"data.fold: {config.split.fold}, but --folds trains all of them: leave one of them out"])
    found = Folds([])
    name = config.name or f"{config.data.name}_{config.model.name}"
    for fold in range(count):
        split = replace(config.split, folds=count, fold=fold)
        one = replace(config, split=split, name=f"{name}-fold{fold}")
        outcome = train(one, root=root, imports=imports, argv=argv, quiet=True)
        found.runs.append(outcome)
        if outcome.code:
            found.code = outcome.code
            return found
    if not quiet:
        for run in found.runs:
            whole = [f"{name} {run.metrics[name]:.4f}" for name in found.metrics if "." not in name]
            print(f"{printable(str(run.run))}: " + ", ".join(whole))
        width = max(map(len, found.metrics), default=0)
        print(f"mean of {count} folds ± standard deviation, and the baseline's mean")
        for name, (mean, deviation) in found.metrics.items():
            floor = f"  {found.baseline[name][0]:.4f}" if name in found.baseline else ""
            print(f"{name.ljust(width)}  {mean:.4f} ± {deviation:.4f}{floor}")
    return found
