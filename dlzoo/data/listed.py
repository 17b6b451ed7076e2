"""Files that a CSV lists, each with its class, its classes, or numbers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dlzoo.data.columns import number, several
from dlzoo.data.folders import SPLITS, Found
from dlzoo.data.rows import open_rows
from dlzoo.errors import DataError, first_few, printable


def listed(csv: Path, root: Path, targets: list[str] | None = None) -> Found:
    """The files below `root`, by split in the order of the rows, with their label, or labels, or the `targets`.

    Raises DataError for a row without a path or a label, of a file outside `root`, or of no split; what is wrong with a
    target stands in its place.
    """
    table = open_rows(csv)
    found = Found(key="values" if targets is not None else "labels" if "labels" in table.columns else "label")
    if found.key == "labels" and "label" in table.columns:
        raise DataError(f"{table.name}: there is a column label and a column labels: which is meant? Rename one.")
    for name in ("path", *(targets if targets is not None else (found.key,))):
        table.index(name)
    filled = ("path", "label") if found.key == "label" else ("path",)
    inside = root.resolve()
    rows: dict[str, list[tuple[Path, dict[str, str], Any]]] = {}
    seen, twice = set(), []
    for chunk in table.chunks():
        for error in chunk.bad.values():
            raise error
        for line, cells in zip(chunk.lines, chunk.cells, strict=True):
            row = {name: cell.strip() for name, cell in zip(table.columns, cells, strict=True)}
            where, file = f"{table.name}:{line}", root / row["path"]
            for name in filled:
                if not row[name]:
                    raise DataError(f"{where}: the {name} is empty.")
            if not file.resolve().is_relative_to(inside):
                within = f"is not inside {printable(str(root))}; set `path` to a folder that holds all of them"
                raise DataError(f"{where}: '{printable(row['path'])}' {within}.")
            part = SPLITS.get(row.get("split", "train").lower())
            if part is None:
                raise DataError(f"{where}: split '{printable(row['split'])}' is none of train, validation and test.")
            if not os.path.isfile(file):
                found.missing[file] = f"{row['path']} (row {line})"
            if row.get("sha256"):
                found.sums[file] = row["sha256"].lower()
            twice += [f"{row['path']} (row {line})"] if file in seen else []
            seen.add(file)
            rows.setdefault(part, []).append((file, row, _answer(row, found.key, targets or [], where)))
    if not rows:
        raise DataError(f"{table.name}: there are no rows below the header.")
    for part in ("train", "validation", "test"):
        if part in rows:
            found.splits[part] = list(range(len(found.files), len(found.files) + len(rows[part])))
            found.files += [file for file, _, _ in rows[part]]
            found.labels += [answer for _, _, answer in rows[part]]
            for name in table.columns:
                found.columns.setdefault(name, []).extend(row[name] for _, row, _ in rows[part])
    for name in ("path", "split", "sha256", found.key):
        found.columns.pop(name, None)
    found.notes += [f"listed twice in {table.name}: {first_few(twice)}"] if twice else []
    return found


def _answer(row: dict[str, str], key: str, targets: list[str], where: str) -> Any:
    """A label, the names of several, or named numbers; or what is wrong with a number."""
    if key == "label":
        return row["label"]
    if key == "labels":
        return several(row["labels"])
    values: dict[str, float] = {}
    for name in targets:
        if (value := number(row[name])) is None:
            what = f"'{printable(row[name][:60])}', not a finite number" if row[name] else "empty"
            return DataError(f"{where}: the target '{printable(name)}' is {what}.")
        values[name] = value
    return values
