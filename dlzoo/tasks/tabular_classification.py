"""One label for each row of a table: fraud, credit risk, diagnosis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from dlzoo.choices import ClassificationLoss, Numbers
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import DataError
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example
from dlzoo.tasks import rows
from dlzoo.tasks.classification import ClassificationTask
from dlzoo.transforms.table import TableEncoder


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
        rare: int = 2,
        loss: ClassificationLoss = "cross_entropy",
        smoothing: float = 0.0,
        gamma: float = 2.0,
        balance: bool = False,
    ):
        super().__init__(loss, smoothing, gamma, balance)
        self.encoder = TableEncoder(numbers, rare)
        self.style: dict[str, Any] = {}

    def fit(self, data: Subset) -> None:
        self.fit_labels(data.column("label"))
        self.encoder.fit(data.column("row"))
        self.notes = rows.notes(self.encoder)
        self.style = rows.style(data)
        self._ready()

    def _ready(self) -> None:
        if self.encoder.codes:
            self.inputs, self.requires = ("x", "codes"), ("categories",)

    def facts(self) -> dict[str, Any]:
        return rows.facts(self.encoder)

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        return {key: value[0] for key, value in self.encode_many([sample]).items()}

    def encode_many(self, samples: list[Sample]) -> Columns:
        columns: Columns = rows.encode(self.encoder, samples)
        if samples and "label" in samples[0]:
            columns["label"] = torch.tensor([self.number(sample) for sample in samples])
        return columns

    def collate(self, columns: Columns) -> Batch:
        return Batch(rows.inputs(columns), self.targets(columns), count=len(columns["x"]))

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Pooled(backbone.features, len(self.classes))

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        return rows.read(self.encoder, self.style, source)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"table": self.encoder.state_dict(), "style": self.style}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.encoder.load_state_dict(state["table"])
        self.style = state["style"]
        self._ready()
