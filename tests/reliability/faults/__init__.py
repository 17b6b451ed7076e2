"""Faults of the machine: kills, full disks, lost workers. The newest good checkpoint survives them."""

from reliability.faults import checkpoints, disks, kills, numbers, places, processes, signals, workers
from reliability.faults.runs import FAULTS

FAULTS.rows.sort(key=lambda row: row.number)
__all__ = ["FAULTS", "checkpoints", "disks", "kills", "numbers", "places", "processes", "signals", "workers"]
