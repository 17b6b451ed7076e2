"""What the tasks on tables share: reading a user's rows, and the inputs of a batch of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import DataError, printable
from dlzoo.task import Columns
from dlzoo.transforms.table import Row, TableEncoder


def facts(encoder: TableEncoder) -> dict[str, Any]:
    """Sizes of what the encoder gives."""
    return {"in_features": encoder.features} | ({"categories": encoder.categories} if encoder.codes else {})


def encode(encoder: TableEncoder, samples: list[Sample]) -> dict[str, Tensor]:
    """The tensors of many rows, key by key."""
    sources = [sample["source"] for sample in samples] if samples and "source" in samples[0] else None
    return encoder([sample["row"] for sample in samples], sources)


def inputs(columns: Columns) -> dict[str, Tensor]:
    """The model's inputs of a batch: `x` (B, F), and `codes` (B, C) where there are categories."""
    return {key: columns[key] for key in ("x", "codes") if key in columns}


def notes(encoder: TableEncoder) -> list[str]:
    """A sentence on the columns that are left out, if any."""
    names = ", ".join(map(printable, encoder.constant))
    return [f"left out, as they never vary in the training split: {names}."] if names else []


def style(data: Subset) -> dict[str, Any]:
    """How the data writes cells, as arguments of `read_rows`: a user's file is read as the training file was."""
    written = getattr(data.dataset, "style", None)
    return {"missing": list(written.missing), "decimal": written.decimal} if written else {}


def read(encoder: TableEncoder, style: dict[str, Any], source: Path | str) -> Iterator[Sample | DataError]:
    """The rows of a table's file, or the one row of a JSON object; columns that the model does not know are ignored."""
    if isinstance(source, Path):
        from dlzoo.data.table import read_rows

        for line, row in read_rows(source, encoder.types, **style):
            yield row if isinstance(row, DataError) else {"row": row, "source": f"{source}:{line}"}
        return
    try:
        row = json.loads(source)
    except ValueError as error:
        raise DataError(f"'{printable(source)[:80]}' is no file and no JSON object ({error}).") from None
    if not isinstance(row, dict):
        raise DataError(f"'{printable(source)[:80]}' is no JSON object of columns like {_example(encoder)}.")
    yield {"row": _typed(row, encoder.types, style.get("missing", ["", "NA"]))}


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


def _example(encoder: TableEncoder) -> str:
    return json.dumps({name: "a" if kind == "category" else 1.5 for name, kind in list(encoder.types.items())[:2]})
