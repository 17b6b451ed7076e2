"""Metrics equal scikit-learn's, stream, merge, go through their state, and their intervals cover."""

import math

import numpy as np
import pytest

from dlzoo.metrics.auroc import AUROC
from dlzoo.metrics.bootstrap import Groups
from dlzoo.metrics.classification import Classification
from dlzoo.metrics.forecast import Forecast
from dlzoo.metrics.language import Language
from dlzoo.metrics.regression import Regression


def scored(n, K, seed=0, signal=2.0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(K, n, p=np.arange(1, K + 1) / sum(range(K + 1)))
    logits = rng.normal(size=(n, K)) + signal * np.eye(K)[labels]
    p = np.exp(logits)
    return (p / p.sum(1, keepdims=True)).astype(np.float32), labels


def answers(p, classes):
    rows = [dict(zip(classes, map(float, row), strict=True)) for row in p]
    return [{"label": max(row, key=row.get), "score": max(row.values()), "scores": row} for row in rows]


def classification(p, labels, parts=1):
    metric = Classification([f"c{k}" for k in range(p.shape[1])])
    for a, b in zip(np.array_split(p, parts), np.array_split(labels, parts), strict=True):
        metric.update_arrays(a, b)
    return metric


@pytest.mark.parametrize("K", [2, 3, 8])
def test_classification_equals_scikit_learn(K):
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score, top_k_accuracy_score

    p, labels = scored(500, K)
    p = np.round(p, 2)  # ties
    p /= p.sum(1, keepdims=True)
    found = classification(p, labels, parts=7).compute()
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, p.argmax(1)))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, p.argmax(1), average="macro"))
    theirs = (
        roc_auc_score(labels, p[:, 1]) if K == 2 else np.mean([roc_auc_score(labels == k, p[:, k]) for k in range(K)])
    )
    assert found["auroc"] == pytest.approx(theirs, abs=1e-9)
    assert ("top5" in found) == (K > 5)
    if K > 5:
        assert found["top5"] == pytest.approx(top_k_accuracy_score(labels, p, k=5), abs=0.01)


@pytest.mark.parametrize("K", [2, 5])
def test_sensitivity_and_specificity_equal_scikit_learns_recalls_with_scipys_intervals(K):
    from scipy.stats import binomtest
    from sklearn.metrics import multilabel_confusion_matrix, recall_score

    p, labels = scored(300, K)
    metric = classification(p, labels, parts=4)
    found, spans, answered = metric.compute(), metric.intervals(), p.argmax(1)
    for k in range(K):
        (tn, fp), (fn, tp) = multilabel_confusion_matrix(labels, answered)[k]
        assert found[f"sensitivity.c{k}"] == pytest.approx(recall_score(labels == k, answered == k))
        assert found[f"specificity.c{k}"] == pytest.approx(recall_score(labels != k, answered != k))
        for name, hits, of in (("sensitivity", tp, tp + fn), ("specificity", tn, tn + fp)):
            theirs = binomtest(int(hits), int(of)).proportion_ci(method="wilson")
            assert spans[f"{name}.c{k}"] == pytest.approx((theirs.low, theirs.high))


def test_a_class_without_samples_has_no_sensitivity():
    p, _ = scored(20, 3)
    metric = classification(p, np.zeros(20, int))
    assert math.isnan(metric.compute()["sensitivity.c1"]) and math.isnan(metric.intervals()["sensitivity.c1"][0])
    assert math.isfinite(metric.compute()["specificity.c1"]) and math.isnan(metric.compute()["specificity.c0"])


def test_the_label_that_was_answered_counts_not_the_likeliest():
    given, truths = answers(scored(50, 3)[0], ["c0", "c1", "c2"]), [{"label": "c1"}] * 50
    metric = Classification(["c0", "c1", "c2"])
    metric.update([answer | {"label": "c1"} for answer in given], truths)
    assert metric.compute()["accuracy"] == 1 == metric.compute()["sensitivity.c1"]


def test_calibration_error_is_its_definition():
    p, labels = scored(300, 4)
    confidence, right = p.max(1).astype(float), p.argmax(1) == labels
    gap = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            gap += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert classification(p, labels).compute()["ece"] == pytest.approx(gap)


