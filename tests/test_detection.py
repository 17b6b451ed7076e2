"""Detection: boxes and their pictures move together, places answer for boxes, answers are scored and drawn."""

import csv
import json
from random import Random

import numpy as np
import pytest
import torch
from made import boxed, scenes
from memory import Memory, fitted
from PIL import Image
from torchvision.ops import box_iou, generalized_box_iou
from trained import train

from dlzoo import losses
from dlzoo.engine import cache
from dlzoo.engine.encoded import Fresh
from dlzoo.errors import ConfigError, DataError
from dlzoo.features import Features
from dlzoo.heads.boxes import BoxHead
from dlzoo.metrics.detection import Detection
from dlzoo.registry import MODELS, TASKS
from dlzoo.registry.compatible import models_for
from dlzoo.report.boxes import COLOURS, drawn
from dlzoo.run import portable
from dlzoo.task import Network, columns
from dlzoo.transforms.assignment import NEAREST, assign
from dlzoo.transforms.boxes import Placement, distinct, overlap
from dlzoo.transforms.boxes import fitted as fits

torch.set_num_threads(1)


def random_boxes(count, seed, size=20.0):
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)) * size
    return torch.cat([corners.amin(1), corners.amax(1) + 0.1], 1)


def test_overlap_is_torchvisions():
    a, b = random_boxes(7, 0), random_boxes(9, 1)
    torch.testing.assert_close(overlap(a[:, None], b), box_iou(a, b))
    torch.testing.assert_close(overlap(a[:, None], b, generalized=True), generalized_box_iou(a, b))


# ---- the canvas


def bright(image):
    """The box around what is bright."""
    rows, places = (image[0] > 128).nonzero(as_tuple=True)
    return [places.min().item(), rows.min().item(), places.max().item() + 1, rows.max().item() + 1]


@pytest.mark.parametrize("seed", range(40))
def test_boxes_go_where_their_picture_goes(seed):
    image = torch.zeros(1, 60, 90, dtype=torch.uint8)
    image[:, 20:36, 30:56] = 255
    box = torch.tensor([[30.0, 20, 56, 36]])
    place = Placement.drawn(60, 90, (96, 64), zoom=True, rng=Random(seed))
    canvas = place.picture(image, (96, 64), torch.zeros(1))
    (moved,), (seen,) = place.boxes(box, 60, 90, (96, 64))
    assert canvas.shape == (1, 96, 64)
    if seen:
        np.testing.assert_allclose(bright(canvas), moved, atol=1.01)


def test_a_box_that_is_hardly_seen_is_none():
    place = Placement(10, 10, left=-7)
    boxes, seen = place.boxes(torch.tensor([[0.0, 0, 10, 10], [6, 0, 10, 10], [0, 0, 6, 10]]), 10, 10, (10, 10))
    assert seen.tolist() == [False, True, False] and boxes[1].tolist() == [0, 0, 3, 10]


def test_the_canvas_holds_every_picture_of_the_training_split():
    samples = [*scenes(3, (50, 30)), *scenes(3, (20, 40))]
    task = fitted("detection", samples)
    assert task.canvas == (64, 64)
    assert fitted("detection", scenes(3, (640, 480)), size=320).canvas == (256, 320)
    assert fitted("detection", scenes(2, (800, 600))).canvas == (480, 640)
    for sample in samples:
        example = task.encode(sample)
        assert max(fits(*sample["image"].shape[1:], task.canvas)) == 64
        assert (example["boxes"][:, 2:] <= 64).all() and len(example["boxes"]) == len(sample["boxes"])


def test_answers_are_in_pixels_of_the_whole_picture():
    samples = [*scenes(4, (50, 30)), *scenes(4, (20, 40), seed=1)]
    task = fitted("detection", samples)
    batch = task.collate(columns([task.encode(sample) for sample in samples], task.ragged))
    for sample, truth in zip(samples, task.truth(batch), strict=True):
        assert [[box[side] for side in ("x1", "y1", "x2", "y2")] for box in truth["boxes"]] == sample["boxes"].tolist()
        assert [box["label"] for box in truth["boxes"]] == sample["labels"]


