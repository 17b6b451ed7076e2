"""Series as tensors: windows that are scaled, with their covariates and the calendar; alone or many at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlzoo.data.dataset import Sample, Subset
from dlzoo.errors import DataError
from dlzoo.task import Columns, Example
from dlzoo.tasks.labels import where
from dlzoo.transforms.scaling import SeriesScaler, finite
from dlzoo.transforms.series import Clock


class SeriesEncoder:
    """What a model is given of a series, C = `context` values and H = `horizon` ahead: an example has

    x (C, F): the series, then covariates of the past, then those that are known ahead; `future` (H, Q): those known
    ahead; `before` (lead,): raw values; `shift`, `scale` (): how they were normalised; `series` (): its number; `times`
    (H,); and, where the answer is known, `target` (H,), normalised, and `value` (H,), raw.
    """

    def __init__(self, scaler: SeriesScaler, context: int, horizon: int, calendar: bool, season: int | None):
        self.scaler = scaler
        self.context, self.horizon, self.calendar, self.season = context, horizon, calendar, season
        self.clock: Clock | None = None

    def fit(self, data: Subset) -> None:
        """Learn the clock, the season and the scales from the spans of the training split. Raises DataError."""
        series: dict[str, Tensor] = {}
        covariates: dict[str, list[Tensor]] = {}
        for i in range(len(data)):
            sample, place = data[i], f"{data.source(i)}: "
            span = slice(*(data.spans[i] if data.spans is not None else (0, len(sample["series"]))))
            series[sample.get("name", "")] = finite(sample["series"][span], place)
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

    @property
    def lead(self) -> int:
        """Values before a forecast that a window holds: the context, or a season."""
        return max(self.context, self.season or 1)

    @property
    def known_width(self) -> int:
        """Covariates that are known ahead, the calendar's included."""
        return self.scaler.width("future") + (2 * len(self.clock.cycles()) if self.calendar and self.clock else 0)

    @property
    def width(self) -> int:
        """F, the width of x."""
        return 1 + self.scaler.width("past") + self.known_width

    def code(self, sample: Sample) -> int:
        """The number of a sample's series; -1 for one that was not in training."""
        return self.scaler.codes.get(sample.get("name", ""), -1)

    def times(self, sample: Sample) -> Tensor:
        """Times (T,) as numbers; nan where there are none."""
        if self.clock is None or "times" not in sample:
            return torch.full((len(sample["series"]),), torch.nan, dtype=torch.float64)
        return torch.from_numpy(_at(where(sample), self.clock.parse, list(sample["times"])))

    def past(self, sample: Sample) -> Tensor:
        """What is known up to the present (T, P), scaled."""
        return self.scaler.covariates("past", sample.get("past"), len(sample["series"]), where(sample))

    def known(self, sample: Sample) -> Tensor:
        """What is known ahead (T, Q): the future covariates, scaled, and the calendar."""
        times = self.times(sample)
        parts = [self.scaler.covariates("future", sample.get("future"), len(times), where(sample))]
        if self.calendar and self.clock:
            if times.isnan().any():
                raise DataError(f"{where(sample)}no times, and the model was trained with calendar: true")
            parts.append(torch.from_numpy(self.clock.calendar(times.numpy())))
        return torch.cat(parts, 1)

    def encode(self, sample: Sample) -> Example:
        """A window of SeriesWindows; or `context` values or more of a series, and what is known ahead of them."""
        series = finite(sample["series"], where(sample))
        n, H = len(series), self.horizon
        if n < self.context:
            raise DataError(
                f"{where(sample)}{n} values are fewer than the context of {self.context} that the model sees"
            )
        if len(sample.get("times", series)) < n:
            raise DataError(f"{where(sample)}{len(sample['times'])} times are fewer than the {n} values")
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
        columns = self.examples(
            before=before[None],
            past=self.past(sample)[None, -self.context :],
            known=self.known(whole)[None, n - self.context :],
            times=self.times(whole)[None, n:],
            series=torch.tensor([self.code(sample)]),
            ahead=sample["ahead"].double()[None] if "ahead" in sample else None,
            source=where(sample),
        )
        return {key: column[0] for key, column in columns.items()}

    def examples(
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

    def state_dict(self) -> dict[str, Any]:
        """What `fit` learned, as plain values."""
        clock = self.clock.state_dict() if self.clock else None
        return {"scaler": self.scaler.state_dict(), "season": self.season, "clock": clock}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.scaler.load_state_dict(state["scaler"])
        self.season = state["season"]
        self.clock = Clock(**state["clock"]) if state["clock"] else None


def _at(place: str, call: Any, *arguments: Any) -> Any:
    """`call(*arguments)`, with the place in front of what goes wrong."""
    try:
        return call(*arguments)
    except DataError as error:
        raise DataError(f"{place}{error}") from error
