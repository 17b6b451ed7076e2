"""One label for each video, and when in it that shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from dlzoo.choices import Amount, Augment, Chance, ClassificationLoss, Count, Normalize, Pool, Positive, Share
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import DataError, UserError
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example
from dlzoo.tasks.classification import ClassificationTask
from dlzoo.tasks.labels import where
from dlzoo.transforms.augment import augment as change
from dlzoo.transforms.pictures import Pictures
from dlzoo.transforms.strip import band, strip
from dlzoo.transforms.video import Video

LOOK = 200
"""Videos of the training split, evenly spread, of which a task decodes a frame for their size and colours."""
SIZE = 112
"""Side of frames that are not all of one size, where none is given: that of the field's first networks."""
WINDOWS = 5
"""Windows of a video that are scored, at most, as in torchvision's recipes: they need less memory than training."""
TOGETHER = 16
"""Windows that are predicted at a time."""
SHOWN = 8
"""Frames of a video in a drawing."""
MOST = 2**28
"""Bytes that the frames of one video may take."""


@TASKS.register("video_classification")
class VideoClassification(ClassificationTask):
    """Videos, as windows of frames (B, C, T, H, W), to scores (B, K).

    With `fps` a window is frames / fps seconds long. In training its place is random; a video's scores are the mean
    over windows from its beginning to its end. Without it the frames of the one window are spread over the video.

    Args:
        frames: that the model sees at a time
        fps: frames a second; null spreads them evenly over the whole video, however long that is
        difference: the model sees how each frame differs from the one before it, in place of the frames
        size: pixels of the shorter side, the longer is cut to it; null keeps frames that are of one size, else 112
        augment: random changes in training, the same for all frames; shift is by up to an eighth, zoom takes 35 % or
            more of the picture
        erase: chance of a training video to lose a random rectangle
        normalize: by the mean and spread of each colour, those of the training split, of Kinetics or of ImageNet;
            none gives 0 to 1
        loss: focal looks more at what is hard; binary_cross_entropy is each class against the rest
        smoothing: share of the target that is spread over all classes
        gamma: of the focal loss, how much more it looks at what is hard
        balance: weigh classes by one over their frequency
        pool: how features become one vector; auto is the mean, or the last place of a causal model
    """

    needs = ("video", "label")
    accepts = ("vector", "sequence")
    requires = ("frames",)
    draws = True

    def __init__(
        self,
        frames: Count = 16,
        fps: Positive | None = None,
        difference: bool = False,
        size: Count | None = None,
        augment: Augment = "none",
        erase: Chance = 0.0,
        normalize: Normalize = "data",
        loss: ClassificationLoss = "cross_entropy",
        smoothing: Share = 0.0,
        gamma: Amount = 2.0,
        balance: bool = False,
        pool: Pool = "auto",
    ):
        super().__init__(loss, smoothing, gamma, balance)
        self.frames = frames
        self.fps = fps
        self.difference = difference
        self.size = size
        self.changes = augment
        self.erase = erase
        self.normalize = normalize
        self.pool = pool
        self.ragged = ("video",) if fps else ()

    def fit(self, data: Subset) -> None:
        self.fit_labels(data)
        videos = (sample["video"] for sample in data.some(LOOK))
        middles = (video.frames([video.duration / 2])[0] for video in videos)
        self.pictures = Pictures.fit(middles, self.size, self.normalize, usual=SIZE)

    def facts(self) -> dict[str, Any]:
        channels, height, width = self.pictures.channels, self.pictures.height, self.pictures.width
        facts = {"in_channels": channels, "frames": self.frames}
        return facts | ({"image_size": height} if height == width else {})

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        """With an rng the frames of one window, at a random place; without one those of all windows."""
        video: Video = sample["video"]
        height, width = self.pictures.height, self.pictures.width
        times = self.times(video.duration, rng)
        if self.fps and len(times) > (most := MOST // (self.pictures.channels * height * width)):
            hint = f"cut it into parts of {most / self.fps:.0f} s, or look at fewer frames a second (task.fps)"
            raise DataError(f"{where(sample)}{video.duration:.0f} s are more than can be looked at at once: {hint}.")
        pictures = video.frames(times, height, width)
        self.pictures.check(pictures[0], where(sample))
        return {"video": pictures, "duration": torch.tensor(video.duration), **self.encode_label(sample)}

    def times(self, duration: float, rng: Random | None = None) -> list[float]:
        """When in a video of so many seconds the frames are taken."""
        if not self.fps:
            offset = rng.random() if rng else 0.5
            return [(i + offset) * duration / self._needed for i in range(self._needed)]
        spare = max(0.0, duration - self._needed / self.fps)
        start, count = rng.uniform(0, spare) if rng else 0.0, self._needed + (0 if rng else int(spare * self.fps))
        return [start + (i + 0.5) / self.fps for i in range(count)]

    @property
    def _needed(self) -> int:
        """Frames of the video for one window."""
        return self.frames + self.difference

    def collate(self, columns: Columns) -> Batch:
        videos = list(columns["video"])
        starts = [self._starts(len(video)) for video in videos]
        x = self._windows([(video, start) for video, own in zip(videos, starts, strict=True) for start in own])
        inputs = {"x": x, "starts": starts, "duration": columns["duration"]} | ({"videos": videos} if self.fps else {})
        return Batch(inputs, self.targets(columns), count=len(videos))

    def _starts(self, length: int, hop: int | None = None) -> list[int]:
        """The first frame of each window of a video of so many frames: every `hop` at most, else half over each other.

        The first begins with the video, the last one ends with it.
        """
        spare = length - self._needed
        count = 1 + -(-spare // (hop or max(1, self._needed // 2)))
        count = count if hop else min(count, WINDOWS)
        return [round(i * spare / max(1, count - 1)) for i in range(count)]

    def _windows(self, places: list[tuple[Tensor, int]]) -> Tensor:
        """Windows of videos, given with their first frames, as the model sees them: (len(places), C, T, H, W)."""
        frames = torch.stack([video[start : start + self._needed] for video, start in places])
        x = self.pictures.normalized(frames)
        return (x.diff(dim=1) if self.difference else x).transpose(1, 2)

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        if self.changes == "none" and not self.erase:
            return batch
        x = batch.inputs["x"]
        changed = change(x.flatten(1, 2), self.changes, self.erase, rng).view_as(x)
        return replace(batch, inputs=batch.inputs | {"x": changed})

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Pooled(backbone.features, len(self.labels.classes), self.pool)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return super().loss(_mean(outputs, batch), batch)

    def update(self, metrics: list[Metric], outputs: Tensor, batch: Batch) -> None:
        super().update(metrics, _mean(outputs, batch), batch)

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        """With `fps` an answer also has `start` and `end`, in seconds, of the window where the label scores highest,
        and the `start`, `end` and `scores` of all `windows`.
        """
        return self._decode(outputs, batch)

    def _decode(self, outputs: Tensor, batch: Batch, threshold: str | None = None) -> list[Answer]:
        answers = self.labels.answers(self.labels.probabilities(_mean(outputs, batch)), threshold)
        if self.fps:
            each = self.labels.probabilities(outputs).cpu().split(_counts(batch))
            durations = batch.inputs["duration"].tolist()
            for answer, *own in zip(answers, each, batch.inputs["starts"], durations, strict=True):
                answer |= self._when(answer["label"], *own)
        return answers

    def _when(self, label: str, scores: Tensor, starts: list[int], duration: float) -> Answer:
        """What an answer says of the windows of one video, whose scores are (windows, K)."""
        assert self.fps
        begin = [start / self.fps for start in starts]
        end = [min(duration, (start + self._needed) / self.fps) for start in starts]
        over_time = dict(zip(self.labels.classes, scores.T.tolist(), strict=True))
        best = int(scores[:, self.labels.index[label]].argmax())
        return {"start": begin[best], "end": end[best], "windows": {"start": begin, "end": end, "scores": over_time}}

    def answer(
        self, model: nn.Module, batch: Batch, *, threshold: str | None = None, stride: float | None = None
    ) -> list[Answer]:
        """The likeliest class of each video, unless a threshold says otherwise.

        Args:
            threshold: CLASS=SCORE: a video is CLASS from that score on, else the likeliest of the other classes
            stride: seconds between windows at most; without it they are those of an evaluation
        """
        starts, x = batch.inputs["starts"], batch.inputs["x"]
        if stride is None:
            parts = x.split(TOGETHER)
        elif self.fps and stride > 0:
            videos = [video.cpu() for video in batch.inputs["videos"]]
            starts = [self._starts(len(video), max(1, int(stride * self.fps))) for video in videos]
            places = [(video, start) for video, own in zip(videos, starts, strict=True) for start in own]
            groups = (places[i : i + TOGETHER] for i in range(0, len(places), TOGETHER))
            parts = (self._windows(group).to(x.device) for group in groups)
        else:
            why = f"{stride:g} s is no step" if self.fps else "this model looks at a video as a whole (task.fps: null)"
            raise UserError(f"--stride: {why}")
        outputs = torch.cat([model(x=part) for part in parts])
        return self._decode(outputs, replace(batch, inputs=batch.inputs | {"starts": starts}), threshold)

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        yield {"video": Video.open(source, self.pictures.mode), "source": str(source)}

    def draw(self, sample: Sample, answer: Answer) -> dict[str, Tensor]:
        """Frames of the video in a row; with `fps`, below them the label's score over time, its best window marked."""
        video: Video = sample["video"]
        picture = strip(video.frames([(i + 0.5) * video.duration / SHOWN for i in range(SHOWN)]))
        if not self.fps:
            return {"frames": picture}
        times = (torch.arange(picture.shape[2]) + 0.5) * video.duration / picture.shape[2]
        start, end = (torch.tensor(answer["windows"][name])[:, None] for name in ("start", "end"))
        covers = ((start <= times) & (times < end)).float()
        scores = torch.tensor(answer["windows"]["scores"][answer["label"]]) @ covers / covers.sum(0).clamp(min=1)
        return {"frames": torch.cat([picture, band(scores, (answer["start"] <= times) & (times < answer["end"]))], 1)}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | self.pictures.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.pictures = Pictures.load(state)


def _counts(batch: Batch) -> list[int]:
    """How many windows each video has."""
    return [len(starts) for starts in batch.inputs["starts"]]


def _mean(outputs: Tensor, batch: Batch) -> Tensor:
    """The outputs of windows as those of the videos that they are from."""
    return torch.stack([part.mean(0) for part in outputs.split(_counts(batch))])
