"""Boxes: mean average precision as COCO defines it, counted by faster-coco-eval."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from dlzoo.metrics.bootstrap import Array, percentiles, resample
from dlzoo.metrics.metric import Answer, Metric

SIDES = ("x1", "y1", "x2", "y2")
MOST = 100
"""Boxes of a picture that count, those with the highest scores."""
FEWEST, REPLICAS = 8, 200
"""Pictures from which on there are intervals; how often these are drawn anew."""


class Detection(Metric):
    """Reads `boxes` of answers and truths: {label, score, x1, y1, x2, y2} each.

    map, the mean over overlaps of .5, .55 ... .95 and over classes of the average precision at 101 levels of recall;
    ap50 and ap75, at one overlap; ap50.CLASS, of one class. nan where no truth has a box (of that class). COCO's own
    definition (Lin et al., 2014, arXiv:1405.0312).

    State: six numbers for each box of an answer or a truth.
    """

    def __init__(self, classes: list[str]):
        self.classes = classes
        self.index = {name: i for i, name in enumerate(classes)}
        self.pictures = 0
        self.answers: list[Array] = []
        """(N, 7) of each batch: number of the picture, class, four sides, score; so of truths."""
        self.truths: list[Array] = []

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        self.answers.append(self._rows(answers))
        self.truths.append(self._rows(truths))
        self.pictures += len(truths)

    def _rows(self, found: list[Answer]) -> Array:
        rows = [
            [self.pictures + i, self.index[box["label"]], *(box[side] for side in SIDES), box["score"]]
            for i, answer in enumerate(found)
            for box in answer["boxes"]
        ]
        return np.array(rows, np.float64).reshape(-1, 7)

    def compute(self) -> dict[str, float]:
        found = self._evaluated()
        return self._named(np.full((10, len(self.classes)), np.nan) if found is None else _precision(found))

    def intervals(self) -> dict[str, tuple[float, float]]:
        """By bootstrap over the pictures, whose boxes are matched once."""
        if self.pictures < FEWEST or (found := self._evaluated()) is None:
            return {}
        matched = np.array(found._evalImgs_cpp, object).reshape(-1, self.pictures)  # class by class
        replicas: list[dict[str, float]] = []
        for drawn in resample(self.pictures, REPLICAS):
            for counts in drawn:
                found._evalImgs_cpp = np.repeat(matched, counts.astype(int), 1).reshape(-1).tolist()
                replicas.append(self._named(_precision(found)))
        return {name: percentiles(np.array([replica[name] for replica in replicas])) for name in replicas[0]}

    def _evaluated(self) -> Any:
        """The library's evaluator, its boxes matched, as COCO's own is set up; None without a truth."""
        from faster_coco_eval import COCO, COCOeval_faster

        truths, answers = (np.concatenate([np.zeros((0, 7)), *rows]) for rows in (self.truths, self.answers))
        if not len(truths):
            return None
        images, categories = ([{"id": i} for i in range(n)] for n in (self.pictures, len(self.classes)))
        right = COCO({"images": images, "categories": categories, "annotations": _annotations(truths)})
        found = COCOeval_faster(right, right.loadRes(_annotations(answers)), "bbox", separate_eval=True)
        found.params.areaRng, found.params.areaRngLbl, found.params.maxDets = [[0, 1e10]], ["all"], [MOST]
        found.evaluate()
        return found

    def _named(self, precision: Array) -> dict[str, float]:
        """The metrics, from the average precision (10, K) of each overlap and class."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no class is nan, as it should be
            means = {"map": precision, "ap50": precision[0], "ap75": precision[5]}
            found = {name: float(np.nanmean(values)) for name, values in means.items()}
        return found | {f"ap50.{name}": float(value) for name, value in zip(self.classes, precision[0], strict=True)}

    def state_dict(self) -> dict[str, Any]:
        return {"pictures": self.pictures, "answers": self.answers, "truths": self.truths}

    def merge(self, state: dict[str, Any]) -> None:
        for mine, theirs in ((self.answers, state["answers"]), (self.truths, state["truths"])):
            for rows in theirs:
                moved = np.array(rows, np.float64).reshape(-1, 7)
                moved[:, 0] += self.pictures
                mine.append(moved)
        self.pictures += state["pictures"]


def _precision(found: Any) -> Array:
    """Average precision (10, K) of each overlap and class; nan where a class has no truth."""
    found.accumulate()
    precision = found.eval["precision"][:, :, :, 0, 0]
    return np.where(precision[:, 0] < 0, np.nan, precision.mean(1))


def _annotations(rows: Array) -> list[dict[str, Any]]:
    return [
        {
            "id": i,
            "image_id": int(picture),
            "category_id": int(number),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
            "score": score,
        }
        for i, (picture, number, x1, y1, x2, y2, score) in enumerate(rows.tolist(), 1)
    ]
