"""What the tasks on tables share: the rows of a table as the inputs of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from dlzoo import jsontext
from dlzoo.choices import Numbers
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import DataError, printable
from dlzoo.task import Batch, Columns
from dlzoo.transforms.table import Row, TableEncoder


class Rows:
    """A table's rows as tensors: what they hold is learned from the training split, and a user's file is read alike.

    `numbers` and `rare` are those of TableEncoder.
    """

    def __init__(self, numbers: Numbers, rare: int):
        self.encoder = TableEncoder(numbers, rare)
        self.style: dict[str, Any] = {}
        """How the training file writes cells, as arguments of `read_rows`."""

    def fit(self, data: Subset) -> None:
        """Learn from the training split."""
        self.encoder.fit(data.column("row"))
        self.style = dict(getattr(data.dataset, "reading", {}))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The model's inputs: `x` (B, F), and `codes` (B, C) where there are categories."""
        return ("x", "codes") if self.encoder.codes else ("x",)

    @property
    def requires(self) -> tuple[str, ...]:
        """What a model must take for them."""
        return ("categories",) if self.encoder.codes else ()

    @property
    def notes(self) -> list[str]:
        """A sentence on the columns that are left out, if any."""
        names = ", ".join(map(printable, self.encoder.constant))
        return [f"left out, as they never vary in the training split: {names}."] if names else []

    def encode(self, samples: list[Sample]) -> Columns:
        """The inputs of many rows."""
        sources = [sample["source"] for sample in samples] if samples and "source" in samples[0] else None
        return dict(self.encoder([sample["row"] for sample in samples], sources))

    def unknown(self, columns: Columns) -> dict[str, int]:
        """Of each category column: how many rows hold what the training split lacked, or had too rarely."""
        if "codes" not in columns:
            return {}
        counts = (columns["codes"] == 0).sum(0).tolist()
        return {column["name"]: n for column, n in zip(self.encoder.codes, counts, strict=True) if n}

    def batch(self, columns: Columns, targets: dict[str, Tensor]) -> Batch:
        """Rows side by side."""
        return Batch({key: columns[key] for key in self.inputs}, targets, count=len(columns["x"]))

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        """The rows of a file, or the one row of a JSON object; columns that the model does not know are ignored."""
        if isinstance(source, Path):
            from dlzoo.data.table import read_rows

            for line, row in read_rows(source, self.encoder.types, **self.style):
                yield row if isinstance(row, DataError) else {"row": row, "source": f"{source}:{line}"}
            return
        try:
            row = jsontext.loads(source)
        except ValueError as error:
            raise DataError(f"'{printable(source)[:80]}' is no file and no JSON object ({error}).") from None
        if not isinstance(row, dict):
            example = {name: "a" if kind == "category" else 1.5 for name, kind in list(self.encoder.types.items())[:2]}
            raise DataError(f"'{printable(source)[:80]}' is no JSON object of columns like {json.dumps(example)}.")
        yield {"row": _typed(row, self.encoder.types, self.style.get("missing", ["", "NA"]))}

    def state_dict(self) -> dict[str, Any]:
        """What was learned, as JSON."""
        return {"table": self.encoder.state_dict(), "style": self.style}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Be what `state_dict` described."""
        self.encoder.load_state_dict(state["table"])
        self.style = state["style"]


def _typed(row: Row, types: dict[str, str], missing: list[str]) -> Row:
    """Cells of JSON as those of a file: the empty text is missing, in a number column so is what `missing` lists."""
    typed = dict(row)
    for name, kind in types.items():
        if (cell := row.get(name)) is None:
            continue
        if kind == "category":
            typed[name] = str(cell) or None
        elif isinstance(cell, str) and cell.strip() in missing:
            typed[name] = None
        elif not isinstance(cell, (str, int, float)):
            raise DataError(
                f"column '{printable(name)}' holds numbers, and here is {printable(json.dumps(cell))[:80]}."
            )
    return typed
