"""Where data lies: paths that must be there, the sets that ship with dlzoo, fingerprints of files."""

import difflib
import hashlib
import stat
from collections.abc import Iterable
from pathlib import Path

from dlzoo.errors import DataError, WrongKind, first_few, printable

BUNDLED = Path(__file__).parent / "bundled"
"""Small real sets inside the package; LICENSES.md beside them says where each is from."""
READ_WHOLE = 2**30
"""Bytes up to which a fingerprint reads the files; beyond, it takes their names, sizes and times."""


def existing(path: str | Path, folder: bool | None = None) -> Path:
    """`path` as a Path. Raises DataError where nothing is, WrongKind where not the folder (or regular file) wanted."""
    found = Path(path).expanduser()
    try:
        mode = found.stat().st_mode
    except FileNotFoundError:
        raise DataError(f"{printable(str(path))}: there is no such file or folder.{_similar(found)}") from None
    except OSError as error:
        raise DataError(f"{printable(str(path))}: {error.strerror}.") from None
    if folder is not False and stat.S_ISDIR(mode):
        return found
    if folder:
        raise WrongKind(path, "a folder is wanted here, this is a file")
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise WrongKind(path, f"a file is wanted here, this is {kind}")
    return found


def _similar(path: Path) -> str:
    """A hint for a path that is not there: the nearest name beside it, or the first folder that is missing."""
    parent = path.parent
    if not parent.is_dir():
        while not parent.parent.is_dir() and parent != parent.parent:
            parent = parent.parent
        return f" Nor is there a folder {printable(str(parent))}."
    close = difflib.get_close_matches(path.name, [entry.name for entry in parent.iterdir()], n=1)
    return f" Did you mean '{printable(str(parent / close[0]))}'?" if close else ""


def shown(path: str | Path) -> str:
    """A path as messages and sources print it: as the user wrote it, but for the bundled files."""
    return printable(Path(path).relative_to(BUNDLED).as_posix() if Path(path).is_relative_to(BUNDLED) else str(path))


def fingerprint(files: Iterable[Path], root: Path | None = None, extra: str = "") -> str:
    """SHA-256 (hex) over the names of files below `root` and their bytes; beyond 1 GiB, over names, sizes and times.

    Raises DataError for a pipe or a device, which has no end.
    """
    stats = [(file, file.stat()) for file in sorted(files)]
    if strange := [str(file) for file, info in stats if not stat.S_ISREG(info.st_mode)]:
        raise DataError(f"not regular files: {first_few(strange)}.")
    whole = sum(info.st_size for _, info in stats) <= READ_WHOLE
    digest = hashlib.sha256(extra.encode())
    for file, info in stats:
        name = file.relative_to(root).as_posix() if root else file.name
        digest.update(f"{name}\0{info.st_size}\0".encode(errors="surrogateescape"))
        if whole:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        else:
            digest.update(str(info.st_mtime_ns).encode())
    return digest.hexdigest()
