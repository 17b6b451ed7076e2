"""Faults of the machine: kills, full disks, lost workers. The newest good checkpoint survives them."""

from __future__ import annotations

from pathlib import Path

from reliability.command import dlzoo
from reliability.table import Table

FAULTS = Table("faults", "survived", "exit code, newest good checkpoint usable, at most 6 lines, no traceback")

DIGITS = """\
task: image_classification
data: digits
model: {name: mlp, dim: 16}
train: {steps: 12, batch_size: 128, save_every: 3, threads: 1}
evaluate: {every: 6}
"""


@FAULTS.row("F40", "a finished run is not trained again: it says so, exit 0")
def _(place: Path) -> None:
    (place / "c.yaml").write_text(DIGITS)
    first = dlzoo("train", "--config", "c.yaml", cwd=place)
    assert first.code == 0, first.error
    again = dlzoo("train", "--resume", "last", cwd=place)
    assert again.code == 0 and "already finished" in again.error, again.error
