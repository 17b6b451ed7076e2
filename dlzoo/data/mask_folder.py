"""Pictures with a mask each, which says the class of every pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from dlzoo.data.dataset import Dataset, Sample
from dlzoo.data.folders import SPLITS, Walk
from dlzoo.data.location import existing, fingerprint
from dlzoo.errors import DataError, first_few, printable
from dlzoo.registry import DATASETS
from dlzoo.transforms.decode import SUFFIXES, read_image
from dlzoo.transforms.masks import read_mask


@DATASETS.register("mask_folder")
class MaskFolder(Dataset):
    """Pictures: `image` (C, H, W) uint8 of any size, and `mask` (1 or 3, H, W) uint8, numbers or colours.

    Args:
        path: the folder: images/FILE and masks/FILE, the two in each of train, validation and test, or those in each
            of the two
        images: name of the folders of pictures
        masks: name of the folders of masks
        ending: what stands behind the name of a picture in that of its mask, as in photo.jpg and photo_mask.png
        mode: grey is one channel, rgb three; every picture is converted
    """

    gives = ("image", "mask")
    decodes = True

    def __init__(
        self,
        path: str,
        images: str = "images",
        masks: str = "masks",
        ending: str = "",
        mode: Literal["grey", "rgb"] = "rgb",
    ):
        self.path = existing(path, folder=True)
        self.mode = mode
        self.walk = Walk(self.path, SUFFIXES)
        self._files: list[tuple[Path, Path]] = []
        self._splits: dict[str, list[int]] = {}
        parts = self._parts(images, masks)
        for split in sorted(parts, key=["train", "validation", "test"].index):
            start = len(self._files)
            self._files += self._pairs(*parts[split], ending)
            self._splits[split] = list(range(start, len(self._files)))
        if passed := self.walk.passed():
            self.notes.append(f"passed over: {passed}")

    def _parts(self, images: str, masks: str) -> dict[str, tuple[Path, Path]]:
        """The folders of pictures and of masks of each split."""
        folders = {folder.name: (folder / images, folder / masks) for folder in self.walk.folders(self.path)}
        inside = {SPLITS.get(name.lower()): pair for name, pair in folders.items() if all(map(Path.is_dir, pair))}
        both = self.path / images, self.path / masks
        if not all(map(Path.is_dir, both)):
            if None in inside or not inside:
                wanted = f"{images}/FILE and {masks}/FILE, or train/{images}/FILE and train/{masks}/FILE ..."
                raise DataError(f"{printable(str(self.path))}: no pictures and masks in it. Wanted: {wanted}")
            return {str(split): pair for split, pair in inside.items()}
        names = [folder.name for folder in self.walk.folders(both[0]) if folder.name.lower() in SPLITS]
        return {SPLITS[name.lower()]: (both[0] / name, both[1] / name) for name in names} or {"train": both}

    def _pairs(self, images: Path, masks: Path, ending: str) -> list[tuple[Path, Path]]:
        """The pictures of a folder, each with the mask of its name. Raises DataError for those without one."""
        named = {file.relative_to(masks).with_suffix("").as_posix(): file for file in self.walk.below(masks)}
        files = {file.relative_to(images).with_suffix("").as_posix(): file for file in self.walk.below(images)}
        if missing := [str(file) for name, file in files.items() if name + ending not in named]:
            raise DataError(
                f"{len(missing):,} pictures have no mask NAME{printable(ending)}.* in {printable(str(masks))}: "
                f"{first_few(missing)}."
            )
        if not files:
            raise DataError(f"{printable(str(images))}: there are no pictures in it.")
        if alone := sorted(named.keys() - {name + ending for name in files}):
            self.notes.append(f"{len(alone):,} masks without a picture, ignored: {first_few(alone)}")
        return [(file, named[name + ending]) for name, file in files.items()]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        image, mask = self._files[index]
        sample = {"image": read_image(image, self.mode), "mask": read_mask(mask)}
        if sample["image"].shape[1:] != sample["mask"].shape[1:]:
            (H, W), (h, w) = sample["image"].shape[1:], sample["mask"].shape[1:]
            raise DataError(f"{printable(str(image))} is {W} x {H}, and its mask {printable(str(mask))} {w} x {h}.")
        return sample

    def column(self, key: str) -> list[Any]:
        """`path`, as text below the folder; pictures and masks are not decoded for this."""
        if key == "path":
            return [image.relative_to(self.path).as_posix() for image, _ in self._files]
        raise DataError(f"{printable(str(self.path))}: masks have no column '{printable(key)}', only path.")

    def source(self, index: int) -> str:
        return str(self._files[index][0])

    def splits(self) -> dict[str, list[int]]:
        return self._splits

    def fingerprint(self) -> str:
        return fingerprint([file for pair in self._files for file in pair])
