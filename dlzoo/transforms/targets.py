"""Named numbers as a network learns them: in standard deviations, or as a point on the circle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class Targets:
    """N numbers (B, N) in the user's units to O numbers (B, O) and back.

    One with a period becomes two, a cosine and a sine.
    """

    names: list[str]
    periods: list[float | None]
    """Of each number: after how much it comes round to the same (360 for degrees), or None."""
    means: list[float]
    """Of the training split; around the circle for those that go round."""
    stds: list[float]
    lows: list[float]
    """Where the turn begins that answers lie in: at 0, or half a turn below where a training value is negative."""

    @classmethod
    def fit(cls, names: Sequence[str], values: Tensor, periods: Mapping[str, float]) -> Targets:
        """From the training split, values (B, N) in float64."""
        every = [periods.get(name) for name in names]
        found = cls(list(names), every, [], [], [])
        for column, period in zip(values.T, every, strict=True):
            found.lows.append(-period / 2 if period and bool((column < 0).any()) else 0.0)
            found.means.append(float(column.mean()))
            found.stds.append(float(column.std(correction=0)) or 1.0)
            if period:
                turn = column * (2 * math.pi / period)
                angle = float(torch.atan2(turn.sin().mean(), turn.cos().mean()))
                found.means[-1] = _within(angle * period / (2 * math.pi), found.lows[-1], period)
        return found

    @property
    def width(self) -> int:
        """O, the numbers that a network gives."""
        return len(self.names) + sum(period is not None for period in self.periods)

    def encode(self, values: Tensor) -> Tensor:
        """Values (B, N) as what is to be learned, (B, O)."""
        parts: list[Tensor] = []
        for column, period, mean, std in zip(values.T, self.periods, self.means, self.stds, strict=True):
            if period:
                turn = column * (2 * math.pi / period)
                parts += [turn.cos(), turn.sin()]
            else:
                parts.append((column - mean) / std)
        return torch.stack(parts, 1)

    def decode(self, outputs: Tensor) -> Tensor:
        """The inverse, (B, O) to (B, N) in float64; a point off the circle gives the angle that it lies at."""
        parts = iter(outputs.double().T)
        columns: list[Tensor] = []
        for period, mean, std, low in zip(self.periods, self.means, self.stds, self.lows, strict=True):
            if period:
                cosine, sine = next(parts), next(parts)
                columns.append(_within(torch.atan2(sine, cosine) * (period / (2 * math.pi)), low, period))
            else:
                columns.append(next(parts) * std + mean)
        return torch.stack(columns, 1)

    def state_dict(self) -> dict[str, Any]:
        """The fields, as plain values."""
        return asdict(self)


def _within(value: Any, low: float, period: float) -> Any:
    """A value, turned by whole periods to lie in [low, low + period)."""
    return (value - low) % period + low
