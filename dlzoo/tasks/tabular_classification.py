"""One label for each row of a table: fraud, credit risk, diagnosis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from dlzoo.choices import Amount, ClassificationLoss, Numbers, Share, Whole
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import DataError
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example
from dlzoo.tasks.classification import ClassificationTask
from dlzoo.tasks.rows import Rows


@TASKS.register("tabular_classification")
class TabularClassification(ClassificationTask):
    """Numbers (B, F) and codes of categories (B, C) to scores (B, K).

    Args:
        numbers: standard is mean and deviation; robust is median and quartiles, outliers bent; quantile gives a normal
        rare: categories with fewer rows than this in the training split count as unknown
        loss: focal looks more at what is hard; binary_cross_entropy is each class against the rest
        smoothing: share of the target that is spread over all classes
        gamma: of the focal loss, how much more it looks at what is hard
        balance: weigh classes by one over their frequency
    """

    needs = ("row", "label")
    accepts = ("vector",)

    def __init__(
        self,
        numbers: Numbers = "standard",
        rare: Whole = 2,
        loss: ClassificationLoss = "cross_entropy",
        smoothing: Share = 0.0,
        gamma: Amount = 2.0,
        balance: bool = False,
    ):
        super().__init__(loss, smoothing, gamma, balance)
        self.rows = Rows(numbers, rare)

    def fit(self, data: Subset) -> None:
        self.fit_labels(data)
        self.rows.fit(data)
        self._ready()

    def _ready(self) -> None:
        self.inputs, self.requires, self.notes = self.rows.inputs, self.rows.requires, self.rows.notes

    def facts(self) -> dict[str, Any]:
        return {"in_features": self.rows.encoder.features, "categories": self.rows.encoder.categories}

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        return {key: value[0] for key, value in self.encode_many([sample]).items()}

    def encode_many(self, samples: list[Sample]) -> Columns:
        columns = self.rows.encode(samples)
        if samples and "label" in samples[0]:
            columns["label"] = torch.stack([self.labels.encode(sample) for sample in samples])
        return columns

    def collate(self, columns: Columns) -> Batch:
        return self.rows.batch(columns, self.targets(columns))

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Pooled(backbone.features, len(self.labels.classes))

    def unknown(self, columns: Columns) -> dict[str, int]:
        return self.rows.unknown(columns)

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        return self.rows.read(source)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | self.rows.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.rows.load_state_dict(state)
        self._ready()
