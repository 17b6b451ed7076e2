"""YOLO's text files (Redmon et al., 2016): a line for each box, in shares of the picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import yaml

from dlzoo.data.boxes import Boxed, BoxedPictures, pictures_in
from dlzoo.data.folders import SPLITS
from dlzoo.data.location import existing
from dlzoo.errors import DataError, printable
from dlzoo.registry import DATASETS
from dlzoo.transforms.decode import read_size

LARGEST = 10_000_000
"""Bytes of a text file."""


@DATASETS.register("yolo")
class YOLO(BoxedPictures):
    """Pictures with boxes in YOLO's text files, `class x y width height` a line: `image`, `boxes` (N, 4) and `labels`.

    x and y are of the middle; all are shares of the picture's width and height. A picture without a file has no box.

    Args:
        path: images/train, labels/train and so on; or train/images, train/labels and so on; or images and labels; each
            picture.jpg has its picture.txt there. Names of the classes may stand in a data.yaml or a classes.txt
        mode: grey is one channel, rgb three; every picture is converted
        classes: their names, if no file has them; without any, they are called by their numbers
    """

    def __init__(self, path: str, mode: Literal["grey", "rgb"] = "rgb", classes: list[str] | None = None):
        root = existing(path, folder=True)
        names = _names(root) if classes is None else classes
        splits: dict[str, list[Boxed]] = {}
        files: list[Path] = []
        for split, images, labels in _parts(root):
            pictures = pictures_in(images)
            splits[split] = [_read(picture, labels / f"{stem}.txt", names) for stem, picture in pictures.items()]
            files += [file for stem in pictures if (file := labels / f"{stem}.txt").is_file()]
        super().__init__(root, mode, splits, [*files, *_named(root)])


def _parts(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Each split, the folder of its pictures and that of its boxes."""
    folders = [root, root / "images"] if (root / "images").is_dir() else [root]
    inside = [f for folder in folders for f in sorted(folder.iterdir()) if f.is_dir() and f.name.lower() in SPLITS]
    parts = [(SPLITS[folder.name.lower()], folder) for folder in inside] or [("train", root)]
    if len(dict(parts)) < len(parts):
        raise DataError(f"{printable(str(root))}: two folders are of one split: {', '.join(f.name for f in inside)}.")
    for split, folder in parts:
        if folder.parent == root / "images":
            yield split, folder, root / "labels" / folder.name
        elif (folder / "images").is_dir():
            yield split, folder / "images", folder / "labels"
        else:
            yield split, folder, folder


def _named(root: Path) -> list[Path]:
    """The file that names the classes, if there is one."""
    names = ("data.yaml", "data.yml", "classes.txt", "obj.names")
    return [file for name in names if (file := root / name).is_file()][:1]


def _names(root: Path) -> list[str] | None:
    """The names of the classes, by their numbers."""
    for file in _named(root):
        text = _text(file)
        if file.suffix in (".txt", ".names"):
            return [line.strip() for line in text.splitlines() if line.strip()]
        try:
            content = yaml.load(text, yaml.BaseLoader)  # every value is text: a class may be called `no`
            names = content["names"]
            found = [names[str(i)] for i in range(len(names))] if isinstance(names, dict) else names
        except (yaml.YAMLError, RecursionError, ValueError, KeyError, TypeError):
            found = []
        if not isinstance(found, list) or not found or not all(isinstance(name, str) for name in found):
            raise DataError(f"{printable(str(file))}: `names` is no list of the classes, and no mapping from 0 on.")
        return found
    return None


def _text(file: Path) -> str:
    if (size := file.stat().st_size) > LARGEST:
        raise DataError(f"{printable(str(file))}: {size:,} bytes are more than the {LARGEST:,} that are read.")
    return file.read_text(encoding="utf-8", errors="replace")


def _read(picture: Path, file: Path, names: list[str] | None) -> Boxed:
    """A picture and the boxes of its file, or what is wrong with them."""
    found = Boxed(picture)
    try:
        if not file.is_file():
            return found
        height, width = read_size(picture)
        for number, line in enumerate(_text(file).splitlines(), 1):
            if line.strip():
                place = f"{printable(str(file))}:{number}"
                label, x, y, w, h = _numbers(line, place)
                box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
                found.add(box, _name(label, names, place), place)
    except DataError as error:
        found.error = error
    return found


def _numbers(line: str, place: str) -> tuple[float, float, float, float, float]:
    try:
        label, x, y, w, h = map(float, line.split())
    except ValueError:
        wanted = "five numbers are wanted, class x y width height"
        raise DataError(f"{place}: '{printable(line.strip())[:60]}': {wanted}.") from None
    if not all(-1 <= share <= 2 for share in (x, y, w, h)):
        raise DataError(f"{place}: x, y, width and height are shares of the picture, 0 to 1, and not pixels.")
    return label, x, y, w, h


def _name(label: float, names: list[str] | None, place: str) -> str:
    if label != int(label) or label < 0 or (names is not None and label >= len(names)):
        known = "" if names is None else f", of {len(names)} that are named"
        raise DataError(f"{place}: {label:g} is not the number of a class{known}.")
    return str(int(label)) if names is None else names[int(label)]
