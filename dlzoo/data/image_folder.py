"""Pictures in folders named by their class, or listed with their class in a CSV."""

import os
from pathlib import Path
from typing import Any, Literal

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.folders import SPLITS, Found, find
from dlzoo.data.location import existing, fingerprint, first_few
from dlzoo.data.rows import open_rows
from dlzoo.errors import DataError, printable
from dlzoo.registry import DATASETS
from dlzoo.transforms.decode import SUFFIXES, read_image


@DATASETS.register("image_folder")
class ImageFolder(Dataset):
    """Pictures: `image` (C, H, W) uint8 of any size, and `label`, the name of its folder.

    Args:
        path: the folder: CLASS/FILE, or train, validation and test folders with CLASS/FILE each
        mode: grey is one channel, rgb three; every picture is converted
        csv: a file with the columns path (below the folder) and label, and perhaps split, instead of class folders
    """

    gives = ("image", "label")

    def __init__(self, path: str, mode: Literal["grey", "rgb"] = "rgb", csv: str | None = None):
        self.path = existing(path, folder=True)
        self.mode = mode
        self.csv = None if csv is None else existing(csv, folder=False)
        found = find(self.path, SUFFIXES, "pictures") if self.csv is None else _listed(self.csv, self.path)
        self._files, self._labels, self._splits = found.files, found.labels, found.splits
        self.notes.extend(found.notes)
        moving = sum(file.suffix.lower() == ".gif" for file in self._files)
        self.notes.extend([f"{moving:,} GIFs: of each, the first frame is read"] if moving else [])

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        return {"image": read_image(self._files[index], self.mode), "label": self._labels[index]}

    def column(self, key: str) -> list[Any]:
        """`label`; `path`, as text below the folder; `image` is not decoded for this."""
        if key == "label":
            return self._labels
        if key == "path":
            return [file.relative_to(self.path).as_posix() for file in self._files]
        raise DataError(
            f"{printable(str(self.path))}: pictures have no column '{printable(key)}', only label and path."
        )

    def source(self, index: int) -> str:
        return str(self._files[index])

    def splits(self) -> dict[str, list[int]]:
        return self._splits

    def contents(self) -> list[str] | None:
        """The files of a list, where one may stand twice."""
        return None if self.csv is None else [str(file) for file in self._files]

    def fingerprint(self) -> str:
        return fingerprint([*self._files, *([self.csv] if self.csv else [])])


def _listed(csv: Path, root: Path) -> Found:
    """The pictures that a CSV lists, by split in the file's order."""
    table = open_rows(csv)
    path, label = table.index("path"), table.index("label")
    split = table.index("split") if "split" in table.columns else None
    found = Found()
    inside = root.resolve()
    rows: dict[str, list[tuple[Path, str]]] = {}
    missing, seen, twice = [], set(), []
    for chunk in table.chunks():
        for error in chunk.bad.values():
            raise error
        for line, cells in zip(chunk.lines, chunk.cells, strict=True):
            where = f"{table.name}:{line}"
            file = root / cells[path].strip()
            if not cells[label].strip() or not cells[path].strip():
                raise DataError(f"{where}: the {'label' if cells[path].strip() else 'path'} is empty.")
            if not file.resolve().is_relative_to(inside):
                within = f"is not inside {printable(str(root))}; set `path` to a folder that holds all of them"
                raise DataError(f"{where}: '{printable(cells[path])}' {within}.")
            part = SPLITS.get(cells[split].strip().lower()) if split is not None else "train"
            if part is None:
                raise DataError(
                    f"{where}: split '{printable(cells[split or 0])}' is none of train, validation and test."
                )
            if not os.path.isfile(file):
                missing.append(f"{cells[path]} (row {line})")
            twice += [f"{cells[path]} (row {line})"] if file in seen else []
            seen.add(file)
            rows.setdefault(part, []).append((file, cells[label].strip()))
    if missing:
        raise DataError(
            f"{table.name}: {len(missing):,} listed files are not in {printable(str(root))}: {first_few(missing)}."
        )
    if not rows:
        raise DataError(f"{table.name}: there are no rows below the header.")
    for part in ("train", "validation", "test"):
        if part in rows:
            found.splits[part] = list(range(len(found.files), len(found.files) + len(rows[part])))
            found.files += [file for file, _ in rows[part]]
            found.labels += [name for _, name in rows[part]]
    found.notes += [f"listed twice in {table.name}: {first_few(twice)}"] if twice else []
    return found
