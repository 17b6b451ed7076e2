"""A folder of CLASS/FILE.jpg: the user's own, unpacked from a tar, or made from the clothes that ship with dlzoo.

    python -m benchmarks.pictures FOLDER COUNT

Makes them.
"""

import gzip
import sys
import tarfile
from pathlib import Path

from benchmarks import pairs
from benchmarks.settings import BUNDLED, Settings, module

COUNT, SIDE, CLASSES = 20_000, 32, 10


def folder(settings: Settings) -> Path:
    """The folder with the classes."""
    found = settings.pictures
    if found is None:
        found = settings.folder / "made_pictures"
        if not found.is_dir():
            pairs.run(module("pictures", found, settings.some(COUNT)), settings)
    elif found.is_file():
        archive, found = found, settings.folder / "pictures"
        if not found.is_dir():
            with tarfile.open(archive) as tar:
                tar.extractall(found, filter="data")
    return found / "train" if (found / "train").is_dir() else found


def files(settings: Settings, count: int) -> list[Path]:
    """So many of the pictures, or as many as there are, of all classes."""
    found = sorted(folder(settings).glob("*/*"))
    return found[:: max(1, len(found) // count)][:count]


def make(target: Path, count: int) -> None:
    """Clothes on a ground of some colour, each picture another."""
    from PIL import Image

    with gzip.open(BUNDLED / "fashion_mnist_small" / "train-images-idx3-ubyte.gz") as images:
        pixels = images.read()[16:]
    with gzip.open(BUNDLED / "fashion_mnist_small" / "train-labels-idx1-ubyte.gz") as labels:
        numbers = labels.read()[8:]
    for label in set(numbers):
        (target / str(label)).mkdir(parents=True)
    for i in range(count):
        at = i % len(numbers)
        clothes = Image.frombytes("L", (28, 28), pixels[at * 784 : (at + 1) * 784])
        picture = Image.new("RGB", (SIDE, SIDE), (i * 37 % 256, i * 59 % 256, i * 83 % 256))
        picture.paste(clothes.convert("RGB"), (i % 5, i // 5 % 5), clothes)
        picture.save(target / str(numbers[at]) / f"{i}.jpg")


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