def test_both_ways_in_give_one_number():
    p, labels = scored(200, 6)
    fast = classification(p, labels)
    slow = Classification(fast.classes)
    slow.update(answers(p, fast.classes), [{"label": f"c{k}"} for k in labels])
    assert slow.compute() == fast.compute()
    assert slow.intervals() == fast.intervals()


def test_a_class_without_truths_is_undefined_and_not_an_error():
    p, _ = scored(20, 3)
    metric = classification(p, np.zeros(20, int))
    assert math.isnan(metric.compute()["auroc"])
    assert math.isfinite(metric.compute()["macro_f1"])
    metric.intervals()
    nothing = Classification(["a", "b"])
    assert all(math.isnan(value) for value in nothing.compute().values())
    nothing.intervals()


@pytest.mark.parametrize("sizes", [(5, 3), (2500, 700), (100, 3000)])
def test_merged_processes_equal_one(sizes):
    p, labels = scored(sum(sizes), 3)
    whole = classification(p, labels)
    first, second = classification(p[: sizes[0]], labels[: sizes[0]]), classification(p[sizes[0] :], labels[sizes[0] :])
    first.merge(second.state_dict())
    assert first.compute() == pytest.approx(whole.compute(), abs=1e-12)
    assert first.intervals() == {name: pytest.approx(span, nan_ok=True) for name, span in whole.intervals().items()}


def test_beyond_the_cap_auroc_is_binned_and_close():
    p, labels = scored(50_000, 3)
    exact, binned, left, right = AUROC(3), AUROC(3, cap=3000), AUROC(3, cap=3000), AUROC(3, cap=3000)
    for i, (a, b) in enumerate(zip(np.array_split(p, 50), np.array_split(labels, 50), strict=True)):
        exact.add(a, b)
        binned.add(a, b)
        (left if i < 30 else right).add(a, b)
    left.merge(right.state_dict())
    assert binned.histogram is not None and binned.kept <= 1000
    assert exact.histogram is None
    assert binned.value() == pytest.approx(exact.value(), abs=1e-4)
    assert left.value() == pytest.approx(binned.value(), abs=1e-12)
    width = [b - a for a, b in (exact.interval(), binned.interval(), left.interval())]
    assert width[1] == pytest.approx(width[0], rel=0.25)
    assert width[2] == pytest.approx(width[0], rel=0.25)


def test_intervals_cover_19_times_of_20():
    inside = dict.fromkeys(["accuracy", "auroc", "macro_f1"], 0)
    p, labels = scored(60_000, 2, seed=9)
    truth = classification(p, labels).compute()
    for i in range(60):
        part = slice(i * 1000, i * 1000 + 300)
        spans = classification(p[part], labels[part]).intervals()
        for name in inside:
            inside[name] += spans[name][0] <= truth[name] <= spans[name][1]
    assert all(51 <= n for n in inside.values()), inside


def test_groups_give_the_interval_of_single_samples():
    rng = np.random.default_rng(4)
    values = rng.normal(3, 1, 20_000)
    groups = Groups(2)
    for part in np.array_split(values, 13):
        groups.add(np.stack([np.ones_like(part), part], 1))
    low, high = groups.interval(lambda sums: sums[:, 1] / sums[:, 0])
    assert len(groups.sums) == 2000
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(len(values)), rel=0.1)


def test_blocks_make_intervals_of_dependent_windows_wider():
    rng = np.random.default_rng(5)
    values = np.repeat(rng.normal(size=60), 50)  # 60 independent numbers, each seen in 50 windows
    widths = []
    for block in (0, 50):
        groups = Groups(2, block)
        for part in np.array_split(values, 7):
            groups.add(np.stack([np.ones_like(part), part], 1))
        low, high = groups.interval(lambda sums: sums[:, 1] / sums[:, 0])
        widths.append(high - low)
    assert widths[1] > 4 * widths[0]


