"""Figures of a run, drawn with matplotlib without a display. Each function returns a Figure; the caller saves it.

Colours are Okabe and Ito's (2008), which are told apart with any colour vision.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]

BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
GREY = "#777777"
NAMED = 10
"""Curves in one picture that are labelled; with more classes, those with the least area are."""


def figure(width: float = 6.4, height: float = 4.4, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure, in inches, with some axes side by side. It belongs to no window and needs no closing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = [drawing.add_subplot(1, columns, i + 1) for i in range(columns)]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.25, linewidth=0.6)
        one.set_axisbelow(True)
    return drawing, axes


def save(drawing: Figure, file: Path | BinaryIO, dpi: float | str = "figure") -> None:
    """Write it as a PNG. What the font lacks, as it does Chinese, shows as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        drawing.savefig(file, format="png", dpi=dpi)


def curves(rows: Iterable[Mapping[str, Any]], monitor: str) -> Figure:
    """Learning curves: the loss in training and validation, and the metric that picks the best weights.

    rows: of metrics.jsonl, each with `step`, and `loss` (training) or `split`: validation with its `loss` and
    metrics, and perhaps `train_loss`, the mean since the row before.
    monitor: the metric's name, '-' in front where less is better; its best value is marked.
    """
    rows = list(rows)
    training = [(row["step"], row["loss"]) for row in rows if "split" not in row and _finite(row.get("loss"))]
    held = [row for row in rows if row.get("split") == "validation"]
    name, less = monitor.lstrip("-"), monitor.startswith("-")
    scored = [(row["step"], row[name]) for row in held if _finite(row.get(name))]
    drawing, axes = figure(11 if scored else 6.4, 4.2, columns=2 if scored else 1)
    loss = axes[0]
    if training:
        steps, values = (np.array(column, float) for column in zip(*training, strict=True))
        loss.plot(steps, values, color=SKY, linewidth=0.8, alpha=0.5, label="training, single updates")
        means = [(row["step"], row["train_loss"]) for row in held if _finite(row.get("train_loss"))]
        smooth = zip(*means, strict=True) if len(means) > 1 else (steps, _smoothed(values))
        loss.plot(*smooth, color=BLUE, linewidth=1.6, label="training, mean")
    if losses := [(row["step"], row["loss"]) for row in held if _finite(row.get("loss"))]:
        loss.plot(*zip(*losses, strict=True), color=RED, marker="o", markersize=3.5, label="validation")
    loss.set(title="Loss", xlabel="update", ylabel="mean loss")
    if loss.get_legend_handles_labels()[0]:
        loss.legend(frameon=False)
    if scored:
        steps, values = (np.array(column, float) for column in zip(*scored, strict=True))
        best = int(values.argmin() if less else values.argmax())
        axes[1].plot(steps, values, color=RED, marker="o", markersize=3.5)
        axes[1].plot(steps[best], values[best], "*", color=GREEN, markersize=14, label=f"best: {values[best]:.4g}")
        axes[1].set(title=f"{_title(name)} on the validation split", xlabel="update", ylabel=name)
        axes[1].legend(frameon=False)
    return drawing


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def _smoothed(values: Array) -> Array:
    """The mean over a fiftieth of the curve around each point."""
    width = max(1, len(values) // 50)
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _title(name: str) -> str:
    known = {
        "auroc": "AUROC",
        "macro_f1": "Macro F1",
        "mae": "MAE",
        "rmse": "RMSE",
        "mse": "MSE",
        "r2": "R²",
        "ece": "ECE",
    }
    return known.get(name, name.replace("_", " ").capitalize())


def confusion(matrix: Array, classes: Sequence[str]) -> Figure:
    """Counts (K, K), truths down and answers across, coloured by the share of each row."""
    K = len(classes)
    side = min(3.2 + 0.5 * K, 14)
    drawing, (axes,) = figure(side + 0.8, side)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    if K <= 40:
        names = [_short(name) for name in classes]
        axes.set_yticks(range(K), names)
        axes.set_xticks(range(K), names)
        if max(map(len, names)) > 6:
            axes.set_xticks(range(K), names, rotation=45, ha="right", rotation_mode="anchor")
    if K <= 20:
        for i, j in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", color=colour, fontsize=9 if K <= 10 else 6)
    n = matrix.sum()
    accuracy = f"{np.trace(matrix) / n:.1%}" if n else "none"
    axes.set(title=f"Confusion matrix: {accuracy} of {n:,} right", xlabel="answer", ylabel="truth")
    drawing.colorbar(picture, ax=axes, label="share of the true class", fraction=0.046, pad=0.04)
    return drawing


def _short(name: str, most: int = 16) -> str:
    """A name as plain text: matplotlib would read a pair of dollar signs as mathematics."""
    return (name if len(name) <= most else name[: most - 1] + "…").replace("$", r"\$")


def roc(scores: Mapping[str, tuple[Array, Array]]) -> Figure:
    """One curve for each class: its scores (N,) and whether each sample is of that class (N,)."""
    drawing, (axes,) = figure(5.6, 5.2)
    lines = []
    for name, (score, positive) in scores.items():
        hits, false = _ranked(score, positive)
        if hits[-1] and false[-1]:
            x, y = false / false[-1], hits / hits[-1]
            lines.append((float(np.trapezoid(y, x)), name, x, y))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="chance")
    _lines(axes, lines, "area")
    axes.set(
        title="ROC curve", xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1), ylim=(0, 1.01)
    )
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    return drawing


