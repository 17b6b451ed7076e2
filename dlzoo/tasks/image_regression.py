"""Any numbers from a picture: an age, a steering angle, a pose."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from dlzoo import losses
from dlzoo.choices import Augment, Chance, Count, Normalize, Pool, Positive, RegressionLoss, Share
from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import ConfigError, DataError, choose
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.metrics.regression import Regressions, nearest
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example
from dlzoo.tasks.pictures import PictureTask
from dlzoo.transforms.targets import Targets

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@TASKS.register("image_regression")
class ImageRegression(PictureTask):
    """Pictures (B, C, H, W), grey or colour, to named numbers (B, O), learned in standard deviations of each.

    Args:
        size: pixels of the shorter side, the longer is cut to it; null keeps pictures that are of one size, else 224
        augment: random changes in training, none of which may change the numbers: a flip turns a steering angle around
        erase: chance of a training picture to lose a random rectangle
        normalize: by the mean and spread of each colour, those of the training split, of ImageNet or of Kinetics;
            none gives 0 to 1
        period: of numbers that go round, by name, after how much; {angle: 360} makes 359 and 1 neighbours
        loss: mse estimates the mean, mae the median, huber lies between
        delta: error, in standard deviations, from which huber grows like mae
        dropout: of the features that the numbers are read from
        pool: how features become one vector; auto is the mean, or the last place of a causal model
    """

    needs = ("image", "values")
    accepts = ("map", "vector", "sequence")
    monitor = "-loss"
    baseline = "mean"
    targets: Targets

    def __init__(
        self,
        size: Count | None = None,
        augment: Augment = "none",
        erase: Chance = 0.0,
        normalize: Normalize = "data",
        period: dict[str, Positive] | None = None,
        loss: RegressionLoss = "mse",
        delta: Positive = 1.0,
        dropout: Share = 0.0,
        pool: Pool = "auto",
    ):
        if delta != 1 and loss != "huber":
            raise ConfigError([f"task.delta: loss: {loss} has none; leave it out, or set loss: huber"])
        self.size = size
        self.changes = augment
        self.erase = erase
        self.normalize = normalize
        self.period = period or {}
        self.kind = loss
        self.delta = delta
        self.dropout = dropout
        self.pool = pool

    def fit(self, data: Subset) -> None:
        rows = data.column("values")
        if not rows:
            raise DataError("the training split has no pictures.")
        names = list(rows[0])
        if strange := [name for name in self.period if name not in names]:
            raise ConfigError([f"task.period: {choose(strange[0], names, 'target')}"])
        values = torch.tensor([[row[name] for name in names] for row in rows], dtype=torch.float64)
        self.targets = Targets.fit(names, values, self.period)
        self.fit_pictures(data, self.size, self.normalize)

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        example = {"image": self.encode_picture(sample)}
        if "values" in sample:  # in the user's units, so that the truth stays exact
            example["values"] = torch.tensor([sample["values"][n] for n in self.targets.names], dtype=torch.float64)
        return example

    def collate(self, columns: Columns) -> Batch:
        x = self.pictures.normalized(columns["image"])
        return Batch({"x": x}, {"values": columns["values"]} if "values" in columns else {}, count=len(x))

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Pooled(backbone.features, self.targets.width, self.pool, self.dropout)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        wanted = self.targets.encode(batch.targets["values"]).to(outputs.dtype)
        return losses.regression(outputs, wanted, self.kind, delta=self.delta) / self.targets.width

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        return self._answers(self.targets.decode(outputs.detach()).tolist())

    def truth(self, batch: Batch) -> list[Answer]:
        return self._answers(batch.targets["values"].tolist())

    def guess(self, batch: Batch) -> list[Answer]:
        return self._answers([self.targets.means] * batch.count)

    def _answers(self, rows: list[list[float]]) -> list[Answer]:
        return [{"values": dict(zip(self.targets.names, row, strict=True))} for row in rows]

    def metrics(self) -> list[Metric]:
        return [Regressions(self.targets.names, self.period)]

    def update(self, metrics: list[Metric], outputs: Tensor, batch: Batch) -> None:
        values = self.targets.decode(outputs.detach()).cpu().numpy()
        for metric in metrics:
            assert isinstance(metric, Regressions)
            metric.update_arrays(values, batch.targets["values"].cpu().numpy())

    def plot(self, metrics: list[Metric], answers: list[Answer], truths: list[Answer]) -> dict[str, Figure]:
        from dlzoo.report import figures

        found = {}
        for number, name in enumerate(self.targets.names, 1):
            values, right = (np.array([row["values"][name] for row in rows], float) for rows in (answers, truths))
            values = nearest(values, right, self.period.get(name))
            found[f"residuals_{number}"] = figures.residuals(values.tolist(), right.tolist(), name)
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"targets": self.targets.state_dict()} | super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.targets = Targets(**state["targets"])
