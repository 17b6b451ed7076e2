"""What `dlzoo predict RUN INPUT...` reads: files, folders, globs, `-` for stdin, and literal arguments."""

import csv
import glob
import json
import os
import queue
import shutil
import stat
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast

from dlzoo.errors import DataError, printable

TABLES = (".csv", ".tsv", ".parquet", ".jsonl")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm")
SUFFIXES = {
    "image": (*PICTURES, ".dcm", ".nii", ".nii.gz"),
    "video": (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".flv", ".wmv"),
    "row": TABLES,
    "text": (".txt", *TABLES),
    "words": (".txt", ".conll", ".conllu", ".iob", ".bio", ".tsv", ".jsonl"),
    "messages": (".jsonl", ".ndjson", ".json", ".txt"),
    "series": TABLES,
}
"""Kinds of files that a folder is searched for, by the key of a sample that they hold."""
TEXTS = {"text", "words", "messages"}
"""Keys of a sample that an argument or a line of stdin may be, as it stands."""
LONGEST_LINE = 4 * 2**20
PAUSE = 0.2
"""Seconds without a new line of stdin after which the lines that wait for company are answered."""


@dataclass(frozen=True)
class Input:
    """One thing to read: a file (Path), text (str), or what was wrong with it."""

    content: Path | str | DataError
    name: str | None = None
    """What the answers call it; None where the task names the rows of a file itself."""


@dataclass
class Skipped:
    """Files of folders that were passed over."""

    hidden: int = 0
    kinds: Counter[str] | None = None

    def __str__(self) -> str:
        parts = [f"{self.hidden:,} hidden"] if self.hidden else []
        parts += [f"{count:,} {printable(kind)}" for kind, count in (self.kinds or Counter()).most_common(5)]
        return ", ".join(parts)


def expand(
    arguments: list[str], needs: tuple[str, ...], skipped: Skipped, exclude: Path | None = None
) -> Iterator[Input | None]:
    """Every input that the arguments name, in order, folders recursively and sorted; None where stdin pauses.

    needs: keys of a sample that the task needs: they say which files of a folder are read, and what a line of stdin is.
    exclude: a file that is being written, and so is not read.
    """
    for argument in arguments:
        if argument == "-":
            yield from _stdin(needs, cast(BufferedReader, sys.stdin.buffer))
        elif os.path.isdir(argument):
            yield from _folder(Path(argument), needs, skipped, exclude)
        elif os.path.lexists(argument):
            yield _file(argument)
        elif glob.has_magic(argument) and (found := sorted(glob.glob(argument, recursive=True))):
            for name in found:
                yield from _folder(Path(name), needs, skipped, exclude) if os.path.isdir(name) else [_file(name)]
        else:
            yield _literal(argument, needs)


def _file(name: str) -> Input:
    try:
        mode = os.stat(name).st_mode
    except OSError as error:
        return Input(DataError(f"cannot read {printable(name)}: {error.strerror}"), name)
    if not stat.S_ISREG(mode):
        return Input(DataError(f"{printable(name)} is not a regular file; use - to read from a pipe"), name)
    return Input(Path(name))


def _literal(argument: str, needs: tuple[str, ...]) -> Input:
    """An argument that names no file: text for a task that takes text, a JSON object for any; else a mistake."""
    suffix = os.path.splitext(argument)[1].lower()
    file_like = not any(map(str.isspace, argument)) and any(suffix in kinds for kinds in SUFFIXES.values())
    if argument.lstrip().startswith("{") or (TEXTS & set(needs) and not file_like):
        return Input(argument, argument if len(argument) <= 60 else argument[:57] + "...")
    if glob.has_magic(argument):
        return Input(DataError(f"no file matches {printable(argument)}"), argument)
    return Input(DataError(f"{printable(argument)} does not exist"), argument)


def _folder(folder: Path, needs: tuple[str, ...], skipped: Skipped, exclude: Path | None) -> Iterator[Input]:
    """The readable files under `folder`, sorted by name in each; no folder twice (links may make a loop)."""
    suffixes = tuple(suffix for key in needs for suffix in SUFFIXES.get(key, ()))
    kinds = skipped.kinds = skipped.kinds or Counter()
    seen: set[str] = set()
    waiting = [str(folder)]
    while waiting:
        name = waiting.pop()
        if os.path.isdir(name):
            if (real := os.path.realpath(name)) in seen:
                continue
            seen.add(real)
            try:
                inside = sorted(os.listdir(name), reverse=True)
            except OSError as error:
                yield Input(DataError(f"cannot read the folder {printable(name)}: {error.strerror}"), name)
                continue
            shown = [item for item in inside if not item.startswith(".")]
            skipped.hidden += len(inside) - len(shown)
            waiting += [os.path.join(name, item) for item in shown]
        elif exclude is not None and os.path.realpath(name) == os.path.realpath(exclude):
            continue
        elif suffixes and not name.lower().endswith(suffixes):
            kinds[os.path.splitext(name)[1].lower() or "without a suffix"] += 1
        else:
            yield _file(name)


def _stdin(needs: tuple[str, ...], stream: BufferedReader) -> Iterator[Input | None]:
    """Each line as an input: text, a JSON object, a row under a CSV header, or a path; a series is one whole CSV."""
    if "series" in needs and not stream.peek(1).startswith(b"{"):
        yield from _spooled(stream)
        return
    header: list[str] | None = None
    separator = ","
    takes_text = bool(TEXTS & set(needs))
    for number, line in lines(stream):
        if line is None:
            yield None
            continue
        name = f"-:{number}"
        text = line if isinstance(line, DataError) else line if takes_text else line.strip()
        if isinstance(text, DataError) or takes_text or text.startswith("{"):
            yield Input(text, name)
        elif "row" in needs and header is None and not os.path.exists(text):
            separator = max(",;\t", key=text.count)
            header = next(csv.reader([text.lstrip("\ufeff")], delimiter=separator), [])
        elif header is not None:
            yield Input(_row(header, next(csv.reader([text], delimiter=separator), []), name), name)
        elif text:
            yield _file(text) if os.path.lexists(text) else Input(DataError(f"{printable(text)} does not exist"), name)


def _row(header: list[str], values: list[str], name: str) -> str | DataError:
    if len(values) != len(header):
        return DataError(f"{name}: {len(values)} cells under a header of {len(header)}")
    return json.dumps(dict(zip(header, values, strict=True)))


def lines(stream: BufferedReader) -> Iterator[tuple[int, str | DataError | None]]:
    """Numbered lines without their ends, read by a thread, so that a pause of the sender shows: it comes as None."""
    ready: queue.Queue[bytes] = queue.Queue(maxsize=64)

    def read() -> None:
        while line := stream.readline(LONGEST_LINE):
            ready.put(line)
        ready.put(b"")

    threading.Thread(target=read, daemon=True).start()
    number = 0
    while True:
        try:
            line = ready.get(timeout=PAUSE)
        except queue.Empty:
            yield number, None
            line = ready.get()
        if not line:
            return
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := ready.get()) and not rest.endswith(b"\n"):
                pass
            yield number, DataError(f"-:{number}: a line of more than {LONGEST_LINE // 2**20} MB")
            continue
        try:
            yield number, line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield number, DataError(f"-:{number}: not UTF-8 at byte {error.start} of the line")


def _spooled(stream: BufferedReader) -> Iterator[Input]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stdin.csv"
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file)
        yield Input(path, "-")
