"""The next values of a series, from its past."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dlzoo import losses
from dlzoo.choices import ForecastLoss, SeriesScale, SeriesTransform
from dlzoo.data.dataset import Pieces, Sample, Subset
from dlzoo.errors import ConfigError, DataError, printable
from dlzoo.features import Features
from dlzoo.heads.horizon import Horizon
from dlzoo.metrics.forecast import Forecast
from dlzoo.metrics.metric import Answer, Metric
from dlzoo.registry import TASKS
from dlzoo.task import Batch, Columns, Example, Task
from dlzoo.tasks.classification import where
from dlzoo.tasks.series_windows import SeriesWindows
from dlzoo.transforms.scaling import SeriesScaler, finite
from dlzoo.transforms.series import Clock

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
    accepts = ("sequence", "vector")
    monitor = "-mae"
    baseline = "seasonal naive"

    def __init__(
        self,
        context: int = 48,
        horizon: int = 12,
        normalize: SeriesScale = "window",
        transform: SeriesTransform = "none",
        calendar: bool = False,
        season: int | None = None,
        stride: int = 1,
        linear: bool = True,
        loss: ForecastLoss = "mse",
        delta: float = 1.0,
        quantiles: list[float] | None = None,
    ):
        levels = [0.1, 0.5, 0.9] if quantiles is None else quantiles
        problems = [
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
        self.calendar, self.linear = calendar, linear
        self.scaler = SeriesScaler(normalize, transform)
        self.kind, self.delta = loss, delta
        self.quantiles = levels if loss == "pinball" else None
        self.season = season
        self.clock: Clock | None = None
        self.reading: dict[str, Any] = {}
        """How a user's file is read: the names of its columns."""

    def fit(self, data: Subset) -> None:
        series: dict[str, Tensor] = {}
        covariates: dict[str, list[Tensor]] = {}
        for i in range(len(data)):
            sample, place = data[i], f"{data.source(i)}: "
            span = slice(*(data.spans[i] if data.spans is not None else (0, len(sample["series"]))))
            series[sample.get("name", data.source(i))] = finite(sample["series"][span], place)
            for key in ("past", "future"):
                if key in sample:
                    covariates.setdefault(key, []).append(finite(sample[key][span], f"{place}{key} covariates, "))
            if self.clock is None and "times" in sample and len(sample["times"][span]) > 1:
                self.clock = _at(place, Clock.learn, list(sample["times"][span]))
        if not series:
            raise DataError("the training split has no series")
        if self.calendar and not (self.clock and self.clock.cycles()):
            raise DataError(
                "task.calendar: the series have no dates, or a year or more from one to the next; leave calendar out"
            )
        self.season = self.season or (self.clock.season() if self.clock else 1)
        self.scaler.fit(series, covariates, self.season)
        self.reading = getattr(data.dataset, "reading", {})

    @property
    def lead(self) -> int:
        """Values before a forecast that a window holds: the context, or a season."""
        return max(self.context, self.season or 1)

    @property
    def known_width(self) -> int:
        """Covariates that are known ahead, the calendar's included."""
        return self.scaler.width("future") + (2 * len(self.clock.cycles()) if self.calendar and self.clock else 0)

    def facts(self) -> dict[str, Any]:
        return {"in_features": 1 + self.scaler.width("past") + self.known_width, "context": self.context}

    def pieces(self, data: Subset, split: str) -> Pieces:
        return SeriesWindows(
            data,
            self.context,
            self.horizon,
            self.lead,
            self.stride if split == "train" else 1,
            split=split,
            known=self._known,
            scaled=self._past,
            times=self._times,
            code=self._code,
            examples=self._examples,
        )

    def _code(self, sample: Sample) -> int:
        return self.scaler.codes.get(sample.get("name", ""), -1)

    def _times(self, sample: Sample) -> Tensor:
        """Times (T,) as numbers; nan where there are none."""
        if self.clock is None or "times" not in sample:
            return torch.full((len(sample["series"]),), torch.nan, dtype=torch.float64)
        return torch.from_numpy(_at(where(sample), self.clock.parse, list(sample["times"])))

    def _past(self, sample: Sample) -> Tensor:
        return self.scaler.covariates("past", sample.get("past"), len(sample["series"]), where(sample))

    def _known(self, sample: Sample) -> Tensor:
        """What is known ahead (T, Q): the future covariates, and the calendar."""
        times = self._times(sample)
        parts = [self.scaler.covariates("future", sample.get("future"), len(times), where(sample))]
        if self.calendar and self.clock:
            if times.isnan().any():
                raise DataError(f"{where(sample)}no times, and the model was trained with calendar: true")
            parts.append(torch.from_numpy(self.clock.calendar(times.numpy())))
        return torch.cat(parts, 1)

    def encode(self, sample: Sample, rng: Random | None = None) -> Example:
        """A window of `pieces`; or what is known of a series: `context` values or more, and what is known ahead."""
        series = finite(sample["series"], where(sample))
        n, H = len(series), self.horizon
        if n < self.context:
            raise DataError(
                f"{where(sample)}{n} values are fewer than the context of {self.context} that the model sees"
            )
        if self.scaler.width("future") and len(sample.get("future", ())) < n + H:
            ahead = max(0, len(sample.get("future", ())) - n)
            raise DataError(
                f"{where(sample)}future covariates are known for {ahead} steps ahead, and the horizon is {H}: "
                "add rows without a value"
            )
        sample = {**sample, **{key: sample[key][: n + H] for key in ("future", "times") if key in sample}}
        if self.clock and "times" in sample and len(sample["times"]) < n + H:
            known = _at(where(sample), self.clock.parse, list(sample["times"]))
            sample["times"] = [*sample["times"], *self.clock.format(self.clock.ahead(known[-1], n + H - len(known)))]
        whole = {**sample, "series": torch.cat([series, series.new_zeros(H)])}  # as long as what is known ahead
        before = torch.cat([series[:1].expand(max(0, self.lead - n)), series[-self.lead :]])
        columns = self._examples(
            before=before[None],
            past=self._past(sample)[None, -self.context :],
            known=self._known(whole)[None, n - self.context :],
            times=self._times(whole)[None, n:],
            series=torch.tensor([self._code(sample)]),
            ahead=sample["ahead"].double()[None] if "ahead" in sample else None,
            source=where(sample),
        )
        return {key: column[0] for key, column in columns.items()}

    def _examples(
        self,
        before: Tensor,
        past: Tensor,
        known: Tensor,
        times: Tensor,
        series: Tensor,
        ahead: Tensor | None,
        source: str = "",
    ) -> Columns:
        """Examples from raw `before` (B, lead), `ahead` (B, H); from scaled `past` (B, C, P), `known` (B, C + H, Q)."""
        C = self.context
        values = self.scaler.forward(before, source)
        shift, scale = self.scaler.normal(values, series, C)
        z = ((values[:, -C:] - shift[:, None]) / scale[:, None]).float()
        columns = {
            "x": torch.cat([z[..., None], past, known[:, :C]], -1),
            "before": before,
            "shift": shift,
            "scale": scale,
            "series": series,
            "times": times,
        }
        if self.known_width:
            columns["future"] = known[:, C:]
        if ahead is not None:
            columns["value"] = ahead
            columns["target"] = ((self.scaler.forward(ahead, source) - shift[:, None]) / scale[:, None]).float()
        return columns

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
            future=self.known_width,
            context=self.context if self.linear else None,
        )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        if self.quantiles:
            return losses.pinball(outputs, batch.targets["target"], self.quantiles)
        assert self.kind != "pinball"
        return losses.regression(outputs, batch.targets["target"], self.kind, delta=self.delta)

    def _values(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Forecasts (B, H) in the unit of the series, and their quantiles (B, H, Q) in order."""
        values = self.scaler.inverse(outputs, batch.inputs["shift"], batch.inputs["scale"])
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
        answers = []
        for code, row, when in zip(batch.inputs["series"].tolist(), values.tolist(), times, strict=True):
            name = {"series": self.scaler.names[code]} if code >= 0 and len(self.scaler.names) > 1 else {}
            clock = {} if self.clock is None or when.isnan().any() else {"times": self.clock.format(when.numpy())}
            answers.append({**name, **clock, "forecast": row})
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
        std = self.scaler.facts["std"][series]
        return {"std": torch.where(std > 0, std, 1.0).numpy(), "naive": self.scaler.facts["naive"][series].numpy()}

    def guess(self, batch: Batch) -> list[Answer]:
        """The last season again, and again."""
        season = self.season or 1
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
            if not self.reading:
                raise DataError(
                    f"{printable(str(source))}: this model was not trained on a file, so its columns are unknown"
                )
            yield from read_series(source, **self.reading)
            return
        try:
            row = json.loads(source)
            made = {
                key: torch.tensor(row[key], dtype=torch.float64) for key in ("series", "past", "future") if key in row
            }
            yield {**row, **made, "series": made["series"], "source": source[:60]}
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{printable(source[:60])}: not a JSON object with a list of numbers, `series`") from error

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
        clock = self.clock.state_dict() if self.clock else None
        return {"scaler": self.scaler.state_dict(), "season": self.season, "clock": clock, "reading": self.reading}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scaler.load_state_dict(state["scaler"])
        self.season, self.reading = state["season"], state["reading"]
        self.clock = Clock(**state["clock"]) if state["clock"] else None


def _at(place: str, call: Any, *arguments: Any) -> Any:
    """`call(*arguments)`, with the place in front of what goes wrong."""
    try:
        return call(*arguments)
    except DataError as error:
        raise DataError(f"{place}{error}") from error
