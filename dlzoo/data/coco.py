"""COCO's JSON (Lin et al., 2014, arXiv:1405.0312): one file of boxes for all pictures of a split."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Literal

from dlzoo import jsontext
from dlzoo.data.boxes import Boxed, BoxedPictures
from dlzoo.data.folders import SPLITS
from dlzoo.data.location import existing
from dlzoo.errors import DataError, first_few, printable
from dlzoo.registry import DATASETS

LARGEST, MOST = 2**30, 200_000_000
"""Bytes of a file, and values in it; that of COCO's own training split has 470 MB."""
KINDS = ("captions", "image_info", "panoptic", "person_keypoints", "stuff")
"""How files begin that lie beside COCO's own and have no boxes of things."""


@DATASETS.register("coco")
class COCO(BoxedPictures):
    """Pictures with boxes in COCO's JSON: `image`, `boxes` (N, 4) and `labels`, the names of their categories.

    Crowds, boxes around many things, are left out. A box is refused that sticks out of its picture by more than two
    pixels, or has no area.

    Args:
        path: a folder with annotations/instances_train2017.json and the like, beside it train2017 or images; or train,
            valid and test folders, each with a .json and its pictures; or one .json
        mode: grey is one channel, rgb three; every picture is converted
    """

    def __init__(self, path: str, mode: Literal["grey", "rgb"] = "rgb"):
        root = existing(path)
        files = _files(root) if root.is_dir() else {"train": root}
        super().__init__(root, mode, {split: _read(file) for split, file in files.items()}, list(files.values()))


def _files(root: Path) -> dict[str, Path]:
    """The JSON file of each split, by a word of its name or by the name of its folder."""
    found: dict[str, Path] = {}
    places = [root, root / "annotations", *sorted(f for f in root.iterdir() if f.is_dir() and f.name.lower() in SPLITS)]
    for place in places:
        for file in sorted(place.glob("*.json")) if place.is_dir() else ():
            words = [place.name, *re.split(r"[^a-zA-Z]+", file.stem)]
            split = next((SPLITS[word.lower()] for word in words if word.lower() in SPLITS), None)
            if split is None or file.name.startswith(KINDS):
                continue
            if split in found:
                both = f"{printable(str(found[split]))} and {printable(str(file))} are both"
                raise DataError(f"{both} the {split} split. Take one away, or let data.path be one file.")
            found[split] = file
    if not found:
        raise DataError(
            f"{printable(str(root))}: no .json is named as a split, in it, in annotations or in train, valid and test."
        )
    return found


def _read(file: Path) -> list[Boxed]:
    """The pictures of a split, as its file lists them."""
    name = printable(str(file))
    try:
        content = jsontext.load(existing(file, folder=False), LARGEST, MOST)
        images, rows, kinds = (list(content[key]) for key in ("images", "annotations", "categories"))
        pictures = {image["id"]: str(image["file_name"]) for image in images}
        classes = {kind["id"]: str(kind["name"]) for kind in kinds}
    except (ValueError, KeyError, TypeError) as error:
        wanted = "wanted are images (id, file_name), annotations and categories (id, name), as of COCO"
        why = f"there is no {error}" if isinstance(error, KeyError) else printable(str(error))
        raise DataError(f"{name}: {why}; {wanted}.") from None
    if len(pictures) < len(images):
        raise DataError(f"{name}: {len(images) - len(pictures):,} images have the id of another.")
    folder = _folder(file, next(iter(pictures.values()), ""))
    found = {number: _picture(folder, picture, name) for number, picture in pictures.items()}
    strange = []
    for place, row in enumerate(rows):
        try:
            picture, crowd = found[row["image_id"]], row.get("iscrowd")
        except (KeyError, TypeError, AttributeError):
            strange.append(f"annotations[{place}]")
            continue
        if not crowd:
            _add(picture, row, classes, f"{name}: annotations[{place}] (id {printable(str(row.get('id')))})")
    if strange:
        raise DataError(f"{name}: of no image that is listed: {first_few(strange)}.")
    return list(found.values())


def _folder(file: Path, first: str) -> Path:
    """Where the pictures of a file lie: the first of the usual places that has the first of them."""
    above, last = file.parent.parent, file.stem.rpartition("_")[2]
    places = [file.parent, file.parent / "images", above / last, above / "images" / last, above / "images", above]
    return next((place for place in places if (place / first).is_file()), file.parent)


def _picture(folder: Path, name: str, listed: str) -> Boxed:
    found = Boxed(folder / name)
    if not found.file.resolve().is_relative_to(folder.resolve()):
        found.error = DataError(f"{listed}: '{printable(name)}' is not inside {printable(str(folder))}.")
    return found


def _add(picture: Boxed, row: dict[str, Any], classes: dict[Any, str], place: str) -> None:
    """The box of an annotation, or what is wrong with it."""
    try:
        x, y, width, height = (float(side) for side in row["bbox"])
        if not all(map(math.isfinite, (x, y, width, height))):
            raise ValueError
        picture.add((x, y, x + width, y + height), classes[row["category_id"]], place)
    except DataError as error:
        picture.error = picture.error or error
    except KeyError as error:
        known = f"category_id {printable(str(row.get('category_id')))} is none of the categories"
        why = known if error.args != ("bbox",) else "there is no bbox"
        picture.error = picture.error or DataError(f"{place}: {why}.")
    except (TypeError, ValueError):
        why = f"bbox {printable(str(row['bbox']))[:100]} is not four numbers: x, y, width, height"
        picture.error = picture.error or DataError(f"{place}: {why}.")
