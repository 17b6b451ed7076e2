"""Files and folders that are either whole or not there; run folders; locks; what went wrong, in a user's words."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dlzoo import jsontext
from dlzoo.errors import OutputError, ResourceError, UserError, printable

PART = ".part"
"""The end of the names of things that are not finished."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write(path: Path, save: Callable[[Path], None]) -> None:
    """Let `save` write a file beside `path`, then put it in place at once: `path` is old or new, never half.

    Raises ResourceError where the disk is full, OutputError where the place cannot be written.
    """
    with explained(path), _beside(path) as folder:
        part = folder / path.name
        save(part)
        _settle(part)
        os.replace(part, path)
        _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Put `text` at `path`, as UTF-8."""
    write(path, lambda part: _write_bytes(part, text.encode("utf-8")))


def write_json(path: Path, value: Any) -> None:
    """Put `value` at `path` as JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    write_text(path, jsontext.dumps(value, indent=2) + "\n")


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@contextmanager
def commit_folder(path: Path, verify: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """A folder to fill, which becomes `path` as a whole when the block ends well, and vanishes when it does not.

    An older folder at `path` is replaced. Every file is on the disk before the name is, and has passed `verify`, which
    gets the folder and raises where something in it is not as it should be.
    """
    with explained(path), _beside(path) as part:
        yield part
        for folder, _, names in os.walk(part):
            for name in names:
                _settle(Path(folder, name))
            _sync(Path(folder))
        if verify is not None:
            verify(part)
        os.chmod(part, 0o777 & ~_umask())
        _put(part, path)
        _sync(path.parent)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder of one's own beside `path`, for what is not finished and for a library's own temporary files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.{os.getpid()}.", suffix=PART, dir=path.parent))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _put(part: Path, path: Path) -> None:
    """Rename the folder `part` to `path`; one that is there is moved aside first and then removed."""
    try:
        os.rename(part, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        aside = part.with_suffix(f".old{PART}")
        os.rename(path, aside)
        os.rename(part, path)
        shutil.rmtree(aside, ignore_errors=True)


def clean(folder: Path) -> list[Path]:
    """Remove what a killed process left unfinished in `folder`, and say what that was.

    Only for whoever holds the folder's lock. A folder that was moved aside while its successor never came goes back.
    """
    left = sorted(folder.glob(f".*{PART}"))
    for path in left:
        if path.is_dir() and path.name.endswith(f".old{PART}"):
            home = folder / re.sub(r"^\.(.+)\.\d+\.[^.]+\.old\.part$", r"\1", path.name)
            if not home.exists():
                os.rename(path, home)
                continue
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return left


def new_run(root: Path, name: str) -> Path:
    """A folder of its own for a run: `root`/NAME-001, or the next number that is free. Raises OutputError."""
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
        taken = [int(p.name[len(name) + 1 :]) for p in root.glob(f"{name}-*") if p.name[len(name) + 1 :].isdecimal()]
        number = max(taken, default=0)
        while True:
            number += 1
            path = root / f"{name}-{number:03d}"
            try:
                path.mkdir()
            except FileExistsError:
                continue  # another process was faster
            _probe(path)
            return path


def _probe(folder: Path) -> None:
    """Raise now, not at the first save, where nothing can be written in `folder`."""
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the kernel lets go when the process ends, however it ends.

    Raises OutputError that names the holder where another process has it.
    """
    with explained(folder):
        file = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115, held as long as the lock
    with file:
        try:
            _take(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise OutputError(f"cannot lock {shown(folder)}: {error.strerror}") from None
            file.seek(0)
            holder = printable(file.read(200).strip()) or "another process"
            raise OutputError(f"{shown(folder)} is already in use by {holder}; wait for it or stop it") from None
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


def _take(handle: int) -> None:
    """Take the lock of an open file; the workers of a process that was killed have it a moment longer than that."""
    for wait in (*[0.05] * 20, None):
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait is None:
                raise
            time.sleep(wait)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says about writing `path` into an error that says what to do."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        number = _number(error)
        if number is None and not isinstance(error, OSError) and "null byte" not in str(error):
            raise
        if number in FULL:
            raise ResourceError(
                f"cannot write {shown(path)}: the disk is full{_left(path)}; free some space"
            ) from error
        reason = os.strerror(number) if number else str(error)
        raise OutputError(f"cannot write {shown(path)}: {reason}; choose another place or mend its rights") from error


def _number(error: Exception) -> int | None:
    """The system's number of what went wrong, also where a library written in Rust has put it into words."""
    if isinstance(error, OSError):
        return error.errno
    said = re.search(r"\(os error (\d+)\)", str(error))
    return int(said[1]) if said else None


def shown(path: Path) -> str:
    """A path as a message shows it: escaped, and cut where it is very long."""
    text = printable(str(path))
    return text if len(text) <= 120 else f"{text[:60]}...{text[-57:]}"


def free(folder: Path) -> int:
    """Bytes that are free where `folder` is."""
    return shutil.disk_usage(folder).free


def _left(path: Path) -> str:
    with suppress(OSError):
        return f" ({free(path.parent) / 1e6:,.0f} MB free)"
    return ""


def _settle(file: Path) -> None:
    """Give a new file the rights that the user's umask leaves it, and wait until it is on the disk."""
    os.chmod(file, 0o666 & ~_umask())
    _sync(file)


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
