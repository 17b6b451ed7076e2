"""Files that tests make."""

import functools
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image


def write(path: Path, content: str | bytes) -> str:
    """A file of that text or those bytes, its folder with it; returns its path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def picture(path: Path, colour=(255, 0, 0), size=(6, 4), **options) -> Path:
    """A picture of one colour: grey for a number, else RGB; `size` is width, height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if isinstance(colour, tuple) else "L", size, colour).save(path, **options)
    return path


def measured(folder: Path, count: int = 80) -> dict:
    """`data:` of grey pictures, 12 x 12, of a bar: how far from the left it is, and how bright it is, as an angle."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = "path,place,angle,split\n"
    for i in range(count):
        place, angle = i % 10, i * 137 % 360
        image = Image.new("L", (12, 12), 20)
        image.paste(60 + angle // 2, (place, 0, place + 3, 12))
        image.save(folder / f"{i}.png")
        rows += f"{i}.png,{place},{angle},{'test' if i % 4 == 3 else 'train'}\n"
    listed = {"path": str(folder), "csv": write(folder / "list.csv", rows)}
    return {"name": "image_folder", "mode": "grey", **listed, "targets": ["place", "angle"]}


@functools.cache
def digit_masks() -> str:
    """A folder of scikit-learn's digits at 16 x 16 pixels, train and validation, with masks of what is ink."""
    from sklearn.datasets import load_digits

    folder = Path(tempfile.mkdtemp(prefix="digit_masks"))
    pixels = (load_digits().images[:90] * 15.9375).astype(np.uint8).repeat(2, 1).repeat(2, 2)
    for i, image in enumerate(pixels):
        part = folder / ("train" if i < 60 else "validation")
        for name, values in (("images", image), ("masks", (image > 110).astype(np.uint8))):
            (part / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(part / name / f"{i}.png")
    return str(folder)
