"""Lists of numbers and of pairs for pictures, galleries, traffic signs."""

from __future__ import annotations

from pathlib import Path

from made import picture, write

from reliability.command import dlzoo
from reliability.data import DATA, IMAGES, accepted, pictures, refused, table, train

ANGLES = (
    "task: {name: image_regression, size: 8}\nmodel: {name: mlp, dim: 8}\n"
    "data: {name: image_folder, path: data, csv: list.csv, targets: [angle]}\n"
)
FACES = IMAGES.replace("image_classification, size: 8", "face_recognition, size: 8, pairs: pairs.txt")


def angles(place: Path, **changes: str | None) -> str:
    names = sorted(file.relative_to(place / "data").as_posix() for file in pictures(place).rglob("*.png"))
    return table("path,angle", [f"{name},{i}" for i, name in enumerate(names)], **changes)


@DATA.row("B81", "a number of a picture that is missing or none is named with its row, or left out where that is asked")
def _(place: Path) -> None:
    for cell, says in (("left", "'left'"), ("", "empty"), ("nan", "'nan'")):
        refused(train(place, ANGLES, list_csv=angles(place, _5=f"a/14.png,{cell}")), "list.csv:5", "'angle'", says)
    skipping = ANGLES.replace("data: {", "data: {on_error: skip, max_skipped: 1, ")
    accepted(train(place, skipping), "1 sample is skipped", "list.csv:5")


@DATA.row("B82", "a line of a list of pairs that is none, or names a picture that is not there, is named")
def _(place: Path) -> None:
    for i in range(12):
        for split in ("train", "test"):
            picture(place / "data" / split / "ab"[i % 2] / f"{i // 2}.png", i * 20, (8, 8))
    for line, says in (("a 1 b", "no pair"), ("a 1 c 1", "picture 1 of c is not"), ("a 1 b 9", "picture 9 of b")):
        refused(train(place, FACES, pairs_txt=f"1\na 1 2\n{line}\n"), "pairs.txt:3", says)
    refused(train(place, FACES, pairs_txt="1\na 1 2\n"), "pairs.txt", "1 pairs", "promises 2")
    accepted(train(place, FACES, pairs_txt="1\na 1 2\na 1 b 1\n"))


@DATA.row("B83", "a gallery that is not there, or holds no picture, is named; nothing is answered")
def _(place: Path) -> None:
    pictures(place)
    accepted(train(place, FACES.replace(", pairs: pairs.txt", "")))
    write(place / "text" / "a.txt", "no picture")
    for gallery in ("nobody", "text", "text/a.txt"):
        found = dlzoo("predict", "last", "data/a/0.png", "--gallery", gallery, cwd=place)
        assert found.code == 3 and gallery in found.said and not found.out and "Traceback" not in found.error, found


@DATA.row("B84", "a bad row of traffic signs is named with its line")
def _(place: Path) -> None:
    head = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
    signs = IMAGES.replace("image_folder", "gtsrb")
    for row, says in (
        ("0.ppm;8;8;1;1;6;6;50", "class 50"),
        ("0.ppm;8;8;1;1;six;6;1", "'six'"),
        ("1.ppm;8;8;1;1;6;6;1", "1.ppm"),
    ):
        picture(place / "data" / "Training" / "00001" / "0.ppm", size=(8, 8))
        write(place / "data" / "Training" / "00001" / "GT-00001.csv", f"{head}{row}\n")
        refused(train(place, signs), "GT-00001.csv:2", says)
