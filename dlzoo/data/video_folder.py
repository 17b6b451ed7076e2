"""Videos in folders named by their class, or listed with their class in a CSV. Extra: video."""

from pathlib import Path
from typing import Literal

from dlzoo.data.class_files import ClassFiles
from dlzoo.data.dataset import Sample
from dlzoo.registry import DATASETS
from dlzoo.transforms.video import SUFFIXES, Video


@DATASETS.register("video_folder")
class VideoFolder(ClassFiles):
    """Videos: `video`, a transforms.video.Video that is not decoded yet, and `label`, the name of its folder.

    Args:
        mode: grey is one channel, rgb three; every frame is converted
    """

    gives = ("video", "label")
    holds = "video"
    suffixes = SUFFIXES
    what = "videos"

    def __init__(self, path: str, mode: Literal["grey", "rgb"] = "rgb", csv: str | None = None):
        super().__init__(path, csv)
        self.mode = mode
        self._sound: set[Path] = set()
        """Files whose every frame can be decoded."""

    def read(self, file: Path, content: bytes | None) -> Sample:
        """Where bad files are to be left out, each is decoded whole once: damage inside would else show in training."""
        video = Video.open(file, self.mode)
        if self.skipped is not None and file not in self._sound:
            video.check()
            self._sound.add(file)
        return {"video": video}
