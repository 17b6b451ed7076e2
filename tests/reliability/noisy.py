"""Tasks that draw when they encode, so that data workers have something to do and a resume has something to lose."""

import torch

from dlzoo.registry import TASKS
from dlzoo.tasks.face_recognition import FaceRecognition
from dlzoo.tasks.image_classification import ImageClassification
from dlzoo.tasks.image_regression import ImageRegression
from dlzoo.tasks.segmentation import SegmentationTask
from dlzoo.tasks.tabular_classification import TabularClassification
from dlzoo.tasks.tabular_regression import TabularRegression
from dlzoo.tasks.text_classification import TextClassification
from dlzoo.tasks.video_classification import VideoClassification


class Drawing:
    """Encodes as the class behind it does, and changes every input a little."""

    draws = True

    def encode(self, sample, rng=None):
        example = super().encode(sample)
        return example if rng is None else {name: drawn(name, value, rng) for name, value in example.items()}


def drawn(name, value, rng):
    if name == "mask":
        return value
    if name == "tokens":
        return value[: max(1, len(value) - rng.randrange(4))]
    if value.dtype == torch.uint8:
        return value + torch.tensor(rng.choices(range(20), k=value.numel()), dtype=torch.uint8).view(value.shape)
    return value + rng.random() / 10 if value.is_floating_point() and value.ndim else value


@TASKS.register("noisy_image_classification")
class Images(Drawing, ImageClassification):
    """Pictures (B, C, H, W) with noise."""


@TASKS.register("noisy_face_recognition")
class Faces(Drawing, FaceRecognition):
    """Faces with noise."""


@TASKS.register("noisy_image_regression")
class Numbers(Drawing, ImageRegression):
    """Pictures with noise, and numbers."""


@TASKS.register("noisy_segmentation")
class Masks(Drawing, SegmentationTask):
    """Pictures (B, C, H, W) with noise, and masks without."""


@TASKS.register("noisy_video_classification")
class Videos(Drawing, VideoClassification):
    """Windows of videos with noise, all from the beginning on."""


@TASKS.register("noisy_tabular_classification")
class Rows(Drawing, TabularClassification):
    """Rows with noise."""


@TASKS.register("noisy_tabular_regression")
class Values(Drawing, TabularRegression):
    """Rows with noise."""


@TASKS.register("noisy_text_classification")
class Texts(Drawing, TextClassification):
    """Texts that end early."""
