"""Pictures in folders named by their class, or listed in a CSV with their class, classes or numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from dlzoo.data.class_files import ClassFiles
from dlzoo.data.dataset import Sample
from dlzoo.errors import first_few
from dlzoo.registry import DATASETS
from dlzoo.transforms.decode import ANIMATED, SUFFIXES, frames, read_image

LOOK = 200
"""Pictures of a kind that may have several frames, evenly spread, whose headers are read for it."""


@DATASETS.register("image_folder")
class ImageFolder(ClassFiles):
    """Pictures: `image` (C, H, W) uint8 of any size; and `label`, the name of its folder, or `labels`, or `values`.

    Args:
        mode: grey is one channel, rgb three; every picture is converted
    """

    gives = ("image", "label")
    holds = "image"
    suffixes = SUFFIXES
    what = "pictures"

    def __init__(
        self,
        path: str,
        mode: Literal["grey", "rgb"] = "rgb",
        csv: str | None = None,
        targets: list[str] | None = None,
    ):
        super().__init__(path, csv, targets)
        self.mode = mode
        self.notes.extend(self._moving())

    def _moving(self) -> Iterator[str]:
        """A sentence on volumes, and on files with several frames, if any are among those that are looked at."""
        kinds = [file for file in self.files if file.suffix.lower() in ANIMATED]
        seen = kinds[:: max(1, len(kinds) // LOOK)]
        if moving := [str(file) for file in seen if frames(file) > 1]:
            among = f" (of {len(seen):,} looked at)" if len(seen) < len(kinds) else ""
            yield f"of {len(moving):,} files with several frames{among} the first frame is read: {first_few(moving)}"
        if volumes := [str(file) for file in self.files if file.name.lower().endswith((".nii", ".nii.gz"))]:
            yield f"of {len(volumes):,} NIfTI volumes the middle slice is read: {first_few(volumes)}"

    def read(self, file: Path, content: bytes | None) -> Sample:
        return {"image": read_image(file if content is None else content, self.mode, str(file), self.least)}
