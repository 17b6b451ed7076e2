"""Time: what a column of times says, how it goes on, and what the calendar gives a model."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from dlzoo.errors import DataError, printable

DAY = 86400.0
MONTH = re.compile(r"\d{4}-\d\d")
CYCLES = {"hour": (DAY, 0.0, DAY), "weekday": (7 * DAY, 3 * DAY, 7 * DAY), "year": (365.2425 * DAY, 0.0, 300 * DAY)}
"""Period in seconds, offset of 1970-01-01 (a Thursday) in it, and the step of time from which on it says nothing."""


@dataclass(frozen=True)
class Clock:
    """The times of a series: dates, or plain numbers (years, indices), a step apart.

    A step of whole `months` is not a fixed number of seconds; else it is `seconds` (of numbers: units).
    """

    unit: Literal["number", "M", "D", "m", "s"]
    """number, or the precision that dates are written with: M, D, m or s."""
    months: int = 0
    seconds: float = 0.0

    @classmethod
    def learn(cls, times: list[str]) -> Clock:
        """The clock of times in order, at least two. Raises DataError where they are no times, or do not rise."""
        unit = _unit(times)
        values = _parse(times, unit)
        steps = np.diff(values)
        if not len(steps) or steps.min() <= 0:
            place = int(np.argmin(steps)) if len(steps) else 0
            after = printable(times[min(place + 1, len(times) - 1)])
            raise DataError(f"times must rise: '{after}' follows '{printable(times[place])}'")
        if unit != "number" and (months := _months(values)):
            return cls(unit, months=months)
        return cls(unit, seconds=float(np.median(steps)))

    def parse(self, times: list[str]) -> np.ndarray:
        """Seconds since 1970 (or the numbers themselves), float64 (T,). Raises DataError for what is no time."""
        return _parse(times, self.unit)

    def format(self, values: np.ndarray) -> list[str]:
        """The inverse of `parse`, written as in the training data."""
        if self.unit == "number":
            return [f"{value:.12g}" for value in values]
        dates = np.round(values).astype("int64").astype("datetime64[s]")
        return [str(date).replace("T", " ") for date in np.datetime_as_string(dates, unit=self.unit)]

    def ahead(self, last: float, n: int) -> np.ndarray:
        """The `n` times after `last`, float64 (n,)."""
        steps = np.arange(1, n + 1)
        if not self.months:
            return last + steps * self.seconds
        date = np.datetime64(round(last), "s")
        month = date.astype("datetime64[M]")
        begins = month + steps * self.months
        ends = (month + 1).astype("datetime64[D]") - np.timedelta64(1, "D") == date.astype("datetime64[D]")
        longest = ((begins + 1).astype("datetime64[D]") - begins.astype("datetime64[D]")).astype("int64") * DAY
        within = (date - month.astype("datetime64[s]")).astype("int64") % DAY if ends else 0
        rest = (
            longest - DAY + within
            if ends
            else np.minimum((date - month.astype("datetime64[s]")).astype("int64"), longest - 1)
        )
        return begins.astype("datetime64[s]").astype("int64") + rest.astype(float)

    @property
    def step(self) -> float:
        """Seconds from one value to the next, about; of numbers: units."""
        return self.months * 365.2425 * DAY / 12 if self.months else self.seconds

    def season(self) -> int:
        """Steps of a day (of hours), of a week (of days), of a year (of weeks, months, quarters); else 1."""
        if self.unit == "number":
            return 1
        if self.step <= DAY / 2:
            return round(DAY / self.step)
        if self.step < 6 * DAY:
            return max(1, round(7 * DAY / self.step))
        return max(1, round(365.2425 * DAY / self.step))

    def cycles(self) -> list[str]:
        """The cycles of the calendar that a step of time can tell apart."""
        return (
            [] if self.unit == "number" else [name for name, (_, _, longest) in CYCLES.items() if self.step < longest]
        )

    def calendar(self, values: np.ndarray) -> np.ndarray:
        """Sine and cosine of each cycle at times (...): float32 (..., 2 * cycles)."""
        turns = [(values + CYCLES[name][1]) / CYCLES[name][0] * (2 * np.pi) for name in self.cycles()]
        return np.stack([wave(turn) for turn in turns for wave in (np.sin, np.cos)], -1).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """Plain values; `Clock(**state)` is the inverse."""
        return asdict(self)


def _unit(times: list[str]) -> Literal["number", "M", "D", "m", "s"]:
    try:
        np.array(times, float)
        return "number"
    except ValueError:
        dates = _parse(times, "s")
    if (dates % DAY).any():
        return "s" if (dates % 60).any() or len(times[0]) >= 19 else "m"
    if MONTH.fullmatch(times[0]):
        return "M"
    return "s" if len(times[0]) >= 19 else "D"


def _parse(times: list[str], unit: str) -> np.ndarray:
    try:
        if unit == "number":
            return np.array(times, float)
        return np.array([_seconds(time) for time in times], float)
    except (ValueError, OverflowError) as error:
        what = "numbers" if unit == "number" else "dates"
        raise DataError(
            f"times are not all {what}, as '{printable(str(times[0]))}' is: {printable(str(error))}"
        ) from error


def _seconds(time: str) -> float:
    date = datetime.fromisoformat(f"{time}-01" if MONTH.fullmatch(time) else time)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _months(values: np.ndarray) -> int:
    """Whole months from each date to the next, or 0 where that is not one number."""
    dates = values.astype("int64").astype("datetime64[s]")
    months = dates.astype("datetime64[M]")
    steps = np.diff(months.astype("int64"))
    if not (steps[0] > 0 and (steps == steps[0]).all()):
        return 0
    since = (dates - months.astype("datetime64[s]")).astype("int64")
    left = ((months + 1).astype("datetime64[s]") - dates).astype("int64")
    return int(steps[0]) if (since == since[0]).all() or (left == left[0]).all() else 0
