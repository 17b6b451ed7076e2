"""The next values of a series, from its past."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dlzoo import jsontext, losses
from dlzoo.choices import Count, ForecastLoss, Positive, SeriesScale, SeriesTransform
from dlzoo.data.dataset import Pieces, Sample, Subset
from dlzoo.errors import ConfigError, DataError, printable
from dlzoo.features import Features
from dlzoo.heads.horizon import Horizon
from dlzoo.metrics.forecast import Forecast
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example, Task
from dlzoo.tasks.series_encoder import SeriesEncoder
from dlzoo.tasks.series_windows import SeriesWindows
from dlzoo.transforms.scaling import SeriesScaler

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@TASKS.register("forecasting")
class Forecasting(Task):
    """Series and covariates (B, context, F) to the next values (B, horizon), or to Q quantiles of each (B, horizon, Q).

    x[..., 0] is the series; then come covariates of the past, and those that are known ahead (`future`, (B, horizon,
    Q)).

    Args:
        context: steps that the model sees
        horizon: steps that it foretells
        normalize: of each window its mean (last: its last value) and spread are taken out, or those of its series
        transform: log takes the logarithm first: for positive series that grow by factors
        calendar: the hour, the weekday and the time of the year are covariates, as far as the times tell them apart
        season: steps of the baseline's season; null goes by the times (24 for hours, 12 for months ...), else 1
        stride: a training window starts every so many steps
        linear: add a linear map of the context to the forecast, as in DLinear
        loss: of normalised values; mse aims at the mean, mae at the median, pinball at quantiles
        delta: error from which huber grows like mae
        quantiles: what pinball aims at; null for .1, .5 and .9
    """

    needs = ("series",)
    accepts = ("vector", "sequence")
    monitor = "-mae"
    baseline = "seasonal naive"

    def __init__(
        self,
        context: Count = 48,
        horizon: Count = 12,
        normalize: SeriesScale = "window",
        transform: SeriesTransform = "none",
        calendar: bool = False,
        season: Count | None = None,
        stride: Count = 1,
        linear: bool = True,
        loss: ForecastLoss = "mse",
        delta: Positive = 1.0,
        quantiles: list[float] | None = None,
    ):
        levels = [0.1, 0.5, 0.9] if quantiles is None else quantiles
        problems = [
            (delta != 1 and loss != "huber", "task.delta: only loss: huber has one"),
            (quantiles is not None and loss != "pinball", "task.quantiles: only loss: pinball aims at quantiles"),
            (
                not levels or levels != sorted({*levels}) or not 0 < levels[0] <= levels[-1] < 1,
                "task.quantiles: rising, between 0 and 1",
            ),
            (min(context, horizon, stride, season or 1) < 1, "task: context, horizon, stride and season are 1 or more"),
        ]
        if found := [text for wrong, text in problems if wrong]:
            raise ConfigError(found)
        self.context, self.horizon, self.stride = context, horizon, stride
        self.linear = linear
        self.encoder = SeriesEncoder(SeriesScaler(normalize, transform), context, horizon, calendar, season)
        self.kind, self.delta = loss, delta
        self.quantiles = levels if loss == "pinball" else None
        self.columns: dict[str, Any] = {}
        """How a user's file is read: the names of its columns."""

    def fit(self, data: Subset) -> None:
        self.encoder.fit(data)
        self.columns = getattr(data.dataset, "reading", {})

    def facts(self) -> dict[str, Any]:
        return {"in_features": self.encoder.width, "context": self.context}

    def pieces(self, data: Subset, split: str) -> Pieces:
        return SeriesWindows(data, self.encoder, self.stride if split == "train" else 1, split)

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        return self.encoder.encode(sample)

    def collate(self, columns: Columns) -> Batch:
        targets: Columns = {key: columns[key] for key in ("target", "value") if key in columns}
        inputs = {key: value for key, value in columns.items() if key not in targets}
        return Batch(inputs, targets, count=len(columns["x"]) * self.horizon)

    def head(self, backbone: nn.Module) -> nn.Module:
        assert isinstance(backbone.features, Features)
        return Horizon(
            backbone.features,
            self.horizon,
            quantiles=len(self.quantiles) if self.quantiles else None,
            future=self.encoder.known_width,
            context=self.context if self.linear else None,
        )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        if self.quantiles:
            return losses.pinball(outputs, batch.targets["target"], self.quantiles)
        assert self.kind != "pinball"
        return losses.regression(outputs, batch.targets["target"], self.kind, delta=self.delta)

    def _values(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Forecasts (B, H) in the unit of the series, and their quantiles (B, H, Q) in order."""
        values = self.encoder.scaler.inverse(outputs, batch.inputs["shift"], batch.inputs["scale"])
        if not self.quantiles:
            return values, None
        values = values.sort(-1).values
        gaps = [abs(q - 0.5) for q in self.quantiles]
        middle = gaps.index(min(gaps))
        return values[..., middle], values

    def decode(self, outputs: Tensor, batch: Batch) -> list[Answer]:
        values, quantiles = self._values(outputs, batch)
        answers = self._answers(values, batch)
        if quantiles is not None and self.quantiles:
            for answer, rows in zip(answers, quantiles.mT.tolist(), strict=True):
                answer["quantiles"] = {f"{q:g}": row for q, row in zip(self.quantiles, rows, strict=True)}
        return answers

    def _answers(self, values: Tensor, batch: Batch) -> list[Answer]:
        times = batch.inputs["times"].cpu()
        names, clock = self.encoder.scaler.names, self.encoder.clock
        answers: list[Answer] = []
        for code, row, when in zip(batch.inputs["series"].tolist(), values.tolist(), times, strict=True):
            answer: Answer = {"series": names[code]} if code >= 0 and len(names) > 1 else {}
            if clock is not None and not when.isnan().any():
                answer["times"] = clock.format(when.numpy())
            answers.append(answer | {"forecast": row})
        return answers

    def truth(self, batch: Batch) -> list[Answer]:
        """The answers, with `std` and `naive` of their series in training, and the `past` that a picture shows."""
        answers = self._answers(batch.targets["value"], batch)
        facts = self._facts(batch)
        past = batch.inputs["before"][:, -max(2 * self.horizon, 48) :].tolist()
        if self.quantiles:
            for answer in answers:
                answer["quantiles"] = {f"{q:g}": answer["forecast"] for q in self.quantiles}
        return [
            answer | {"past": values} | {key: float(column[i]) for key, column in facts.items()}
            for i, (answer, values) in enumerate(zip(answers, past, strict=True))
        ]

    def _facts(self, batch: Batch) -> dict[str, Any]:
        """`std` and `naive` (B,) of the series, where all of them were in training."""
        series = batch.inputs["series"].cpu()
        if (series < 0).any():
            return {}
        std, naive = (self.encoder.scaler.facts[fact][series] for fact in ("std", "naive"))
        return {"std": torch.where(std > 0, std, 1.0).numpy(), "naive": naive.numpy()}

    def guess(self, batch: Batch) -> list[Answer]:
        """The last season again, and again."""
        season = self.encoder.season or 1
        return self._answers(batch.inputs["before"][:, [step % season - season for step in range(self.horizon)]], batch)

    def metrics(self) -> list[Metric]:
        return [Forecast(block=self.horizon)]

    def update(self, metrics: list[Metric], outputs: Tensor, batch: Batch) -> None:
        values, quantiles = self._values(outputs, batch)
        for metric in metrics:
            assert isinstance(metric, Forecast)
            metric.update_arrays(
                values.cpu().numpy(),
                batch.targets["value"].cpu().numpy(),
                **self._facts(batch),
                quantiles=self.quantiles,
                values=None if quantiles is None else quantiles.cpu().numpy(),
            )

    def read(self, source: Path | str) -> Iterator[Sample | DataError]:
        from dlzoo.data.series import read_series

        if isinstance(source, Path):
            if not self.columns:
                raise DataError(f"{printable(str(source))}: this model was trained on no file: its columns are unknown")
            yield from read_series(source, **self.columns)
            return
        yield _sample(source)

    def plot(self, metrics: list[Metric], answers: list[Answer], truths: list[Answer]) -> dict[str, Figure]:
        from dlzoo.report import figures

        answer, truth = answers[0], truths[0]
        if self.horizon > 1:
            name = printable(answer.get("series", ""))
            fan = figures.forecast(
                truth["past"],
                answer["forecast"],
                truth["forecast"],
                answer.get("quantiles"),
                f"Forecast {name}".strip(),
            )
            return {"forecast": fan}
        own = [i for i, one in enumerate(truths) if one.get("series") == truth.get("series")]
        values, came = ([list_[i]["forecast"][0] for i in own] for list_ in (answers, truths))
        return {"forecast": figures.forecast(truth["past"], values, came, None, "One step ahead, again and again")}

    def state_dict(self) -> dict[str, Any]:
        return {"encoder": self.encoder.state_dict(), "columns": self.columns}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.columns = state["columns"]


def _sample(text: str) -> Sample:
    """The sample in a JSON object: `series`, and perhaps `past`, `future`, `times` and `name`."""
    place = printable(text[:60])
    try:
        row = jsontext.loads(text)
        values = {
            key: torch.tensor(row[key], dtype=torch.float64) for key in ("series", "past", "future") if key in row
        }
        words: Sample = {"times": list(map(str, row["times"]))} if "times" in row else {}
        words |= {"name": str(row["name"])} if "name" in row else {}
        series = values["series"]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{place}: not a JSON object with a list of numbers, `series`") from error
    for key, value in values.items():
        if value.ndim != (1 if key == "series" else 2):
            wanted = "a list of numbers" if key == "series" else "a list of steps, each a list of numbers"
            raise DataError(f"{place}: `{key}` must be {wanted}")
    return {**values, **words, "series": series, "source": text[:60]}
