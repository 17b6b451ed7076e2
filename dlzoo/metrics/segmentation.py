"""A class for each pixel: intersection over union and Dice, over all pixels and for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from dlzoo.metrics.bootstrap import Array, Groups
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.transforms.masks import VOID


class Segmentation(Metric):
    """Reads `mask`, class numbers (H, W), of answers and truths; where a truth is VOID nothing counts.

    iou.CLASS: pixels that are of a class in both over those that are in either; miou: their mean over the classes that
    occur. dice.CLASS and dice: twice those in both over the sum, likewise. accuracy: the share of right pixels. All are
    of the pixels of all pictures together; picture_dice and picture_iou are means over pictures of the classes but for
    the first, the background, that occur in it.

    State: K x K counts, 2,000 groups of 3 K + 3 sums.
    """

    def __init__(self, classes: list[str]):
        self.classes = classes
        self.confusion = np.zeros((len(classes), len(classes)), np.int64)
        """Truths down, answers across."""
        self.groups = Groups(3 * len(classes) + 3)
        """Of each class: pixels in both, in the truth, in the answer; of each picture: IoU, Dice, 1 if it has any."""

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        for answer, truth in zip(answers, truths, strict=True):
            self.update_masks(answer["mask"][None], truth["mask"][None])

    def update_masks(self, answers: Tensor, truths: Tensor) -> None:
        """The fast path: class numbers (B, H, W)."""
        K = len(self.classes)
        for answer, truth in zip(answers.cpu().numpy(), truths.cpu().numpy(), strict=True):
            counts = truth != VOID
            pairs = truth[counts].astype(np.int64) * K + answer[counts]
            confusion = np.bincount(pairs, minlength=K * K).reshape(K, K)
            self.confusion += confusion
            both, true, found = np.diag(confusion), confusion.sum(1), confusion.sum(0)
            own = _means(both[1:], true[1:], found[1:])
            self.groups.add(np.concatenate([both, true, found, own])[None].astype(np.float64))

    def compute(self) -> dict[str, float]:
        both, true, found = np.diag(self.confusion), self.confusion.sum(1), self.confusion.sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            iou, dice = both / (true + found - both), 2 * both / (true + found)
            total = self.groups.total()[None]
            numbers = {
                "miou": _miou(total)[0],
                "dice": _dice(total)[0],
                "accuracy": _accuracy(total)[0],
                "picture_iou": _picture(total, 0)[0],
                "picture_dice": _picture(total, 1)[0],
            }
        numbers |= {f"iou.{name}": value for name, value in zip(self.classes, iou, strict=True)}
        numbers |= {f"dice.{name}": value for name, value in zip(self.classes, dice, strict=True)}
        return {name: float(value) for name, value in numbers.items()}

    def intervals(self) -> dict[str, tuple[float, float]]:
        return {
            "miou": self.groups.interval(_miou),
            "dice": self.groups.interval(_dice),
            "accuracy": self.groups.interval(_accuracy),
            "picture_iou": self.groups.interval(lambda sums: _picture(sums, 0)),
            "picture_dice": self.groups.interval(lambda sums: _picture(sums, 1)),
        }

    def state_dict(self) -> dict[str, Any]:
        return {"confusion": self.confusion, "groups": self.groups.state_dict()}

    def merge(self, state: dict[str, Any]) -> None:
        self.confusion = self.confusion + np.asarray(state["confusion"])
        self.groups.merge(state["groups"])


def _means(both: Array, true: Array, found: Array) -> Array:
    """IoU and Dice of one picture, means over the classes that occur in it, and 1; three zeros where none does."""
    there = true + found > 0
    if not there.any():
        return np.zeros(3)
    both, either = both[there], (true + found)[there]
    return np.array([(both / (either - both)).mean(), (2 * both / either).mean(), 1.0])


def _thirds(sums: Array) -> list[Array]:
    """Pixels in both, in the truth and in the answer: three of (R, K)."""
    return np.split(sums[:, :-3], 3, axis=1)


def _miou(sums: Array) -> Array:
    both, true, found = _thirds(sums)
    return np.nanmean(np.where(true + found > 0, both / (true + found - both), np.nan), 1)


def _dice(sums: Array) -> Array:
    both, true, found = _thirds(sums)
    return np.nanmean(np.where(true + found > 0, 2 * both / (true + found), np.nan), 1)


def _accuracy(sums: Array) -> Array:
    both, true, _ = _thirds(sums)
    return both.sum(1) / true.sum(1)


def _picture(sums: Array, which: int) -> Array:
    return sums[:, which - 3] / sums[:, -1]
