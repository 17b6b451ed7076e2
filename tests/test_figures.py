"""Figures: drawn of anything, also of nothing, and showing what was measured."""

import numpy as np
import pytest
import torch

from dlzoo.report import attention, figures

NOTHING = np.zeros(0)
ROWS = [{"step": i, "loss": 1 / i} for i in range(1, 40)] + [
    {"step": i, "split": "validation", "loss": 1.1 / i, "train_loss": 1 / i, "rmse": float(abs(i - 25))}
    for i in range(10, 40, 5)
]


def labels(figure):
    return " ".join(text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().texts)


def test_curves_mark_the_best_value_of_the_monitor():
    drawing = figures.curves(ROWS, "-rmse")
    assert "best: 0" in labels(drawing) and drawing.axes[1].get_title() == "RMSE on the validation split"
    assert "best: 15" in labels(figures.curves(ROWS, "rmse"))
    assert len(figures.curves(ROWS, "-loss").axes) == 2
    assert len(figures.curves([row for row in ROWS if "split" not in row], "-loss").axes) == 1


def test_areas_are_scikit_learns():
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    positive = rng.random(300) < 0.3
    score = np.round(rng.normal(size=300) + positive, 1)
    assert f"area {roc_auc_score(positive, score):.3f}" in labels(figures.roc({"a": (score, positive)}))
    precision = figures.precision_recall({"a": (score, positive)})
    assert f"average precision {average_precision_score(positive, score):.3f}" in labels(precision)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.curves([], "accuracy"),
        lambda: figures.confusion(np.zeros((2, 2), int), ["a", "b"]),
        lambda: figures.confusion(np.eye(60, dtype=int), [f"class {i} of a long name" for i in range(60)]),
        lambda: figures.roc({"$a$": (NOTHING, NOTHING.astype(bool))}),
        lambda: figures.precision_recall({"a": (NOTHING, NOTHING.astype(bool))}),
        lambda: figures.calibration(np.zeros(15), np.full(15, np.nan), np.full(15, np.nan)),
        lambda: figures.residuals([], []),
        lambda: figures.forecast([], [1.0]),
        lambda: figures.forecast([1.0, 2.0], [3.0, 4.0], [3.0, 5.0], {"0.1": [2, 3], "0.5": [3, 4], "0.9": [4, 5]}),
    ],
)
def test_anything_can_be_drawn(draw):
    draw().canvas.draw()


def test_dollars_in_names_are_no_mathematics():
    figures.confusion(np.eye(2, dtype=int), ["$\\frac{", "$5"]).canvas.draw()


@pytest.mark.parametrize("written", [["A" * 400], ["狗", "跑\u007f"], ["$x$"] + ["a"] * 300])
def test_attention_is_drawn_whatever_the_words_are(written):
    weights = torch.full((len(written), 3), 1 / 3)
    picture = attention.drawn(weights, [("Ein", 1), ("Hund" * 20, 2)], [(word, 1) for word in written])
    grey = np.array(picture.convert("L"))
    dark = (grey < 250).mean(1)
    assert dark.max() > 0.2 and (dark > 0.2).sum() >= 15, "a cell is as high as a line of text"
