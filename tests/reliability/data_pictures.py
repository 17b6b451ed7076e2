"""Bad pictures, and lists of pictures."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from made import picture, write
from PIL import Image

from dlzoo.transforms.decode import read_image
from reliability.command import dlzoo
from reliability.data import DATA, IMAGES, LISTED, accepted, facts, pictures, refused, table, train


def noise(size: tuple[int, int] = (64, 64), seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8))


def encoded(image: Image.Image, kind: str = "png") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@DATA.row("B01", "an empty picture is named, before training and by `check --data`")
def _(place: Path) -> None:
    write(pictures(place) / "a" / "x.png", b"")
    refused(train(place, IMAGES), "data/a/x.png", "empty")
    found = dlzoo("check", "--config", "c.yaml", "--data", "--json", cwd=place)
    assert found.code == 3 and "data/a/x.png" in json.loads(found.out)["read"]["errors"][0], found


@DATA.row("B02", "a text that is called .png is named")
def _(place: Path) -> None:
    write(pictures(place) / "a" / "x.png", b"hello")
    refused(train(place, IMAGES), "data/a/x.png", "not a picture")


@DATA.row("B03", "a picture that is cut short is named; one that changed is, where the list has its sha256")
def _(place: Path) -> None:
    whole = encoded(noise())
    folder = pictures(place)
    write(folder / "a" / "x.png", whole[: len(whole) // 2])
    refused(train(place, IMAGES), "data/a/x.png", "cut short")
    write(folder / "a" / "x.png", whole)
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.png"))
    rows = [f"{name},{name[0]},{hashlib.sha256((folder / name).read_bytes()).hexdigest()}" for name in names]
    write(place / "list.csv", table("path,label,sha256", rows))
    accepted(train(place, LISTED))
    write(folder / "a" / "x.png", encoded(noise(seed=1)))
    refused(train(place, LISTED), "data/a/x.png", "sha256")


@DATA.row("B04", "listed files that are not there are counted, the first five named with their rows")
def _(place: Path) -> None:
    pictures(place)
    write(place / "list.csv", table("path,label", ["a/0.png,a", "b/1.png,b", *(f"a/no{i}.png,a" for i in range(7))]))
    refused(train(place, LISTED), "list.csv", "7 listed files", "a/no0.png (row 4)", "a/no4.png", "2 more")


@DATA.row("B05", "16 bits are scaled to 8, not clipped")
def _(place: Path) -> None:
    deep = np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16
    for suffix in ("png", "tif"):
        path = place / f"deep.{suffix}"
        Image.fromarray(deep).save(path)
        found = read_image(path, "grey")
        assert len(found.unique()) == 256 and abs(float(found.float().mean()) - 127.5) < 1, suffix


@DATA.row("B06", "what is transparent shows white, not its hidden colour")
def _(place: Path) -> None:
    hidden = Image.new("P", (2, 2), 3)
    hidden.putpalette([0] * 768)
    Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(place / "rgba.png")
    Image.new("LA", (2, 2), (10, 0)).save(place / "la.png")
    hidden.save(place / "p.png", transparency=3)
    for name in ("rgba.png", "la.png", "p.png"):
        assert read_image(place / name).unique().tolist() == [255], name


@DATA.row("B07", "CMYK is converted to the colours that are seen")
def _(place: Path) -> None:
    Image.new("CMYK", (3, 3), (0, 255, 255, 0)).save(place / "red.jpg")  # Pillow writes Adobe's marker, inverted
    red, green, blue = read_image(place / "red.jpg")[:, 1, 1].tolist()
    assert red > 200 and green < 60 and blue < 60, (red, green, blue)


@DATA.row("B08", "a picture is turned as its EXIF says, in training and in prediction alike")
def _(place: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = noise((8, 16))
    image.save(place / "turned.png", exif=exif)
    image.transpose(Image.Transpose.ROTATE_270).save(place / "upright.png")
    assert read_image(place / "turned.png").equal(read_image(place / "upright.png"))
    pictures(place)
    accepted(train(place, IMAGES))
    found = dlzoo("predict", "last", "turned.png", "upright.png", cwd=place)
    first, second = (json.loads(line)["scores"] for line in found.out.splitlines())
    assert found.code == 0 and first == second, found


@DATA.row("B09", "pictures that are smaller than the network needs are refused with both sizes")
def _(place: Path) -> None:
    pictures(place, size=(1, 1))
    ended = train(place, IMAGES.replace("size: 8", "size: null").replace("{name: mlp, dim: 8}", "lenet"))
    refused(ended, "pictures of 1x1 are smaller than the 4x4", code=2)


@DATA.row("B10", "a picture of more than 50 megapixels is refused by its header, before it is decoded")
def _(place: Path) -> None:
    Image.new("1", (12_000, 10_000)).save(pictures(place) / "a" / "x.png")
    ended = train(place, IMAGES)
    refused(ended, "data/a/x.png", "12000 x 10000", "megapixels")
    assert ended.memory < 1000, ended.memory


@DATA.row("B11", "of a file with several frames the first is read, and that is said")
def _(place: Path) -> None:
    folder = pictures(place)
    frames = [noise((8, 8), seed) for seed in range(3)]
    frames[0].save(folder / "a" / "x.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "a" / "y.tif", save_all=True, append_images=frames[1:])
    assert read_image(folder / "a" / "y.tif", "grey").equal(read_image(encoded(frames[0]), "grey"))
    accepted(train(place, IMAGES), "of 2 files with several frames", "a/x.gif", "a/y.tif")


@DATA.row("B12", "files of another kind, hidden ones and strays are counted and named; .JPG is a picture")
def _(place: Path) -> None:
    folder = pictures(place)
    picture(folder / "a" / "x.JPG", 7, (8, 8))
    for name in ("a/Thumbs.db", "a/.hidden", "readme.txt", "stray.png"):
        write(folder / name, "x")
    accepted(train(place, IMAGES), "1 hidden", "a/Thumbs.db, readme.txt, stray.png")
    sizes = facts(place, "evaluate/test/metrics.json")["samples"]
    assert sizes == round(25 * 0.1), sizes


@DATA.row("B13", "grey and colour pictures become the one mode of the config")
def _(place: Path) -> None:
    folder = pictures(place)
    for i in range(9):
        picture(folder / "b" / f"c{i}.png", (i, 0, 200), (8, 8))
    for mode, channels in (("grey", 1), ("rgb", 3)):
        accepted(train(place, IMAGES.replace("path: data", f"path: data, mode: {mode}"), "--name", mode))
        task = json.loads((place / f"runs/{mode}-001/model/model.json").read_text())["task"]
        assert task["channels"] == channels, task


@DATA.row("B14", "floats from 0 to 1 are scaled; others are refused with their range")
def _(place: Path) -> None:
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(place / "f.tif")
    assert read_image(place / "f.tif", "grey").tolist() == [[[0, 128, 255]]]
    Image.fromarray(np.array([[0, 300.0]], np.float32)).save(pictures(place) / "a" / "x.tif")
    refused(train(place, IMAGES), "data/a/x.tif", "floats from 0 to 300")


@DATA.row("B15", "a loop of links is walked once")
def _(place: Path) -> None:
    folder = pictures(place)
    (folder / "a" / "loop").symlink_to(folder / "a")
    (folder / "b" / "out").symlink_to(folder)
    write(place / "c.yaml", IMAGES)
    found = dlzoo("check", "--config", "c.yaml", "--json", cwd=place)
    assert found.code == 0, found.error
    counted = sum(json.loads(found.out)["splits"].values())
    assert counted == 24 + 12, counted  # of b all that out/ leads to, and that once


@DATA.row("B60", "a file that a list names twice is named, and stays in one split")
def _(place: Path) -> None:
    pictures(place)
    names = [f"{'ab'[i % 2]}/{i}.png,{'ab'[i % 2]}" for i in range(24)]
    write(place / "list.csv", table("path,label", [*names, names[3]]))
    accepted(train(place, LISTED), "listed twice", "b/3.png (row 26)")