def test_augmentation_is_a_function_of_its_rng():
    sample = scenes(1)[0]
    task = fitted("detection", scenes(8), augment="zoom_flip")
    one, again, other = (task.encode(sample, Random(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["image"], other["image"])
    plain = fitted("detection", scenes(8))
    assert torch.equal(plain.encode(sample, Random(3))["image"], plain.encode(sample)["image"])


def test_colours_change_as_far_as_asked():
    task = fitted("detection", scenes(8), jitter=0.2)
    batch = task.collate(columns([task.encode(sample) for sample in scenes(8)], task.ragged))
    changed = task.augment(batch, torch.Generator().manual_seed(0)).inputs["x"]
    x = batch.inputs["x"]
    assert not torch.equal(changed, x)
    assert ((changed - x).abs() <= 0.2 * x.abs() + 0.2 + 1e-5).all()


def test_pictures_of_the_training_split_without_any_box_are_refused():
    samples = [sample | {"boxes": torch.zeros(0, 4), "labels": []} for sample in scenes(3)]
    with pytest.raises(DataError, match="no picture of the training split has a box"):
        fitted("detection", samples)


def test_a_class_that_is_not_in_train_is_named():
    task = fitted("detection", scenes(8))
    with pytest.raises(DataError, match=r"a\.png: class 'disk' does not occur .* Did you mean 'disc'"):
        task.encode(scenes(1)[0] | {"labels": ["disk", "disk"], "source": "a.png"})


# ---- the head and its loss


def places(side=8, stride=4):
    middle = (torch.arange(side) + 0.5) * stride
    return torch.stack([middle.repeat(side), middle.repeat_interleave(side)], 1)


def around(centres, half):
    return torch.cat([centres - half, centres + half], 1)[None]


def test_a_place_answers_for_the_box_that_it_lies_in_and_overlaps_most():
    centres = places()
    truth = torch.tensor([[[0.0, 0, 16, 16], [14, 0, 30, 16], [0, 0, 0, 0]]])
    found = assign(torch.full((1, 64, 2), 0.1), around(centres, 8.0), centres, 4.0, truth, torch.tensor([[0, 1, -1]]))
    taken = found.weight[0] > 0
    inside = (centres > 0).all(1) & (centres < torch.tensor([30.0, 16.0])).all(1)
    assert taken.any() and not (taken & ~inside).any()
    best = overlap(around(centres, 8.0)[0][:, None], truth[0, :2]).argmax(1)
    assert torch.equal(found.boxes[0][taken], truth[0][best[taken]])
    torch.testing.assert_close(found.scores.sum(-1), found.weight)
    for number in (0, 1):
        own = (found.scores[0, :, number] > 0).sum()
        assert 0 < own <= NEAREST


def test_the_best_place_of_a_box_is_to_score_its_overlap():
    centres = places()
    truth = torch.tensor([[[3.0, 3, 15, 17]]])
    boxes = around(centres, 8.0)
    found = assign(torch.full((1, 64, 1), 0.3), boxes, centres, 4.0, truth, torch.tensor([[0]]))
    assert found.scores.max() == pytest.approx(float(overlap(boxes[0], truth[0, 0])[found.weight[0] > 0].max()))


def test_a_box_between_all_places_is_answered_for_nevertheless():
    centres = places()
    truth = torch.tensor([[[7.5, 7.5, 8.5, 8.5]]])
    found = assign(torch.full((1, 64, 1), 0.3), around(centres, 3.0), centres, 4.0, truth, torch.tensor([[0]]))
    assert (found.weight > 0).any()


def test_the_quality_focal_loss_is_cross_entropy_times_what_is_missing():
    scores, targets = torch.randn(5, 3), torch.rand(5, 3)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
    torch.testing.assert_close(losses.quality_focal(scores, targets, 0.0), plain.sum())
    torch.testing.assert_close(losses.quality_focal(scores, targets), ((targets - scores.sigmoid()) ** 2 * plain).sum())
    assert losses.quality_focal(targets.logit(), targets).item() == pytest.approx(0, abs=1e-6)


def test_the_head_says_as_much_as_there_are_places_and_begins_sure_of_nothing():
    maps = [torch.randn(2, dim, side, side) for dim, side in ((4, 32), (6, 16), (8, 8), (10, 4))]
    head = BoxHead(Features("pyramid", (4, 6, 8, 10), (4, 8, 16, 32)), 3, 8)
    found = head(maps)
    assert found.stride == 8 and found.scores.shape == (2, 16 * 16 + 8 * 8 + 4 * 4, 3)
    assert torch.equal(found.centres[:2], torch.tensor([[4.0, 4.0], [12.0, 4.0]]))
    assert found.centres[-1].tolist() == [112, 112]
    assert (found.boxes[..., 2:] > found.centres).all() and (found.boxes[..., :2] < found.centres).all()
    assert found.scores.sigmoid().mean().item() == pytest.approx(0.01, abs=0.005)


def test_pictures_without_boxes_teach_that_there_is_nothing():
    task = fitted("detection", scenes(8))
    empty = [sample | {"boxes": torch.zeros(0, 4), "labels": []} for sample in scenes(3)]
    batch = task.collate(columns([task.encode(sample) for sample in empty], task.ragged))
    backbone = MODELS["resnet"](in_channels=1, image_size=32, depth=10, width=4, out="pyramid")
    network = Network(backbone, task.head(backbone))
    loss = task.loss(network(**batch.inputs), batch)
    loss.backward()
    assert batch.count == 3 and 0 < loss.item() < 10
    assert task.truth(batch) == [{"boxes": []}] * 3


def test_of_boxes_that_share_much_the_best_is_answered():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [30, 30, 40, 40]]])
    scores = torch.tensor([[[0.9, 0.0], [0.8, 0.0], [0.0, 0.7], [0.005, 0.004]]]).logit(eps=1e-6)
    (found,) = distinct(scores, boxes, 0.6)
    assert found["scores"].tolist() == pytest.approx([0.9, 0.7]) and found["labels"].tolist() == [0, 1]
    (found,) = distinct(scores, boxes, 0.9)
    assert found["scores"].tolist() == pytest.approx([0.9, 0.8, 0.7])


