"""The named sets of torchvision, from their files on disk; downloaded only where asked."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.location import fingerprint
from dlzoo.errors import DataError, printable
from dlzoo.registry import DATASETS
from dlzoo.transforms.decode import to_tensor

TRAIN_FLAG = {"train": {"train": True}, "test": {"train": False}}
TRAIN_TEST: dict[str, dict[str, Any]] = {"train": {"split": "train"}, "test": {"split": "test"}}
THREE = {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}
WHOLE: dict[str, dict[str, Any]] = {"train": {}}
SETS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "MNIST": ("MNIST/raw", TRAIN_FLAG),
    "FashionMNIST": ("FashionMNIST/raw", TRAIN_FLAG),
    "KMNIST": ("KMNIST/raw", TRAIN_FLAG),
    "SVHN": ("", TRAIN_TEST),
    "STL10": ("stl10_binary", TRAIN_TEST),
    "USPS": ("", TRAIN_FLAG),
    "Food101": ("food-101", TRAIN_TEST),
    "Flowers102": ("flowers-102", THREE),
    "OxfordIIITPet": ("oxford-iiit-pet", {"train": {"split": "trainval"}, "test": {"split": "test"}}),
    "GTSRB": ("gtsrb", TRAIN_TEST),
    "DTD": ("dtd", THREE),
    "FGVCAircraft": ("fgvc-aircraft-2013b", THREE),
    "PCAM": ("pcam", THREE),
    "EuroSAT": ("eurosat", WHOLE),
    "SUN397": ("SUN397", WHOLE),
}
"""Of each set: the folder below `path` that torchvision expects, and the arguments of each of its splits. CIFAR is not
among them, because torchvision reads it with pickle: data/cifar.py reads its binary form."""


@DATASETS.register("torchvision")
class Torchvision(Dataset):
    """A set of torchvision by its name there: `image` (C, H, W) uint8, and `label`.

    Args:
        set: the name of torchvision's class
        path: the folder that holds the set's own folder
        mode: grey is one channel, rgb three; every picture is converted
        download: fetch the set from the internet if it is not there
    """

    gives = ("image", "label")

    def __init__(
        self,
        set: Literal[
            "MNIST",
            "FashionMNIST",
            "KMNIST",
            "SVHN",
            "STL10",
            "USPS",
            "Food101",
            "Flowers102",
            "OxfordIIITPet",
            "GTSRB",
            "DTD",
            "FGVCAircraft",
            "PCAM",
            "EuroSAT",
            "SUN397",
        ],
        path: str = "data",
        mode: Literal["grey", "rgb"] = "rgb",
        download: bool = False,
    ):
        self.name, self.path, self.mode = set, Path(path).expanduser(), mode
        folder, splits = SETS[set]
        # torchvision would prefer it to the raw files
        if pickled := sorted(self.path.glob(f"{set}/processed/*.pt")):
            raise DataError(f"{printable(str(pickled[0]))}: an old form of {set}, which is pickle. Remove the folder.")
        self._parts = {split: self._open(folder, arguments, download) for split, arguments in splits.items()}

    def _open(self, folder: str, arguments: dict[str, Any], download: bool) -> Any:
        from torchvision import datasets

        try:
            return getattr(datasets, self.name)(str(self.path), **arguments, download=download)
        except (RuntimeError, OSError, ImportError) as error:
            why = str(error).split("\n")[0].split(". You can use")[0]
            raise DataError(
                f"{printable(str(self.path / folder))}: torchvision's {self.name} is not here, or not whole "
                f"({printable(why)}). Put its files there, or set `download: true`."
            ) from None

    def _part(self, index: int) -> tuple[str, int]:
        for split, part in self._parts.items():
            if index < len(part):
                return split, index
            index -= len(part)
        raise IndexError(index)

    def __len__(self) -> int:
        return sum(map(len, self._parts.values()))

    def __getitem__(self, index: int) -> Sample:
        split, place = self._part(index)
        try:
            image, _ = self._parts[split][place]
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.source(index)}: the picture is damaged or cut short ({printable(str(error))})."
            ) from None
        return {"image": to_tensor(image, self.mode), "label": self._labels[index]}

    @cached_property
    def _labels(self) -> list[str]:
        labels: list[str] = []
        for part in self._parts.values():
            found = next(
                (getattr(part, name) for name in ("targets", "labels", "_labels") if hasattr(part, name)), None
            )
            if found is None:
                found = [target for _, target in (getattr(part, "_samples", None) or part)]
            names = getattr(part, "classes", None)
            labels += [names[int(k)] if names else str(int(k)) for k in found]
        return labels

    def column(self, key: str) -> list[Any]:
        """`label`."""
        if key != "label":
            raise DataError(f"torchvision's sets have no column '{printable(key)}', only label.")
        return self._labels

    def source(self, index: int) -> str:
        split, place = self._part(index)
        return f"{self.name}/{split}:{place}"

    def splits(self) -> dict[str, list[int]]:
        splits, start = {}, 0
        for split, part in self._parts.items():
            splits[split] = list(range(start, start + len(part)))
            start += len(part)
        return splits

    def fingerprint(self) -> str:
        folder = self.path / SETS[self.name][0]
        return fingerprint((file for file in folder.rglob("*") if file.is_file()), self.path, extra=self.name)
