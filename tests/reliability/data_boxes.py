"""Boxes and masks of pictures."""

from __future__ import annotations

import json
from pathlib import Path

from made import boxed, picture, scenes

from reliability.data import DATA, accepted, refused, train

BOXES = (
    "task: {name: detection, dim: 8}\ndata: {name: coco, path: data, mode: grey, test: 0}\n"
    "model: {name: resnet, depth: 10, width: 4, stem: half}\n"
)
MASKS = (
    "task: segmentation\ndata: {name: mask_folder, path: data, mode: grey, test: 0}\n"
    "model: {name: unet, width: 4, depth: 1}\n"
)
LIST = "annotations/instances_train.json"


def changed(place: Path, **values: object) -> None:
    """Twenty pictures with boxes, the first of which has other values."""
    boxed(place / "data", "coco", {"train": scenes(20)})
    content = json.loads((place / "data" / LIST).read_text())
    content["annotations"][0] |= values
    (place / "data" / LIST).write_text(json.dumps(content))


@DATA.row(
    "B57", "a box outside of its picture, or without area, is named with its file, or left out where that is asked"
)
def _(place: Path) -> None:
    for box, says in (
        ([4, 4, 200, 9], "not inside its picture"),
        ([4, 4, 0, 9], "no area"),
        ([9, 9, -5, 3], "no area"),
    ):
        changed(place, bbox=box)
        refused(train(place, BOXES), LIST, says)
    skipping = BOXES.replace("data: {", "data: {on_error: skip, max_skipped: 1, ")
    accepted(train(place, skipping), "1 sample is skipped", LIST)


@DATA.row("B58", "a box of a category that is not known is named with its file")
def _(place: Path) -> None:
    changed(place, category_id=99)
    refused(train(place, BOXES), LIST, "99")


@DATA.row("B59", "a picture without a box is one like others")
def _(place: Path) -> None:
    changed(place)
    content = json.loads((place / "data" / LIST).read_text())
    first = content["images"][0]["id"]
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] != first]
    (place / "data" / LIST).write_text(json.dumps(content))
    accepted(train(place, BOXES), "train 18")


@DATA.row("B85", "a mask of another size, of an unknown value, damaged or missing is named with its file")
def _(place: Path) -> None:
    for i in range(12):
        picture(place / "data" / "images" / f"{i}.png", i * 9, (8, 8))
        picture(place / "data" / "masks" / f"{i}.png", i % 2, (8, 8))
    named = MASKS.replace("task: segmentation", "task: {name: segmentation, classes: [no, yes]}")
    accepted(train(place, named))
    bad = place / "data" / "masks" / "5.png"
    picture(bad, 7, (8, 8))
    refused(train(place, named), "5.png", "has 7 at column 0, row 0")
    picture(bad, 1, (8, 9))
    refused(train(place, named), "5.png", "8 x 9")
    bad.write_bytes(bad.read_bytes()[:40])
    refused(train(place, named), "masks/5.png")
    bad.unlink()
    refused(train(place, named), "images/5.png", "no mask")
