"""Pictures that ship with dlzoo or with scikit-learn."""

from functools import cached_property
from typing import Any

import numpy as np
import torch

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.idx import Idx
from dlzoo.data.location import BUNDLED
from dlzoo.errors import DataError, printable
from dlzoo.registry import DATASETS

CLOTHES = ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


@DATASETS.register("fashion_mnist_small")
class FashionMnistSmall(Idx):
    """Clothes, 28x28 grey, 10 classes: `image` (1, 28, 28), `label`. From Fashion-MNIST (Xiao et al., 2017)."""

    def __init__(self) -> None:
        super().__init__(str(BUNDLED / "fashion_mnist_small"), CLOTHES)


@DATASETS.register("digits")
class Digits(Dataset):
    """1,797 handwritten digits, 8x8 grey: `image` (1, 8, 8), `label` (scikit-learn; Alpaydin and Kaynak, 1998)."""

    gives = ("image", "label")

    @cached_property
    def _data(self) -> tuple[torch.Tensor, list[str]]:
        """Pictures (N, 1, 8, 8), their 17 levels spread over 0..255; and labels."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
        return torch.from_numpy(pixels)[:, None], [str(label) for label in digits.target.tolist()]

    def __len__(self) -> int:
        return len(self._data[1])

    def __getitem__(self, index: int) -> Sample:
        images, labels = self._data
        return {"image": images[index], "label": labels[index]}

    def column(self, key: str) -> list[Any]:
        """`label`."""
        if key != "label":
            raise DataError(f"digits have no column '{printable(key)}', only label.")
        return self._data[1]

    def source(self, index: int) -> str:
        return f"digits:{index}"

    def fingerprint(self) -> str:
        import hashlib

        images, labels = self._data
        return hashlib.sha256(images.numpy().tobytes() + "".join(labels).encode()).hexdigest()