def precision_recall(scores: Mapping[str, tuple[Array, Array]]) -> Figure:
    """One curve for each class, as `roc` takes them; the number is the average precision."""
    drawing, (axes,) = figure(5.6, 5.2)
    lines = []
    for name, (score, positive) in scores.items():
        hits, false = _ranked(score, positive)
        if hits[-1]:
            recall, precision = hits / hits[-1], hits / np.maximum(hits + false, 1)
            precision[0] = precision[1] if len(precision) > 1 else 1
            lines.append((float((np.diff(recall) * precision[1:]).sum()), name, recall, precision))
    if len(scores) == 1:
        (positive,) = (p for _, p in scores.values())
        share = float(np.mean(positive)) if len(positive) else 0.0
        axes.axhline(share, color=GREY, linestyle=":", linewidth=1, label=f"chance ({share:.3f})")
    _lines(axes, lines, "average precision")
    axes.set(title="Precision and recall", xlabel="recall", ylabel="precision", xlim=(-0.01, 1.01), ylim=(0, 1.02))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="lower left", fontsize=8)
    return drawing


def _lines(axes: Axes, lines: list[tuple[float, str, Array, Array]], what: str) -> None:
    """Curves with their areas; beyond ten, the ten worst in colour, over the rest in grey."""
    lines.sort(key=lambda line: line[0])
    for _, _, x, y in lines[NAMED:]:
        axes.plot(*_thinned(x, y), color=GREY, linewidth=0.5, alpha=0.5)
    for i, (area, name, x, y) in enumerate(lines[:NAMED]):
        style = "-" if i < len(COLOURS) else "--"
        label = f"{_short(name)}: {what} {area:.3f}"
        axes.plot(*_thinned(x, y), style, color=COLOURS[i % len(COLOURS)], linewidth=1.5, label=label)


def _thinned(x: Array, y: Array, most: int = 2000) -> tuple[Array, Array]:
    keep = np.unique(np.linspace(0, len(x) - 1, most).astype(int)) if len(x) > most else slice(None)
    return x[keep], y[keep]


def _ranked(score: Array, positive: Array) -> tuple[Array, Array]:
    """Hits and false alarms above each threshold, from the highest down, starting at none; equal scores are one."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1) if len(score) else np.zeros(0, int)
    hits = np.cumsum(positive[order])[last].astype(float)
    return np.append(0.0, hits), np.append(0.0, last + 1 - hits)


def calibration(count: Array, confidence: Array, accuracy: Array) -> Figure:
    """How often answers of some confidence are right: samples, mean confidence and accuracy, bin by bin."""
    drawing, (axes,) = figure(5.6, 5.2)
    there = count > 0
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="perfect")
    size = 20 + 180 * count[there] / max(count.max(initial=0), 1)
    axes.plot(confidence[there], accuracy[there], color=BLUE, linewidth=1.2)
    axes.scatter(confidence[there], accuracy[there], size, color=BLUE, alpha=0.75, label="a bin (larger: more samples)")
    error = float((count[there] * np.abs(confidence[there] - accuracy[there])).sum() / max(count.sum(), 1))
    axes.set(title=f"Calibration: expected error {error:.3f}", xlabel="confidence", ylabel="accuracy")
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03))
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    return drawing


def residuals(values: Sequence[float], truths: Sequence[float], name: str = "") -> Figure:
    """Answers against truths, and how the errors spread; `name` says of what."""
    answer, truth = np.asarray(values, float), np.asarray(truths, float)
    drawing, (left, right) = figure(10.5, 4.6, columns=2)
    left.scatter(truth, answer, 10, color=BLUE, alpha=max(0.15, min(0.7, 300 / max(len(truth), 1))), linewidths=0)
    if len(truth):
        ends = [min(truth.min(), answer.min()), max(truth.max(), answer.max())]
        left.plot(ends, ends, color=GREY, linestyle=":", linewidth=1)
        error = answer - truth
        right.hist(error, bins=min(60, max(10, len(error) // 20)), color=SKY, edgecolor="white", linewidth=0.4)
        right.axvline(0, color=GREY, linestyle=":", linewidth=1)
        right.axvline(error.mean(), color=RED, linewidth=1.4, label=f"mean {error.mean():.3g}")
        right.legend(frameon=False)
    left.set(title=f"Answer against truth{f': {_short(name)}' if name else ''}", xlabel="truth", ylabel="answer")
    right.set(title="Errors", xlabel="answer less truth", ylabel="samples")
    return drawing


def forecast(
    past: Sequence[float],
    values: Sequence[float],
    truth: Sequence[float] | None = None,
    quantiles: Mapping[str, Sequence[float]] | None = None,
    title: str = "Forecast",
) -> Figure:
    """The end of a series and what is foretold, with what came; quantiles, paired from the outside in, as a fan."""
    drawing, (axes,) = figure(9, 4.2)
    steps = np.arange(1, len(values) + 1)
    joined = past[-1:] if len(past) else []
    axes.plot(np.arange(1 - len(past), 1), past, color="black", linewidth=1.2, label="past")
    ahead = np.arange(1 - len(joined), len(values) + 1)
    if quantiles:
        levels = sorted(quantiles, key=float)
        for low, high in zip(levels[: len(levels) // 2], reversed(levels[(len(levels) + 1) // 2 :]), strict=True):
            share = float(high) - float(low)
            label = f"{share:.0%} interval"
            axes.fill_between(steps, quantiles[low], quantiles[high], color=BLUE, alpha=0.18, linewidth=0, label=label)
    if truth is not None:
        axes.plot(ahead, [*joined, *truth], color=ORANGE, linewidth=1.4, label="truth")
    mark = "o" if len(values) == 1 else ""
    axes.plot(ahead, [*joined, *values], color=BLUE, marker=mark, linewidth=1.6, label="forecast")
    axes.axvline(0, color=GREY, linestyle=":", linewidth=1)
    axes.set(title=_short(title, 80), xlabel="steps from the end of what was known", ylabel="value")
    axes.legend(frameon=False, fontsize=8)
    return drawing
