"""What dlzoo promises, as numbered rows: each is one line of promise and a check that fails where it is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Check = Callable[[Path], None]
"""Takes an empty folder; raises AssertionError where the promise is broken, Skipped where it cannot be tried."""


class Skipped(Exception):  # noqa: N818
    """A row that cannot be tried here, and why: never counted as kept."""


@dataclass(frozen=True)
class Row:
    """One promise."""

    number: str
    """F01, B17 ...: as docs/reliability.md has it."""
    promise: str
    check: Check
    quick: bool
    """Whether it is part of `scripts/reliability --quick`, and of the tests."""
    cases: int = 1
    """What it counts for: a check may try many of a kind, and holds only if all of them do."""


class Table:
    """The rows of one kind. Checks run beside each other in one process: they may patch nothing in it."""

    def __init__(self, name: str, kept: str, note: str = ""):
        self.name, self.kept, self.note = name, kept, note
        self.rows: list[Row] = []
        TABLES.append(self)

    def row(self, number: str, promise: str, *, quick: bool = True, cases: int = 1) -> Callable[[Check], Check]:
        """Add the function below as a row."""

        def add(check: Check) -> Check:
            self.rows.append(Row(number, promise, check, quick, cases))
            return check

        return add


TABLES: list[Table] = []
"""All tables, as their modules are imported."""
