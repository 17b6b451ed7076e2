"""One number for each row of a table: prices, doses, demand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from dlzoo import losses
from dlzoo.choices import Numbers, Positive, RegressionLoss, Whole
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import ConfigError, DataError
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.metrics.regression import Regression
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example, Task
from dlzoo.tasks.labels import where
from dlzoo.tasks.rows import Rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@TASKS.register("tabular_regression")
class TabularRegression(Task):
    """Numbers (B, F) and codes of categories (B, C) to one number (B, 1), learned in standard deviations of the target.

    Args:
        numbers: standard is mean and deviation; robust is median and quartiles, outliers bent; quantile gives a normal
        rare: categories with fewer rows than this in the training split count as unknown
        loss: mse estimates the mean, mae the median, huber lies between
        delta: error, in standard deviations, from which huber grows like mae
    """

    needs = ("row", "value")
    accepts = ("vector",)
    monitor = "-rmse"
    baseline = "mean"

    def __init__(
        self, numbers: Numbers = "standard", rare: Whole = 2, loss: RegressionLoss = "mse", delta: Positive = 1.0
    ):
        self.rows = Rows(numbers, rare)
        if delta != 1 and loss != "huber":
            raise ConfigError([f"task.delta: loss: {loss} has none; leave it out, or set loss: huber"])
        self.kind = loss
        self.delta = delta
        self.mean, self.std = 0.0, 1.0

    def fit(self, data: Subset) -> None:
        values = np.array([_number(v, data.source(i) + ": ") for i, v in enumerate(data.column("value"))])
        if not len(values):
            raise DataError("the training split has no rows.")
        self.mean, self.std = float(values.mean()), float(values.std()) or 1.0
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
        if samples and "value" in samples[0]:  # in the user's unit, so that the truth stays exact
            values = [_number(sample["value"], where(sample)) for sample in samples]
            columns["value"] = torch.tensor(values, dtype=torch.float64)
        return columns

    def collate(self, columns: Columns) -> Batch:
        return self.rows.batch(columns, {"value": columns["value"]} if "value" in columns else {})

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Pooled(backbone.features, 1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        targets = ((batch.targets["value"] - self.mean) / self.std).to(outputs.dtype)
        return losses.regression(outputs.squeeze(-1), targets, self.kind, delta=self.delta)

    def _values(self, outputs: Tensor) -> Tensor:
        return outputs.detach().squeeze(-1).double() * self.std + self.mean

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        return [{"value": value} for value in self._values(outputs).tolist()]

    def truth(self, batch: Batch) -> list[Answer]:
        return [{"value": value} for value in batch.targets["value"].tolist()]

    def guess(self, batch: Batch) -> list[Answer]:
        return [{"value": self.mean}] * batch.count

    def metrics(self) -> list[Metric]:
        return [Regression()]

    def update(self, metrics: list[Metric], outputs: Tensor, batch: Batch) -> None:
        values, truths = self._values(outputs).cpu().numpy(), batch.targets["value"].cpu().numpy()
        for metric in metrics:
            assert isinstance(metric, Regression)
            metric.update_arrays(values, truths)

    def unknown(self, columns: Columns) -> dict[str, int]:
        return self.rows.unknown(columns)

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        return self.rows.read(source)

    def plot(self, metrics: list[Metric], answers: list[Answer], truths: list[Answer]) -> dict[str, Figure]:
        from dlzoo.report import figures

        return {"residuals": figures.residuals([a["value"] for a in answers], [t["value"] for t in truths])}

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std} | self.rows.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean, self.std = state["mean"], state["std"]
        self.rows.load_state_dict(state)
        self._ready()


def _number(value: Any, place: str) -> float:
    """The target of a row. Raises DataError where it is missing or not finite."""
    if value is None or not math.isfinite(value):
        raise DataError(f"{place}the target is {'missing' if value is None or value != value else 'infinite'}.")
    return float(value)
