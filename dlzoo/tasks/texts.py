"""What tasks on texts share: reading those of a user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlzoo import jsontext
from dlzoo.data.dataset import Sample
from dlzoo.errors import DataError


def read(source: Path | str, column: str | None, style: dict[str, Any]) -> Iterator[Sample | DataError]:
    """A .txt file is one text, a file of rows has one in each row; an argument or a line is one, or a JSON object with
    one.

    Raises DataError for a file that cannot be read or lacks the column.
    """
    from dlzoo.data.rows import SUFFIXES
    from dlzoo.data.text_files import read_texts

    if isinstance(source, Path):
        yield from read_texts(source, column if source.suffix.lower() in SUFFIXES else None, **style)
        return
    text = source
    if source.lstrip().startswith("{"):
        try:
            row = jsontext.loads(source)
        except ValueError:
            row = {}
        text = row.get(column or "text", source)
    yield {"text": text if isinstance(text, str) else source, "source": source}
