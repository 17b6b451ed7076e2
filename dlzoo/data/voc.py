"""Pascal VOC (Everingham et al., 2010): an XML file of boxes for each picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from dlzoo.data.boxes import Boxed, BoxedPictures, pictures_in
from dlzoo.data.folders import SPLITS
from dlzoo.data.location import existing
from dlzoo.errors import DataError, first_few, printable
from dlzoo.registry import DATASETS

LARGEST = 10_000_000
"""Bytes of an XML file."""
SIDES = ("xmin", "ymin", "xmax", "ymax")


@DATASETS.register("voc")
class VOC(BoxedPictures):
    """Pictures with boxes in Pascal VOC's XML: `image`, `boxes` (N, 4) and `labels`.

    Numbers are taken as corners, as most tools write them. A box is refused that sticks out of its picture by more than
    two pixels, or has no area.

    Args:
        path: Annotations, JPEGImages and ImageSets/Main/train.txt, val.txt, test.txt; or train, valid and test folders,
            or one folder, with pictures and their .xml side by side
        mode: grey is one channel, rgb three; every picture is converted
        difficult: boxes that are marked as difficult count like others; if not, they are left out
    """

    def __init__(self, path: str, mode: Literal["grey", "rgb"] = "rgb", difficult: bool = False):
        root = existing(path, folder=True)
        splits: dict[str, list[Boxed]] = {}
        files: list[Path] = []
        notes: list[str] = []
        for split, folder, names in _parts(root):
            annotations = folder / "Annotations" if (folder / "Annotations").is_dir() else folder
            pictures = pictures_in(folder / "JPEGImages" if (folder / "JPEGImages").is_dir() else folder)
            written = {file.stem: file for file in sorted(annotations.glob("*.xml"))}
            if names is None and (alone := sorted(pictures.keys() - written.keys())):
                notes.append(f"{len(alone):,} pictures of {printable(str(folder))} have no .xml: {first_few(alone)}")
            names = sorted(written) if names is None else names
            splits[split] = [_read(annotations / f"{name}.xml", pictures.get(name), difficult) for name in names]
            files += [written[name] for name in names if name in written]
        super().__init__(root, mode, splits, files)
        self.notes.extend(notes)


def _parts(root: Path) -> Iterator[tuple[str, Path, list[str] | None]]:
    """Each split, its folder, and the names that are in it; None for all of the folder."""
    if (lists := root / "ImageSets" / "Main").is_dir():
        named = {SPLITS[file.stem]: file for file in sorted(lists.glob("*.txt")) if file.stem in SPLITS}
        if "train" not in named and (lists / "trainval.txt").is_file():
            named["train"] = lists / "trainval.txt"
        for split, file in named.items():
            names = file.read_text(encoding="utf-8", errors="replace").splitlines()
            yield split, root, [name.strip() for name in names if name.strip()]
        if named:
            return
    folders = {SPLITS[f.name.lower()]: f for f in sorted(root.iterdir()) if f.is_dir() and f.name.lower() in SPLITS}
    yield from ((split, folder, None) for split, folder in (folders or {"train": root}).items())


def _read(file: Path, picture: Path | None, difficult: bool) -> Boxed:
    """The picture that a file describes, or what is wrong with it."""
    found = Boxed(picture or file)
    try:
        if picture is None:
            raise DataError(f"{printable(str(file))}: there is no picture of this name.")
        for number, item in enumerate(_parsed(file).iter("object"), 1):
            place = f"{printable(str(file))}: object {number}"
            if difficult or (item.findtext("difficult") or "0").strip() != "1":
                found.add(_box(item, place), (item.findtext("name") or "").strip(), place)
    except DataError as error:
        found.error = error
    return found


def _box(item: Element, place: str) -> tuple[float, float, float, float]:
    texts = [item.findtext(f"bndbox/{side}") for side in SIDES]
    try:
        x1, y1, x2, y2 = (float(text or "") for text in texts)
    except ValueError:
        written = ", ".join(f"{side} {printable(str(text))}" for side, text in zip(SIDES, texts, strict=True))
        raise DataError(f"{place}: the sides of its bndbox are no numbers: {written}.") from None
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise DataError(f"{place}: a side of its bndbox is not finite.")
    return x1, y1, x2, y2


class _Plain(TreeBuilder):
    """Refuses a document type before what it declares is read: entities come with one, and grow without bounds."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which no annotation needs")


def _parsed(file: Path) -> Element:
    """The root of an XML file."""
    if (size := existing(file, folder=False).stat().st_size) > LARGEST:
        raise DataError(f"{printable(str(file))}: {size:,} bytes are more than the {LARGEST:,} that are read.")
    parser = XMLParser(target=_Plain())
    try:
        parser.feed(file.read_bytes())
        root: Element = parser.close()
        return root
    except (ParseError, ValueError, LookupError) as error:
        raise DataError(f"{printable(str(file))}: not XML that can be read: {printable(str(error))}.") from None
