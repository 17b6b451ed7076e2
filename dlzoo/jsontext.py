"""JSON as dlzoo writes and reads it: without NaN, without what could steer a terminal, and within limits."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

LARGEST = 64_000_000
"""Bytes of a file; a vocabulary of a million words is a quarter of that."""
MOST = 2_000_000
"""Values in a file: a list may take 20 times its text in memory."""


def dumps(value: Any, indent: int | None = None) -> str:
    """`value` as JSON: letters as they are, control and direction characters by their number.

    Raises ValueError for NaN and infinity, which JSON does not have.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n"))


def show(value: Any) -> None:
    """Print `value` as one JSON document."""
    print(dumps(value, indent=2))


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else json.dumps(letter)[1:-1]


def loads(text: str | bytes) -> Any:
    """What a text says. Raises ValueError for one that is no JSON, or is nested deeper than Python can follow."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def load(path: Path, largest: int = LARGEST, most: int = MOST) -> dict[str, Any]:
    """The object in a file, whoever wrote it, of at most so many bytes and values.

    Raises OSError, or ValueError for what is no such file.
    """
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise ValueError("not a regular file")
    if info.st_size > largest:
        raise ValueError(f"{info.st_size:,} bytes, more than {largest:,}")
    data = path.read_bytes()
    if sum(map(data.count, (b",", b"[", b"{"))) > most:
        raise ValueError(f"more than {most:,} values")
    value = loads(data)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
