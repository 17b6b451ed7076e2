"""What the rows on attacks share: payloads, a run to spoil, and what it means that an attack is blocked."""

from __future__ import annotations

import atexit
import hashlib
import io
import json
import pickle
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from dlzoo.run import seal
from reliability.command import Arm, Ended, dlzoo
from reliability.table import Table

ATTACKS = Table("attacks", "blocked", "exit 2, 3 or 4; nothing run, nothing written outside; < 2 s and < 300 MB more")

DIGITS = """\
task: image_classification
data: digits
model: {name: mlp, dim: 8}
train: {steps: 4, batch_size: 256, save_every: 2, threads: 1}
evaluate: {every: 2}
"""
SECONDS, MEMORY = 2.0, 300.0
"""What an attack may cost beyond a harmless command: seconds of the processor, and MB at the peak."""
RUN = "runs/mine-001"
_one_at_a_time = RLock()
T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """Let `make` be called by the first row that asks; others, which run beside it, wait and get the same."""
    kept = cache(make)

    @wraps(make)
    def wait() -> T:
        with _one_at_a_time:
            return kept()

    return wait


def blocked(
    place: Path, *arguments: object, codes: tuple[int, ...] = (2, 3, 4), arm: Arm | None = None, **env: str
) -> Ended:
    """`dlzoo ARGUMENTS` in `place`, an attack in its files: refused in words, nothing run, nothing written outside."""
    before, usual = outside(place), harmless()
    ended = dlzoo(*arguments, cwd=place, arm=arm, env=env, seconds=60)
    said = " ".join(map(str, arguments)) + f": {ended.error[-600:]}"
    assert not list(place.parent.rglob("canary*")), f"a payload has run: {said}"
    assert ended.code in codes, f"exit {ended.code}, not {codes}: {said}"
    assert "error: " in ended.error and "Traceback" not in ended.error, said
    assert len(ended.said.splitlines()) <= 6, said
    assert outside(place) == before, f"something outside of the run was written: {said}"
    assert ended.work < usual.work + SECONDS, f"{ended.work:.1f} s: {said}"
    assert ended.memory < usual.memory + MEMORY, f"{ended.memory:.0f} MB, {usual.memory:.0f} are usual: {said}"
    return ended


def outside(place: Path) -> dict[str, tuple[int, int]]:
    """Size and time of everything in and beside `place`, but for runs and what commands print."""
    kept: dict[str, tuple[int, int]] = {}
    for path in sorted(place.parent.rglob("*")):
        parts = path.relative_to(place.parent).parts
        if not parts[0].startswith(f".{place.name}.command-") and "runs" not in parts:
            info = path.lstat()
            kept[str(path)] = (info.st_size if path.is_file() else 0, info.st_mtime_ns if path.is_file() else 0)
    return kept


@once
def harmless() -> Ended:
    """A command that only says that its input is not there: what a process costs at least."""
    place = trained().parents[2] / "harmless"
    place.mkdir()
    return dlzoo("predict", trained() / "model", "none.png", cwd=place)


@once
def trained() -> Path:
    """A small run on digits, as if stopped after step 4; never changed."""
    home = Path(tempfile.mkdtemp(prefix="dlzoo-attacks-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    place = home / "here"
    place.mkdir()
    (place / "c.yaml").write_text(DIGITS)
    ended = dlzoo("train", "--config", "c.yaml", "--name", "mine", cwd=place)
    assert ended.code == 0, ended.error
    change(place / RUN / "run.json", lambda facts: facts | {"status": "running"})
    return place / RUN


def a_run(place: Path) -> Path:
    """A copy of the trained run, at runs/mine-001 in `place`, to spoil."""
    return Path(shutil.copytree(trained(), place / RUN))


def change(file: Path, how: Any) -> None:
    """Let `how` make a JSON file's object into another, with a checksum that is right: whoever sends it can do that."""
    values = how(json.loads(file.read_text()))
    if values.pop("checksum", None):
        seal.write(file, values)
    else:
        file.write_text(json.dumps(values))


def newest(run: Path) -> Path:
    """The newest checkpoint; the older ones are taken away, so that none can stand in for it."""
    *older, last = sorted((run / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
    for path in older:
        shutil.rmtree(path)
    return last


def put_model(run: Path, content: bytes) -> None:
    """Other weights in `model/`, with their own hash beside them: who sends a run can do that, too."""
    (run / "model" / "model.safetensors").write_bytes(content)
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change(run / "model" / "model.json", lambda meta: meta | facts)


def put_part(checkpoint: Path, part: str, content: bytes) -> None:
    """Another file in a checkpoint, with its own hash in the manifest."""
    (checkpoint / part).write_bytes(content)
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change(checkpoint / "manifest.json", lambda manifest: manifest | {part: facts})


def safetensors(header: Any, data: bytes = b"") -> bytes:
    """A file of that header, which may lie, and those bytes; the header is as long as the weights of a model."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * 20_000
    return struct.pack("<Q", len(text)) + text + data


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> Any:
        return open, (str(self.file), "w")


def pickles(place: Path) -> dict[str, bytes]:
    """The four forms in which torch has kept pickles, each of which makes a canary when it is loaded."""
    raw = pickle.dumps([Canary(place / "canary"), "x" * 20_000], 2)  # as large as the weights of a model
    archive, legacy, tar = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in {"data.pkl": raw, "version": b"3\n", "byteorder": b"little"}.items():
            file.writestr(f"archive/{name}", content)
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    for value in (0x1950A86A20F9469CFC6C, 1001, system):
        legacy.write(pickle.dumps(value, 2))
    legacy.write(raw + pickle.dumps([], 2))
    with tarfile.open(fileobj=tar, mode="w") as members:
        for name, content in {"sys_info": pickle.dumps(system, 2), "pickle": raw}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            members.addfile(info, io.BytesIO(content))
    return {"raw": raw, "zip": archive.getvalue(), "legacy": legacy.getvalue(), "tar": tar.getvalue()}
