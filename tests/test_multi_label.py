"""Any number of labels a picture: its data, its loss, its answers, its metrics against scikit-learn."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from made import picture, write
from memory import fitted
from PIL import Image
from torch.nn import functional as F
from trained import train

from dlzoo import losses
from dlzoo.data.image_folder import ImageFolder
from dlzoo.errors import ConfigError, DataError, UserError
from dlzoo.metrics.auroc import AUROC
from dlzoo.metrics.multi_label import MultiLabel
from dlzoo.run.evaluate import evaluate
from dlzoo.run.predict import predict
from dlzoo.task import columns
from dlzoo.tasks.image_classification import ImageClassification

NAMES = ["a", "b", "c", "d"]


def scored(n, seed=0, K=4):
    rng = np.random.default_rng(seed)
    there = rng.random((n, K)) < np.linspace(0.15, 0.6, K)
    return (1 / (1 + np.exp(-(rng.normal(size=(n, K)) + 1.5 * there - 1)))).round(2).astype(np.float32), there


def metric(p, there, parts=1):
    found = MultiLabel([f"c{k}" for k in range(p.shape[1])])
    for a, b in zip(np.array_split(p, parts), np.array_split(there, parts), strict=True):
        found.update_arrays(a, b, a >= 0.5)
    return found


@pytest.mark.parametrize("K", [1, 2, 4])
def test_metrics_equal_scikit_learn(K):
    from sklearn.metrics import average_precision_score, f1_score, recall_score, roc_auc_score

    p, there = scored(400, K=K)
    found, answered = metric(p, there, parts=7).compute(), p >= 0.5
    each = [average_precision_score(there[:, k], p[:, k]) for k in range(K)]
    assert found["map"] == pytest.approx(np.mean(each))
    assert found["auroc"] == pytest.approx(np.mean([roc_auc_score(there[:, k], p[:, k]) for k in range(K)]))
    for average in ("macro", "micro"):
        theirs = f1_score(there, answered, average=average) if K > 1 else f1_score(there[:, 0], answered[:, 0])
        assert found[f"{average}_f1"] == pytest.approx(theirs)
    for k in range(K):
        assert found[f"ap.c{k}"] == pytest.approx(each[k])
        assert found[f"sensitivity.c{k}"] == pytest.approx(recall_score(there[:, k], answered[:, k]))
        assert found[f"specificity.c{k}"] == pytest.approx(recall_score(~there[:, k], ~answered[:, k]))


def test_both_ways_in_and_merged_processes_give_one_number():
    p, there = scored(300)
    whole, slow = metric(p, there), MultiLabel([f"c{k}" for k in range(4)])
    rows = [dict(zip(slow.classes, map(float, row), strict=True)) for row in p]
    answers = [{"labels": [name for name in row if row[name] >= 0.5], "scores": row} for row in rows]
    slow.update(answers, [{"labels": [f"c{k}" for k in np.flatnonzero(row)]} for row in there])
    assert slow.compute() == whole.compute() and slow.intervals() == whole.intervals()
    merged, second = metric(p[:100], there[:100]), metric(p[100:], there[100:])
    merged.merge(second.state_dict())
    assert merged.compute() == pytest.approx(whole.compute(), abs=1e-12)


def test_without_samples_or_positives_numbers_are_undefined_and_no_error():
    nothing = MultiLabel(NAMES)
    assert all(math.isnan(value) for value in nothing.compute().values()) and nothing.intervals() == {}
    p, there = scored(20)
    there[:, 0] = False
    found = metric(p, there)
    assert math.isnan(found.compute()["ap.c0"]) and math.isfinite(found.compute()["map"])
    found.intervals()


def test_beyond_the_cap_precision_is_binned_and_close():
    p, there = scored(20_000)
    exact, binned = AUROC(4, many=True), AUROC(4, cap=4000, many=True)
    for a, b in zip(np.array_split(p, 20), np.array_split(there, 20), strict=True):
        exact.add(a, b)
        binned.add(a, b)
    assert exact.histogram is None and binned.histogram is not None
    assert binned.precisions() == pytest.approx(exact.precisions(), abs=2e-3)
    width = [b - a for a, b in (exact.precision_interval(), binned.precision_interval())]
    assert width[1] == pytest.approx(width[0], rel=0.3)


def test_the_interval_of_the_mean_average_precision_covers():
    p, there = scored(60_000, seed=5)
    truth, inside = metric(p, there).compute()["map"], 0
    for i in range(60):
        part = slice(i * 1000, i * 1000 + 250)
        low, high = metric(p[part], there[part]).intervals()["map"]
        inside += low <= truth <= high
    assert inside >= 51


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_torchs_with_positive_weights(smoothing):
    scores, targets = torch.randn(6, 4) * 3, (torch.rand(6, 4) > 0.5).float()
    weight = torch.tensor([0.5, 1.0, 2.0, 3.0])
    theirs = F.binary_cross_entropy_with_logits(
        scores, targets * (1 - smoothing) + smoothing / 2, reduction="sum", pos_weight=weight
    )
    torch.testing.assert_close(losses.multi_label(scores, targets, smoothing=smoothing, weight=weight), theirs)


def test_the_focal_loss_is_torchvisions():
    from torchvision.ops import sigmoid_focal_loss

    scores, targets = torch.randn(6, 4) * 3, (torch.rand(6, 4) > 0.5).float()
    theirs = sigmoid_focal_loss(scores, targets, alpha=-1, gamma=2, reduction="sum")
    torch.testing.assert_close(losses.multi_label(scores, targets, "focal"), theirs)


def samples():
    noise = torch.Generator().manual_seed(0)
    labels = [["a"], [], ["a", "b"], ["c"], ["b", "a"], ["a"]]
    pixels = torch.randint(256, (6, 1, 8, 8), generator=noise).to(torch.uint8)
    return [{"image": pixels[i], "labels": names, "source": f"{i}.png"} for i, names in enumerate(labels)]


def test_targets_and_truths_are_the_labels():
    task = fitted("image_classification", samples(), multi_label=True)
    batch = task.collate(columns([task.encode(sample) for sample in samples()]))
    assert batch.targets["labels"].tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 0]]
    assert [truth["labels"] for truth in task.truth(batch)] == [["a"], [], ["a", "b"], ["c"], ["a", "b"], ["a"]]
    (perfect,) = task.metrics()
    perfect.update(task.truth(batch), task.truth(batch))
    assert set(perfect.compute().values()) == {1.0}
    assert task.needs == ("image", "labels") and task.monitor == "map"
    guess = task.guess(batch)[0]
    assert guess["labels"] == ["a"] and guess["scores"] == pytest.approx({"a": 4 / 6, "b": 2 / 6, "c": 1 / 6})
    with pytest.raises(DataError, match=r"0.png: class 'e' does not occur"):
        task.encode(samples()[0] | {"labels": ["a", "e"]})


def test_balance_weighs_what_is_there_by_how_rare_it_is():
    task = fitted("image_classification", samples(), multi_label=True, balance=True)
    torch.testing.assert_close(task.labels.weight, torch.tensor([2 / 4, 4 / 2, 5 / 1]))


def test_mixed_targets_are_soft():
    task = fitted("image_classification", samples(), multi_label=True, mixup=0.4)
    plain = task.collate(columns([task.encode(sample) for sample in samples()]))
    mixed, outputs = task.augment(plain, torch.Generator().manual_seed(1)), torch.randn(6, 3)
    own, target = mixed.targets["own"], mixed.targets["labels"]
    soft = own * target + (1 - own) * target[mixed.targets["partner"]]
    torch.testing.assert_close(task.loss(outputs, mixed), losses.multi_label(outputs, soft))


def test_answers_are_the_labels_from_the_threshold_on():
    labels = fitted("image_classification", samples(), multi_label=True).labels
    p = torch.tensor([[0.9, 0.5, 0.1], [0.2, 0.3, 0.49]])
    assert [answer["labels"] for answer in labels.answers(p)] == [["a", "b"], []]
    assert [answer["labels"] for answer in labels.answers(p, "0.3")] == [["a", "b"], ["b", "c"]]
    assert [answer["labels"] for answer in labels.answers(p, "c=0.1;a=0.95")] == [["b", "c"], ["c"]]
    for bad in ("x", "a", "=0.5", "2", "a=0.5;"):
        with pytest.raises(UserError, match="CLASS=SCORE"):
            labels.answers(p, bad)
    with pytest.raises(UserError, match="no class 'e'|'e'"):
        labels.answers(p, "e=0.5")


def test_settings_that_do_not_go_with_many_labels_are_refused():
    with pytest.raises(ConfigError, match="task.loss: cross_entropy is of one label"):
        ImageClassification(multi_label=True, loss="cross_entropy")
    with pytest.raises(ConfigError, match="task.gamma: loss: binary_cross_entropy"):
        ImageClassification(multi_label=True, gamma=3.0)
    with pytest.raises(DataError, match="no sample of the training split has a label"):
        fitted("image_classification", [sample | {"labels": []} for sample in samples()], multi_label=True)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Digits with what is true of each: even, large, round."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("labels")
    digits = load_digits()
    rows = [["path", "labels"]]
    (folder / "pictures").mkdir()
    for i, (pixels, digit) in enumerate(zip(digits.images[:300], digits.target, strict=False)):
        Image.fromarray((pixels * 15.9).astype("uint8")).save(folder / "pictures" / f"{i}.png")
        true = {"even": digit % 2 == 0, "large": digit > 4, "round": digit in (0, 6, 8, 9)}
        names = [name for name in true if true[name]]
        rows.append([f"{i}.png", ("|" if i % 2 else "; ").join(names)])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    data = f"{{name: image_folder, path: {folder}/pictures, csv: {folder}/labels.csv, mode: grey}}"
    model = "{name: lenet, channels: [8, 16], hidden: [32], kernel: 3}"
    task = "{name: image_classification, multi_label: true}"
    train(folder / "runs" / "digits", f"{{task: {task}, data: {data}, model: {model}}}", steps=60)
    return folder


def test_labels_of_pictures_are_learned_scored_and_answered(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    result = evaluate("digits")
    assert result["metrics"]["map"] > 0.85 > 0.7 > result["baseline"]["map"]
    assert {"sensitivity.even", "specificity.round", "ap.large"} <= result["metrics"].keys()
    written = (here / "runs/digits/evaluate/test/predictions.jsonl").read_text().splitlines()
    assert all(set(json.loads(row)["truth"]) == {"labels"} for row in written)
    assert (here / "runs/digits/figures/precision_recall.png").exists()
    assert predict("digits", ["pictures/0.png", "pictures/1.png"], output=here / "out.csv") == 0
    (first, _) = csv.DictReader((here / "out.csv").read_text().splitlines())
    names = [name for name in ("even", "large", "round") if float(first[f"scores.{name}"]) >= 0.5]
    assert first["labels"] == "|".join(names)
    capsys.readouterr()
    assert predict("digits", ["pictures/0.png"], options={"threshold": "1"}) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == []


def listed(tmp_path, text):
    for name in "xyz":
        picture(tmp_path / f"{name}.png")
    return ImageFolder(str(tmp_path), csv=write(tmp_path / "list.csv", text))


def test_a_list_of_pictures_may_have_labels(tmp_path):
    data = listed(tmp_path, "path,labels\nx.png,cat| dog\ny.png,\nz.png,dog;night\n")
    assert data.gives == ("image", "labels")
    assert data.column("labels") == [["cat", "dog"], [], ["dog", "night"]] and data[1]["labels"] == []


def test_label_and_labels_in_one_list_are_refused(tmp_path):
    with pytest.raises(DataError, match="column label and a column labels"):
        listed(tmp_path, "path,label,labels\nx.png,a,b\n")


def test_a_task_of_one_label_refuses_data_with_labels(here, dlzoo):
    data = f"data: {{name: image_folder, path: {here}/pictures, csv: {here}/labels.csv}}"
    config = write(here / "one.yaml", f"task: image_classification\n{data}\nmodel: lenet\n")
    code, _, err = dlzoo("train", "--config", config)
    assert code == 2 and "needs image and label" in err or "needs label" in err