def test_blocks_stay_bounded_and_whole():
    groups, other = Groups(1, 3), Groups(1, 3)
    for _ in range(300):
        groups.add(np.ones((97, 1)))
    other.add(np.ones((500, 1)))
    assert len(groups.sums) <= 2000
    groups.merge(other.state_dict())
    groups.add(np.ones((11, 1)))
    assert groups.total()[0] == 300 * 97 + 500 + 11


def test_regression_equals_scikit_learn():
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    rng = np.random.default_rng(6)
    truth = rng.normal(1e6, 3, 3000)  # far from zero: sums of squares would lose the digits
    values = truth + rng.normal(0, 1, 3000)
    metric, rest = Regression(), Regression()
    metric.update_arrays(values[:1000], truth[:1000])
    rest.update([{"value": v} for v in values[1000:]], [{"value": v} for v in truth[1000:]])
    metric.merge(rest.state_dict())
    found = metric.compute()
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, values))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(truth, values))
    assert found["r2"] == pytest.approx(r2_score(truth, values), rel=1e-9)
    for name, (low, high) in metric.intervals().items():
        assert low < found[name] < high


def test_r2_of_truths_that_do_not_vary_is_undefined():
    metric = Regression()
    metric.update_arrays(np.array([1.0, 2.0]), np.array([5.0, 5.0]))
    assert math.isnan(metric.compute()["r2"])
    assert all(math.isnan(value) for value in Regression().compute().values())


def test_forecast_numbers_are_their_definitions():
    rng = np.random.default_rng(7)
    truth, forecast = rng.normal(10, 2, (40, 12)), rng.normal(10, 2, (40, 12))
    bands = np.sort(rng.normal(10, 2, (40, 12, 3)), axis=2)
    naive, std = np.full(40, 2.0), np.full(40, 4.0)
    metric = Forecast(block=2)
    metric.update_arrays(forecast, truth, naive=naive, std=std, quantiles=[0.1, 0.5, 0.9], values=bands)
    found, error = metric.compute(), forecast - truth
    assert found["mae"] == pytest.approx(np.abs(error).mean())
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert found["mase"] == pytest.approx(np.abs(error).mean() / 2)
    assert found["scaled_mse"] == pytest.approx((error**2).mean() / 16)
    assert found["smape"] == pytest.approx(200 * (np.abs(error) / (np.abs(truth) + np.abs(forecast))).mean())
    assert found["coverage"] == pytest.approx(((truth >= bands[..., 0]) & (truth <= bands[..., 2])).mean())
    slow = Forecast(block=2)
    slow.update(
        [
            {"forecast": f.tolist(), "quantiles": {str(q): b[:, i].tolist() for i, q in enumerate((0.1, 0.5, 0.9))}}
            for f, b in zip(forecast, bands, strict=True)
        ],
        [{"forecast": t.tolist(), "naive": 2.0, "std": 4.0} for t in truth],
    )
    assert slow.compute() == pytest.approx(found)
    assert slow.intervals()["mae"] == pytest.approx(metric.intervals()["mae"])


def test_one_forecast_has_no_interval():
    metric = Forecast(block=24)
    metric.update_arrays(np.ones((1, 24)), np.zeros((1, 24)))
    assert metric.compute()["mae"] == 1 and metric.intervals() == {}


def test_language_counts_tokens():
    metric = Language()
    metric.update([{"tokens": [1, 2, 3]}, {"tokens": [4]}], [{"tokens": [1, 2, 0]}, {"tokens": [4]}])
    assert metric.compute() == {"accuracy": 0.75}


def test_two_million_rows_fit_in_little_memory():
    import tracemalloc

    p, labels = scored(10_000, 2)
    tracemalloc.start()
    metric = Classification(["a", "b"])
    for _ in range(200):
        metric.update_arrays(p, labels)
    metric.compute(), metric.intervals()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert metric.count == 2_000_000
    assert peak < 45e6, peak


def test_an_answer_that_knows_nothing_is_not_among_the_top_five_of_all():
    metric = Classification([str(k) for k in range(10)])
    metric.update_arrays(np.full((100, 10), 0.1, np.float32), np.arange(100) % 10)
    assert metric.compute()["top5"] == 0.5
