"""Files that tests make."""

import atexit
import functools
import json
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image, ImageDraw


def write(path: Path, content: str | bytes) -> str:
    """A file of that text or those bytes, its folder with it; returns its path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def talks(path: Path, count: int = 40) -> str:
    """A file of conversations, in each of which a number is asked for twice, and the user has the last word."""
    lines = []
    for i in range(count):
        said = f"{i} and {i}?", f"that is {2 * i}", "and one more?", f"{2 * i + 1}", "thank you"
        turns = [{"role": ("user", "assistant")[j % 2], "content": text} for j, text in enumerate(said)]
        lines.append(json.dumps({"messages": turns}) + "\n")
    return write(path, "".join(lines))


def picture(path: Path, colour=(255, 0, 0), size=(6, 4), **options) -> Path:
    """A picture of one colour: grey for a number, else RGB; `size` is width, height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if isinstance(colour, tuple) else "L", size, colour).save(path, **options)
    return path


def tagged(path: Path, count: int = 80) -> str:
    """A file of sentences in columns: a number, the word, and what it is of a name or a place, as BIO has it."""
    rng, rows = Random(0), []
    people, towns = ("Ada King", "Bo Lund", "Cy", "Flo Ames"), ("Paris", "New York", "Rome")
    for _ in range(count):
        sentence = []
        for part, label in ((rng.choice(people), "PER"), ("went to", None), (rng.choice(towns), "LOC"), (".", None)):
            places = [f"{'BI'[i > 0]}-{label}" if label else "O" for i in range(len(part.split()))]
            sentence += zip(part.split(), places, strict=True)
        more = [(word, "O") for word in rng.sample(["and", "slept", "there", "today"], 2)]
        rows += [f"{i}\t{word}\t{tag}" for i, (word, tag) in enumerate([*sentence[:-1], *more, sentence[-1]])] + [""]
    return write(path, "\n".join(rows) + "\n")


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

    folder = Path(tempfile.mkdtemp(prefix="dlzoo-masks-"))
    atexit.register(shutil.rmtree, folder)
    pixels = (load_digits().images[:90] * 15.9375).astype(np.uint8).repeat(2, 1).repeat(2, 2)
    for i, image in enumerate(pixels):
        part = folder / ("train" if i < 60 else "validation")
        for name, values in (("images", image), ("masks", (image > 110).astype(np.uint8))):
            (part / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(part / name / f"{i}.png")
    return str(folder)


def scenes(count: int = 60, size=(32, 32), seed: int = 0) -> list[dict]:
    """Samples of a grey picture each: one or two dark squares and discs on light noise, and their boxes."""
    rng, found = Random(seed), []
    for _ in range(count):
        picture = Image.frombytes("L", size, bytes(200 + byte // 8 for byte in rng.randbytes(size[0] * size[1])))
        boxes, labels = [], []
        for place in rng.sample(range(4), rng.randint(1, 2)):  # of the quarters, so that none hides another
            label, side = rng.choice(["disc", "square"]), rng.randint(min(size) // 4, min(size) // 2 - 2)
            x, y = place % 2 * (size[0] // 2), place // 2 * (size[1] // 2)
            shape = ImageDraw.Draw(picture).ellipse if label == "disc" else ImageDraw.Draw(picture).rectangle
            shape((x, y, x + side - 1, y + side - 1), fill=48)
            boxes.append((x, y, x + side, y + side))
            labels.append(label)
        image = torch.from_numpy(np.array(picture))[None]
        found.append({"image": image, "boxes": torch.tensor(boxes, dtype=torch.float32), "labels": labels})
    return found


def boxed(folder: Path, layout: str, splits: dict[str, list[dict]]) -> str:
    """Samples with boxes as files in one of the layouts that are read; returns the folder."""
    kinds = sorted({name for samples in splits.values() for sample in samples for name in sample["labels"]})
    for split, samples in splits.items():
        place = {"voc": folder / "JPEGImages", "coco": folder / split, "yolo": folder / "images" / split}[layout]
        place.mkdir(parents=True, exist_ok=True)
        for i, sample in enumerate(samples):
            pixels = sample["image"].movedim(0, -1).numpy()
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            picture.save(place / f"{split}{i:03}.png")
        names = [f"{split}{i:03}" for i in range(len(samples))]
        if layout == "coco":
            write(folder / "annotations" / f"instances_{split}.json", _as_coco(names, samples, kinds))
        for name, sample in zip(names, samples, strict=True):
            if layout == "voc":
                write(folder / "Annotations" / f"{name}.xml", _as_voc(sample))
            if layout == "yolo":
                write(folder / "labels" / split / f"{name}.txt", _as_yolo(sample, kinds))
        if layout == "voc":
            write(folder / "ImageSets" / "Main" / f"{split}.txt", "\n".join(names))
    if layout == "yolo":
        write(folder / "data.yaml", f"train: images/train\nnames: {json.dumps(kinds)}\n")
    return str(folder)


GERMAN, ENGLISH = (
    "eins zwei drei vier fünf sechs sieben acht".split(),
    "one two three four five six seven eight".split(),
)
NUMBERS = dict(zip(GERMAN, ENGLISH, strict=True))


def translated(path: Path, count: int = 200) -> str:
    """A .tsv of German numbers and of the English ones backwards; returns its path."""
    rng, rows = Random(0), ["text\ttarget"]
    for _ in range(count):
        words = rng.choices(GERMAN, k=rng.randint(2, 6))
        rows.append(f"{' '.join(words)}.\t{' '.join(NUMBERS[word] for word in reversed(words)).capitalize()}.")
    return write(path, "\n".join(rows) + "\n")


def _as_coco(names: list[str], samples: list[dict], kinds: list[str]) -> str:
    rows = [
        {"image_id": i, "category_id": 10 + kinds.index(label), "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
        for i, sample in enumerate(samples)
        for label, (x1, y1, x2, y2) in zip(sample["labels"], sample["boxes"].tolist(), strict=True)
    ]
    content = {
        "images": [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(names)],
        "annotations": [{"id": i, **row} for i, row in enumerate(rows)],
        "categories": [{"id": 10 + i, "name": name} for i, name in enumerate(kinds)],
    }
    return json.dumps(content)


def _as_voc(sample: dict) -> str:
    sides = ("xmin", "ymin", "xmax", "ymax")
    objects = [
        f"<object><name>{label}</name><difficult>0</difficult><bndbox>"
        + "".join(f"<{name}>{side:g}</{name}>" for name, side in zip(sides, box, strict=True))
        + "</bndbox></object>"
        for label, box in zip(sample["labels"], sample["boxes"].tolist(), strict=True)
    ]
    return f"<annotation>{''.join(objects)}</annotation>"


def _as_yolo(sample: dict, kinds: list[str]) -> str:
    height, width = sample["image"].shape[1:]
    lines = []
    for label, (x1, y1, x2, y2) in zip(sample["labels"], sample["boxes"].tolist(), strict=True):
        shares = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
        lines.append(" ".join(map(str, (kinds.index(label), *shares))))
    return "\n".join(lines)


def video(path: Path, frames, fps=10, codec="mpeg4", times=None, gop=12) -> Path:
    """A video of frames (T, H, W, 3) uint8, shown at `times` in seconds, or so many a second."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.gop_size, stream.bit_rate = "yuv420p", gop, 10**6
        unit = Fraction(1, 1000) if times else Fraction(1, fps)
        stream.codec_context.time_base = unit
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = (round(times[i] * 1000) if times else i), unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def square(direction: int, seed: int, length=20, side=32):
    """Frames (length, side, side, 3) of a bright square that moves to the right (1) or to the left (-1) over noise."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 60, (length, side, side, 3), np.uint8)
    row, start = rng.integers(0, side - 8, 2)
    for t in range(length):
        column = (start + direction * 2 * t) % (side - 8)
        frames[t, row : row + 8, column : column + 8] = 230
    return frames


@functools.cache
def videos() -> Path:
    """A folder of 50 videos, of 2 s at 10 frames a second and a little longer: squares that move left or right."""
    folder = Path(tempfile.mkdtemp(prefix="dlzoo-videos-"))
    atexit.register(shutil.rmtree, folder)
    for i in range(50):
        label, direction = (("left", -1), ("right", 1))[i % 2]
        video(folder / label / f"{i}.mp4", square(direction, i, length=20 + i % 5))
    return folder