# ---- scores


def box(label, score, x1, y1, x2, y2):
    return {"label": label, "score": score, "x1": x1, "y1": y1, "x2": x2, "y2": y2}


def test_average_precision_is_what_a_hand_computes():
    metric = Detection(["a", "b"])
    truths = [{"boxes": [box("a", 1.0, 0, 0, 10, 10), box("a", 1.0, 20, 20, 30, 30)]}, {"boxes": []}]
    right, wrong, late = box("a", 0.9, 0, 0, 10, 10), box("a", 0.8, 50, 50, 60, 60), box("a", 0.7, 20, 20, 30, 28)
    metric.update([{"boxes": [right, late]}, {"boxes": [wrong]}], truths)
    found = metric.compute()
    # recall 0 to .5 at precision 1 (51 of the 101 levels), then 2 of 3; the late one overlaps .8
    both, one = (51 + 50 * 2 / 3) / 101, 51 / 101
    assert found["ap50"] == pytest.approx(both) and found["ap75"] == pytest.approx(both)
    assert found["map"] == pytest.approx((7 * both + 3 * one) / 10)
    assert found["ap50.a"] == found["ap50"] and np.isnan(found["ap50.b"])


def test_metrics_merge_and_without_truths_are_undefined():
    samples = scenes(12)
    task = fitted("detection", samples)
    batch = task.collate(columns([task.encode(sample) for sample in samples], task.ragged))
    truths = task.truth(batch)
    rng = Random(0)
    answers = [
        {"boxes": [b | {"score": rng.random(), "x1": b["x1"] - rng.random() * 9} for b in t["boxes"]]} for t in truths
    ]
    whole, parts = Detection(task.classes), [Detection(task.classes) for _ in range(2)]
    whole.update(answers, truths)
    parts[0].update(answers[:5], truths[:5])
    parts[1].update(answers[5:], truths[5:])
    parts[0].merge(parts[1].state_dict())
    assert parts[0].compute() == pytest.approx(whole.compute())
    assert 0.1 < whole.compute()["map"] < 0.9
    assert all(np.isnan(value) for value in Detection(["a"]).compute().values())


def test_intervals_are_those_of_scores_of_drawn_pictures():
    rng, truths, answers = Random(0), [], []
    for sample in scenes(40):
        boxes = [box(n, 1.0, *b) for n, b in zip(sample["labels"], sample["boxes"].tolist(), strict=True)]
        truths.append({"boxes": boxes})
        answers.append({"boxes": [b | {"score": rng.random(), "x1": b["x1"] - rng.choice([0, 9])} for b in boxes]})

    def scored(places):
        metric = Detection(["disc", "square"])
        metric.update([answers[i] for i in places], [truths[i] for i in places])
        return metric

    whole = scored(range(40))
    found, numbers = whole.intervals(), whole.compute()
    assert found.keys() == numbers.keys()
    assert all(low < numbers[name] < high for name, (low, high) in found.items())
    drawn = [scored(rng.choices(range(40), k=40)).compute()["ap50"] for _ in range(100)]
    assert np.percentile(drawn, [2.5, 97.5]).tolist() == pytest.approx(found["ap50"], abs=0.05)
    assert whole.compute() == numbers and not scored(range(5)).intervals()


# ---- a trained detector


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detection")
    data = boxed(folder / "data", "voc", {"train": scenes(96), "test": scenes(32, seed=1)})
    task, model = "{name: detection, dim: 16}", "{name: resnet, depth: 10, width: 8, stem: half}"
    return train(folder / "run", f"{{task: {task}, data: {{name: voc, path: {data}, mode: grey}}, model: {model}}}", 80)


def test_squares_and_discs_are_found(run, dlzoo):
    code, out, err = dlzoo("evaluate", run, "--json")
    assert code == 0, err
    metrics = json.loads(out)["metrics"]
    assert metrics["ap50"] > 0.9 and metrics["ap50"] <= 1 and json.loads(out)["baseline"]["ap50"] == 0


