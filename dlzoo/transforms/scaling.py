"""Series and covariates in numbers of ordinary size, and forecasts back in the unit of the series."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlzoo.choices import SeriesScale, SeriesTransform
from dlzoo.errors import DataError

FLOOR = 0.05
"""A window's spread counts as this share of its series' at least: a flat one would make any change enormous."""
FACTS = ("mean", "spread", "std", "naive")
"""Of a series in training: mean and spread (after the transform), std (before it), and the error of its season."""


class SeriesScaler:
    """Normalises windows of values (B, T) by themselves (window: their mean, last: their last value; and their
    spread), by their series in training, or not at all; covariates (T, C) by the mean and std of each column in
    training.
    """

    def __init__(self, normalize: SeriesScale, transform: SeriesTransform):
        self.normalize, self.transform = normalize, transform
        self.series: dict[str, dict[str, float]] = {}
        """FACTS by the name of the series."""
        self.columns: dict[str, dict[str, list[float]]] = {}
        """Mean and std of each column of the covariates, by key: past, future."""

    def fit(self, series: dict[str, Tensor], covariates: dict[str, list[Tensor]], season: int) -> None:
        """Learn from the values (T,) of each series, and covariates [(T, C), ...] by key, of the training split."""
        for name, values in series.items():
            changed = self.forward(values, f"{name}: ")
            steps = (values[season:] - values[:-season]).abs()
            facts = (
                changed.mean(),
                changed.std(correction=0),
                values.std(correction=0),
                steps.mean() if len(steps) else 0.0,
            )
            self.series[name] = {fact: float(value) for fact, value in zip(FACTS, facts, strict=True)}
        for key, parts in covariates.items():
            joined = torch.cat(parts)
            std = joined.std(0, correction=0)
            self.columns[key] = {"mean": joined.mean(0).tolist(), "std": torch.where(std > 0, std, 1.0).tolist()}
        self._ready()

    def _ready(self) -> None:
        self.names = list(self.series)
        self.codes = {name: code for code, name in enumerate(self.names)}
        self.facts = {
            fact: torch.tensor([one[fact] for one in self.series.values()], dtype=torch.float64) for fact in FACTS
        }

    def width(self, key: str) -> int:
        """Columns of the covariates `key`."""
        return len(self.columns[key]["mean"]) if key in self.columns else 0

    def forward(self, values: Tensor, place: str = "") -> Tensor:
        """The transform. Raises DataError for values that have no logarithm; `place` goes in front of the message."""
        if self.transform == "none":
            return values
        if (values <= 0).any():
            raise DataError(f"{place}transform: log needs positive values, and one is {float(values.min()):g}")
        return values.log()

    def normal(self, values: Tensor, series: Tensor, context: int) -> tuple[Tensor, Tensor]:
        """What is subtracted from transformed values (B, T), and what they are divided by: (B,) each.

        A series that was not in training (number -1) goes by what is seen of it.
        """
        if self.normalize == "none":
            return values.new_zeros(len(values)), values.new_ones(len(values))
        spread = torch.where(series < 0, values.std(1, correction=0), self.facts["spread"][series])
        spread = torch.where(spread > 0, spread, 1.0)
        if self.normalize == "series":
            return torch.where(series < 0, values.mean(1), self.facts["mean"][series]), spread
        window = values[:, -context:]
        shift = window[:, -1] if self.normalize == "last" else window.mean(1)
        return shift, torch.maximum(window.std(1, correction=0), FLOOR * spread)

    def inverse(self, z: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Normalised values (B, ...) in the unit of the series again, in float64."""
        shape = (-1, *[1] * (z.ndim - 1))
        values = z.double() * scale.view(shape) + shift.view(shape)
        return values.exp() if self.transform == "log" else values

    def covariates(self, key: str, values: Tensor | None, length: int, place: str = "") -> Tensor:
        """Covariates (T, C) float32, normalised; (length, 0) where there were none in training."""
        if key not in self.columns:
            return torch.zeros(length, 0)
        mean, std = (torch.tensor(self.columns[key][of], dtype=torch.float64) for of in ("mean", "std"))
        if values is None or values.shape[1:] != mean.shape:
            raise DataError(
                f"{place}{len(mean)} columns of {key} covariates were in training, and they are not all here"
            )
        if len(values) != length:
            raise DataError(f"{place}{len(values):,} steps of {key} covariates are here, and {length:,} are needed")
        return ((finite(values, f"{place}{key} covariates, ") - mean) / std).float()

    def state_dict(self) -> dict[str, Any]:
        """What `fit` learned, as plain values."""
        return {"series": self.series, "columns": self.columns}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.series, self.columns = state["series"], state["columns"]
        self._ready()


def finite(values: Tensor, place: str = "") -> Tensor:
    """`values` (T, ...) in float64. Raises DataError for a step that is missing or infinite."""
    if not (good := torch.isfinite(values)).all():
        step = int((~good).nonzero()[0, 0]) + 1
        raise DataError(f"{place}step {step:,}: the value is missing or not finite; fill it, or cut the series there")
    return values.double()
