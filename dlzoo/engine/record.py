"""What a run says: a progress bar or plain lines on stderr, metrics.jsonl, log.txt; of the first process only."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from dlzoo import files, jsontext
from dlzoo.errors import printable

QUIET = 60.0
"""Seconds after which a run without a terminal says that it is alive."""


class Record:
    """The voice and the diary of one run; `folder` None keeps no diary (yet), `main` False says and writes nothing."""

    def __init__(self, folder: Path | None, *, main: bool = True):
        self.main = main
        self._bar: Any = None
        self._files: dict[str, IO[str]] = {}
        self._before: list[str] = []
        self._broken = ""
        self._spoken = time.monotonic()
        if folder is not None:
            self.open(folder)

    def open(self, folder: Path) -> None:
        """Keep the diary in `folder` from now on; what was said before goes into its log."""
        if not self.main:
            return
        self._folder = folder
        for name in ("metrics.jsonl", "log.txt"):
            self._files[name] = (folder / name).open("a", encoding="utf-8", buffering=1)
        for line in self._before:
            self._append("log.txt", line)
        self._before.clear()

    def rewind(self, step: int) -> None:
        """Take the rows after `step`, and a last line that a kill cut short, out of metrics.jsonl: they come again."""
        if "metrics.jsonl" in self._files:
            self._files.pop("metrics.jsonl").close()
            _truncate(path := self._folder / "metrics.jsonl", step)
            self._files[path.name] = path.open("a", encoding="utf-8", buffering=1)

    def say(self, text: str) -> None:
        """A line (or several) for the reader, on stderr and in log.txt."""
        if not self.main:
            return
        text = "\n".join(map(printable, text.split("\n")))
        self._spoken = time.monotonic()
        if self._bar is not None and not self._bar.disable:
            self._bar.write(text, file=sys.stderr)
        else:
            _print(text)
        if self._files:
            self._append("log.txt", text)
        else:
            self._before.append(text)

    def reading(self, what: str) -> Callable[[Iterable[int]], Iterable[int]]:
        """Progress for reading and encoding a split once, shown where it takes long."""

        def follow(chunks: Iterable[int]) -> Iterable[int]:
            from tqdm import tqdm

            return tqdm(
                chunks,
                desc=f"reading {what}",
                disable=None if self.main else True,
                file=sys.stderr,
                leave=False,
                delay=1,
            )

        return follow

    def start(self, step: int, steps: int) -> None:
        """Show progress from `step` of `steps`."""
        from tqdm import tqdm

        if self.main:
            self._bar = tqdm(
                initial=step, total=steps, unit="step", disable=None, file=sys.stderr, leave=False, dynamic_ncols=True
            )

    def advance(self) -> None:
        """One update is done."""
        if self._bar is not None:
            self._bar.update()

    def write(self, row: dict[str, Any]) -> None:
        """One row of metrics.jsonl; numbers that are not finite become null."""
        if not self.main:
            return
        if self._bar is not None and "split" not in row and not self._bar.disable:
            self._bar.set_postfix_str(f"loss {row['loss']:.4g}", refresh=False)
        elif time.monotonic() - self._spoken > QUIET and "split" not in row:
            self.say(f"step {row['step']:,}: loss {row['loss']:.4g}")
        self._append("metrics.jsonl", jsontext.dumps(finite(row)))

    def close(self) -> None:
        """End the progress bar and the files."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._broken:
            self.say(f"some of metrics.jsonl and log.txt is missing ({self._broken})")
        for file in self._files.values():
            try:
                file.close()
            except OSError as error:
                self._broken = error.strerror or str(error)
        self._files.clear()

    def _append(self, name: str, line: str) -> None:
        """A line at the end of a file; a full disk is said once and does not stop the run."""
        if name not in self._files:
            return
        try:
            self._files[name].write(line + "\n")
        except OSError as error:
            if not self._broken:
                self._broken = error.strerror or str(error)
                _print(f"warning: cannot write {name}: {self._broken}; the training goes on without it")


def _print(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody listens any more: that is no reason to stop
        pass


def finite(value: Any) -> Any:
    """`value` with null in the place of every number that JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list) else value


def _truncate(path: Path, step: int) -> None:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and _step(line) <= step]
    if len(kept) < len(lines):
        files.write_text(path, "".join(kept))


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