@torch.no_grad()
def test_answers_of_a_trained_detector_alone_equal_those_in_company(run):
    model = portable.load(run)
    examples = [model.task.encode(sample) for sample in scenes(16, seed=2)]

    def answers(some):
        return model.task.answer(model.network, model.task.collate(columns(some, model.task.ragged)), threshold=0.2)

    whole = answers(examples)
    assert sum(len(answer["boxes"]) for answer in whole) >= 12
    for example, answer in zip(examples, whole, strict=True):
        (single,) = answers([example])
        assert [b["label"] for b in single["boxes"]] == [b["label"] for b in answer["boxes"]]
        for one, other in zip(single["boxes"], answer["boxes"], strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)
            assert [one[s] for s in ("x1", "y1", "x2", "y2")] == pytest.approx(
                [other[s] for s in ("x1", "y1", "x2", "y2")], abs=0.02
            )


@pytest.fixture
def files(run):
    return sorted((run.parent / "data" / "JPEGImages").glob("test*.png"))[:3]


def test_predict_writes_boxes_and_draws_them(run, files, dlzoo, tmp_path):
    code, _, err = dlzoo("predict", run, *files, "-o", tmp_path / "out")
    assert code == 0, err
    answers = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert [answer["source"] for answer in answers] == list(map(str, files))
    found = [b for answer in answers for b in answer["boxes"]]
    assert found and all(b.keys() == {"label", "score", "x1", "y1", "x2", "y2"} and b["score"] >= 0.5 for b in found)
    for answer in answers:
        with Image.open(tmp_path / "out" / answer["picture"]) as picture:
            assert picture.size == (32, 32) and picture.mode == "RGB"


def test_a_threshold_is_an_option_and_a_table_has_a_row_for_each_box(run, files, dlzoo, tmp_path):
    code, _, err = dlzoo("predict", run, *files, "-o", tmp_path / "all.csv", "--threshold", "0.02")
    assert code == 0, err
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 3 and list(rows[0]) == ["source", "label", "score", "x1", "y1", "x2", "y2", "error"]
    code, out, _ = dlzoo("predict", run, files[0], "--threshold", "1", "--json")
    assert code == 0 and json.loads(out)["boxes"] == []
    dlzoo("predict", run, files[0], "-o", tmp_path / "none.csv", "--threshold", "1")
    assert (tmp_path / "none.csv").read_text().splitlines() == ["source,error", f"{files[0]},"]
    code, _, err = dlzoo("predict", run, files[0], "--threshold", "2")
    assert code == 2 and "--threshold 2" in err


def test_boxes_are_drawn_where_they_are_in_the_colour_of_their_class():
    picture = drawn(torch.full((1, 100, 200), 255, dtype=torch.uint8), [box("b", 0.5, 20, 40, 120, 90)], ["a", "b"])
    assert picture.shape == (3, 100, 200) and picture.dtype == torch.uint8
    colour = torch.tensor(list(bytes.fromhex(COLOURS[1][1:])), dtype=torch.uint8)
    for x, y in ((20, 60), (120, 60), (60, 90)):
        assert torch.equal(picture[:, y, x], colour)
    assert (picture[:, 60, 60] == 255).all()


def test_many_files_are_not_kept_with_their_boxes(monkeypatch):
    monkeypatch.setattr(cache, "FEW", 3)
    task, few, many = fitted("detection", scenes(4)), Memory(scenes(3)), Memory(scenes(4))
    monkeypatch.setattr(Memory, "decodes", True)
    assert isinstance(cache.kept(task, few), cache.Kept)
    fresh = cache.kept(task, many)
    assert isinstance(fresh, Fresh) and fresh.lengths() is None
    assert torch.equal(fresh.gather([2], 0)["boxes"][0], task.encode(many[2])["boxes"])


def test_models_with_a_pyramid_or_a_head_of_their_own_fit():
    fits = {name for name, why in models_for(TASKS.entry("detection")).items() if why is None}
    assert fits >= {"convnext", "resnet", "timm", "torchvision", "torchvision_detector"} and "lenet" not in fits
    why = models_for(TASKS.entry("image_classification"))["torchvision_detector"]
    assert why.startswith("needs num_classes, and the task gives")


def test_what_another_head_would_ignore_is_refused():
    detector = MODELS["torchvision_detector"](in_channels=1, num_classes=2)
    fitted("detection", scenes(4)).head(detector)
    for argument in ({"overlap": 0.5}, {"dim": 64}):
        with pytest.raises(ConfigError, match=f"task.{next(iter(argument))}: is of dlzoo's own head"):
            fitted("detection", scenes(4), **argument).head(detector)
