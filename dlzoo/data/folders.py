"""Folders of files: one for each split, one for each class; or one file for each split."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlzoo.data.location import existing
from dlzoo.errors import ConfigError, DataError, first_few, printable

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of folders and files, in lower case, that are read as splits."""


@dataclass
class Found:
    """Files of a folder, sorted by split, class and name."""

    files: list[Path] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    """Of each file what `key` says: its label; or its labels, or numbers by name (or what is wrong with one)."""
    key: str = "label"
    splits: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    classed: bool = True
    """Whether the files lie in folders of classes."""
    sums: dict[Path, str] = field(default_factory=dict)
    """Of files that a list names: the SHA-256 that it gives."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    """Further columns of a list."""
    missing: dict[Path, str] = field(default_factory=dict)
    """Files that a list names and that are not there, and how a message names them."""


def split_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, str]:
    """The files of a folder that are named as splits: {'train': 'folder/train.csv', ...}; DataError where none is."""
    found: dict[str, str] = {}
    for file in sorted(folder.iterdir()):
        split = SPLITS.get(file.stem.lower())
        if split and file.suffix.lower() in suffixes and file.is_file():
            if split in found:
                raise DataError(
                    f"{printable(str(folder))}: {Path(found[split]).name} and {file.name} are both the {split} split."
                )
            found[split] = str(file)
    if not found:
        wanted = ", ".join(f"train{suffix}" for suffix in suffixes)
        raise DataError(f"{printable(str(folder))}: no file in this folder is named as a split ({wanted}).")
    return {split: found[split] for split in ("train", "validation", "test") if split in found}


def split_paths(
    path: str, suffixes: tuple[str, ...], validation_path: str | None, test_path: str | None
) -> dict[str, str]:
    """The file of each split: those of a folder, or `path` for train; and those that are named apart.

    Raises ConfigError for a split that is named and lies in the folder, too.
    """
    files = split_files(Path(path), suffixes) if existing(path).is_dir() else {"train": path}
    for split, file in {"validation": validation_path, "test": test_path}.items():
        if file is not None and split in files:
            raise ConfigError([f"data.{split}_path: {printable(files[split])} is the {split} split; leave one out"])
        files |= {split: file} if file is not None else {}
    return {split: files[split] for split in ("train", "validation", "test") if split in files}


def find(root: Path, suffixes: tuple[str, ...], what: str, classless: bool = False) -> Found:
    """The files under `root/CLASS/` or `root/SPLIT/CLASS/`, at any depth below the class, with one of the suffixes.

    what: their name in messages ("pictures"). classless: files may also lie in `root` or `root/SPLIT` itself.
    Raises DataError for a class without files. Hidden files, other files and loops of links are passed over, and noted.
    """
    walk = Walk(root, suffixes)
    found = Found()
    folders = walk.folders(root)
    named = {SPLITS[folder.name.lower()]: folder for folder in folders if folder.name.lower() in SPLITS}
    if classless:
        named = {split: folder for split, folder in named.items() if walk.folders(folder) or walk.matching(folder)}
    else:
        named = {split: folder for split, folder in named.items() if walk.folders(folder)}
    others = [folder.name for folder in folders if folder not in named.values()]
    if named and others:
        found.notes.append(f"beside the splits {', '.join(sorted(named))}, ignored: {first_few(others)}")
    parts = named or {"train": root}
    deep = any(walk.folders(folder) for folder in parts.values())
    found.classed = deep or not classless
    for split in ("train", "validation", "test"):
        if split not in parts:
            continue
        start = len(found.files)
        if not found.classed:
            found.files += walk.below(parts[split])
        for folder in walk.folders(parts[split]) if found.classed else ():
            files = walk.below(folder)
            if not files:
                raise DataError(
                    f"{printable(str(folder))}: there are no {what} in this folder of a class. Fill or remove it."
                )
            found.files += files
            found.labels += [folder.name] * len(files)
        if found.classed:
            walk.stray(parts[split])
        found.splits[split] = list(range(start, len(found.files)))
    if not found.files:
        hint = f" ({walk.passed()})" if walk.passed() else ""
        raise DataError(
            f"{printable(str(root))}: there are no {what} in it{hint}. Wanted: FOLDER/CLASS/FILE, a class a folder."
        )
    found.notes += [f"passed over: {walk.passed()}"] if walk.passed() else []
    return found


class Walk:
    """Looks through folders, each once however it is linked, and counts what it passes over."""

    def __init__(self, root: Path, suffixes: tuple[str, ...]):
        self.suffixes = suffixes
        self.hidden = 0
        self.others: list[str] = []
        self.root = root

    def folders(self, folder: Path) -> list[Path]:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))

    def matching(self, folder: Path) -> list[Path]:
        """The files of one folder that have one of the suffixes."""
        return sorted(f for f in folder.iterdir() if not f.name.startswith(".") and self._has(f))

    def below(self, folder: Path) -> list[Path]:
        """The matching files of a folder and of all below it."""
        files: list[Path] = []
        seen: set[str] = set()
        for place, folders, names in os.walk(folder, followlinks=True):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            files += [Path(place, name) for name in sorted(names) if self._fits(Path(place, name))]
        return files

    def stray(self, folder: Path) -> None:
        """Count the files of a folder, which belong to no class."""
        for entry in sorted(folder.iterdir()):
            if entry.is_file() and self._has(entry) and not entry.name.startswith("."):
                self.others.append(str(entry.relative_to(self.root)))
            elif entry.is_file():
                self._fits(entry)

    def _fits(self, file: Path) -> bool:
        if file.name.startswith("."):
            self.hidden += 1
        elif not self._has(file):
            self.others.append(str(file.relative_to(self.root)))
        else:
            return True
        return False

    def _has(self, file: Path) -> bool:
        return file.name.lower().endswith(self.suffixes)  # .nii.gz is one

    def passed(self) -> str:
        """What was passed over, in words."""
        hidden = [f"{self.hidden:,} hidden files"] if self.hidden else []
        return "; ".join([*hidden, *([first_few(self.others)] if self.others else [])])
