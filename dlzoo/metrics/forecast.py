"""The next values of a series: errors in its own unit, against the naive forecast, and of quantiles."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dlzoo.metrics.bootstrap import Array, Groups
from dlzoo.metrics.metric import Answer, Metric


class Forecast(Metric):
    """Reads `forecast`, a list of H values, of answers and truths; `quantiles`, {"0.1": [H values], ...}, if given.

    mae, mse, rmse, and smape (in percent, 200 |e| / (|y| + |f|), 0 where both are 0). A truth may carry two facts of
    its series from the training split: `naive`, the mean absolute error of the seasonal-naive forecast, gives mase
    (Hyndman and Koehler, 2006); `std` gives scaled_mse and scaled_mae, in units of one standard deviation. Quantiles
    give pinball (the mean over quantiles of the quantile loss) and coverage (the share of truths between them).

    Neighbouring windows share their values, so intervals resample blocks of at least `block` windows (the horizon).
    """

    def __init__(self, block: int = 1):
        self.groups = Groups(len(_SUMS), max(1, block))

    def update(self, answers: list[Answer], truths: list[Answer]) -> None:
        for answer, truth in zip(answers, truths, strict=True):  # horizons may differ at the end of a series
            quantiles = answer.get("quantiles")
            self.update_arrays(
                np.array([answer["forecast"]], float),
                np.array([truth["forecast"]], float),
                naive=np.array([truth["naive"]]) if "naive" in truth else None,
                std=np.array([truth["std"]]) if "std" in truth else None,
                quantiles=[float(q) for q in quantiles] if quantiles else None,
                values=np.array([list(quantiles.values())], float).swapaxes(1, 2) if quantiles else None,
            )

    def update_arrays(
        self,
        forecast: Array,
        truth: Array,
        *,
        naive: Array | None = None,
        std: Array | None = None,
        quantiles: list[float] | None = None,
        values: Array | None = None,
    ) -> None:
        """The fast path: forecast and truth (B, H); naive and std (B,); values (B, H, Q) of the `quantiles`."""
        forecast, truth = forecast.astype(np.float64), truth.astype(np.float64)
        error = np.abs(forecast - truth)
        both = np.abs(forecast) + np.abs(truth)
        terms = dict.fromkeys(_SUMS, np.zeros(len(truth)))
        terms["n"] = np.full(len(truth), float(truth.shape[1]))
        terms["mae"], terms["mse"] = error.sum(1), (error**2).sum(1)
        terms["smape"] = (200 * error / np.where(both > 0, both, 1)).sum(1)
        if naive is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                mase = terms["mae"] / naive
            fine = naive > 0  # a series that never moved has no scale
            terms["mase"], terms["mase_n"] = np.where(fine, mase, 0), np.where(fine, terms["n"], 0)
        if std is not None:
            terms["scaled_mae"], terms["scaled_mse"] = terms["mae"] / std, terms["mse"] / std**2
            terms["scaled_n"] = terms["n"]
        if quantiles is not None and values is not None:
            q, gap = np.array(quantiles), truth[:, :, None] - values
            terms["pinball"] = np.maximum(q * gap, (q - 1) * gap).mean(2).sum(1)
            inside = (truth >= values.min(2)) & (truth <= values.max(2))
            terms["coverage"], terms["quantile_n"] = inside.sum(1).astype(float), terms["n"]
        self.groups.add(np.stack([terms[name] for name in _SUMS], 1))

    def compute(self) -> dict[str, float]:
        total = self.groups.total()[None]
        with np.errstate(divide="ignore", invalid="ignore"):
            return {name: float(_number(name, total)[0]) for name in self._names()}

    def intervals(self) -> dict[str, tuple[float, float]]:
        found = {name: self.groups.interval(partial(_number, name)) for name in self._names()}
        return {name: span for name, span in found.items() if np.isfinite(span[0])}

    def _names(self) -> list[str]:
        total = dict(zip(_SUMS, self.groups.total(), strict=True))
        return [name for name, per in _NUMBERS.items() if per == "n" or total[per] > 0]

    def state_dict(self) -> dict[str, Any]:
        return self.groups.state_dict()

    def merge(self, state: dict[str, Any]) -> None:
        self.groups.merge(state)


_NUMBERS = {
    "mae": "n",
    "mse": "n",
    "rmse": "n",
    "smape": "n",
    "mase": "mase_n",
    "scaled_mse": "scaled_n",
    "scaled_mae": "scaled_n",
    "pinball": "quantile_n",
    "coverage": "quantile_n",
}
"""Each number, and the sum of terms that it is divided by."""
_SUMS = [
    *("n", "mae", "mse", "smape", "mase", "mase_n"),
    *("scaled_mse", "scaled_mae", "scaled_n", "pinball", "coverage", "quantile_n"),
]


def _number(name: str, sums: Array) -> Array:
    top = _SUMS.index("mse" if name == "rmse" else name)
    value = sums[:, top] / sums[:, _SUMS.index(_NUMBERS[name])]
    return np.sqrt(value) if name == "rmse" else value
