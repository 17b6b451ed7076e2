"""Figures of a run as PNG files: learning curves, and what its task draws of the answers to a split."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlzoo import files
from dlzoo.engine.loop import Scores
from dlzoo.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves(run: Path, monitor: str) -> list[Path]:
    """The learning curves of the run in `run`, from its metrics.jsonl, as figures/curves.png, if a step was logged.

    monitor: the metric that picks the best weights, '-' in front where less is better.
    """
    from dlzoo.report import figures

    rows = list(_rows(run / "metrics.jsonl"))
    return _save(run / "figures", {"curves": figures.curves(rows, monitor)}) if rows else []


def scored(folder: Path, task: Task, scores: Scores) -> list[Path]:
    """The task's figures of a split that was scored (confusion matrix, ROC, forecast fan ...) as folder/NAME.png."""
    return _save(folder, task.plot(scores.states, scores.answers, scores.truths))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):  # the last one may still be being written
                yield json.loads(line)


def _save(folder: Path, figures: "dict[str, Figure]") -> list[Path]:
    from dlzoo.report.figures import save

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        files.write(paths[-1], partial(save, figure))
    return paths
