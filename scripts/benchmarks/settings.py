"""What the command line asks of every row, and what is alike in all of them."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "dlzoo" / "data" / "bundled"
SMALL = 20
"""What a row's work is divided by for a mere try."""


@dataclass(frozen=True)
class Settings:
    """How a row is measured."""

    rounds: int
    threads: int
    peers: tuple[str, ...]
    images: Path
    """The folder with Fashion-MNIST in IDX files."""
    pictures: Path | None
    """A folder with CLASS/FILE, or a tar of one; None for pictures that are made."""
    folder: Path
    """Where a row may write; removed at the end."""
    small: bool = False

    def some(self, count: int) -> int:
        """`count`, or a small part of it for a try."""
        return max(1, count // SMALL) if self.small else count

    @property
    def environment(self) -> dict[str, str]:
        """What the processes of a row run in."""
        own = [str(ROOT), str(ROOT / "scripts"), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "OMP_NUM_THREADS": str(self.threads), "PYTHONPATH": os.pathsep.join(own)}


def module(name: str, *arguments: object) -> list[str]:
    """The command that runs a module of this folder in a process of its own."""
    return [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]


def dlzoo(*arguments: object) -> list[str]:
    """The command that a user types, with this checkout's dlzoo."""
    return [sys.executable, "-m", "dlzoo", *map(str, arguments)]
