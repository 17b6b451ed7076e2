"""A JSON file that says of itself whether it is whole: its first key is the SHA-256 of all the rest of its bytes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from dlzoo import files, jsontext

HEAD = re.compile(rb'\{\n  "checksum": "([0-9a-f]{64})",\n')


def write(path: Path, values: dict[str, Any]) -> None:
    """Put `values` at `path` with the checksum in front. Raises ValueError for NaN and infinity."""
    text = jsontext.dumps(values, indent=2) + "\n"
    rest = text.removeprefix("{\n")
    checksum = hashlib.sha256(rest.encode("utf-8")).hexdigest()
    files.write_text(path, f'{{\n  "checksum": "{checksum}",\n{rest}')


def check(path: Path) -> None:
    """Raise ValueError where a byte of the file at `path` is not as `write` put it."""
    data = path.read_bytes()
    head = HEAD.match(data)
    if head is None or hashlib.sha256(data[head.end() :]).hexdigest().encode() != head[1]:
        raise ValueError("checksum mismatch")
