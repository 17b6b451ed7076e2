"""What every task of the registry promises: a new one gets these tests with a line in EXAMPLES and one in FILES."""

import copy
import csv
import functools
import json
import math
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from made import boxed, digit_masks, measured, scenes, tagged, talks, translated, videos
from PIL import Image

from dlzoo.data.bundled_images import Digits
from dlzoo.engine.encoded import encode, encode_many
from dlzoo.registry import TASKS
from dlzoo.registry.entry import PACKAGE
from dlzoo.run import build
from dlzoo.run.answers import plain
from dlzoo.schema import reader as configs
from dlzoo.task import columns

SCENES, BARS, TAGS, PAIRS, TALKS = (tempfile.TemporaryDirectory() for _ in range(5))
EXAMPLES = {
    "image_classification": {"task": "image_classification", "data": "digits", "model": "lenet"},
    "video_classification": {
        "task": {"name": "video_classification", "frames": 6, "fps": 8, "difference": True},
        "data": {"name": "video_folder", "path": str(videos())},
        "model": {"name": "c3d", "channels": [8, 16]},
    },
    "face_recognition": {
        "task": {"name": "face_recognition", "embedding": 16, "mirror": True},
        "data": "digits",
        "model": {"name": "lenet", "hidden": [32]},
    },
    "image_regression": {
        "task": {"name": "image_regression", "period": {"angle": 360}},
        "data": measured(Path(BARS.name)),
        "model": {"name": "resnet", "depth": 10, "width": 8},
    },
    "tabular_classification": {
        "task": {"name": "tabular_classification", "balance": True},
        "data": "credit",
        "model": {"name": "mlp", "dim": 32},
    },
    "tabular_regression": {"task": "tabular_regression", "data": "diabetes", "model": {"name": "mlp", "dim": 32}},
    "text_classification": {
        "task": {"name": "text_classification", "context": 24, "vocab": 300},
        "data": "spam",
        "model": {"name": "gru", "dim": 32},
    },
    "language_modeling": {
        "task": {"name": "language_modeling", "context": 16},
        "data": "austen",
        "model": {"name": "lstm", "dim": 64},
    },
    "masked_language_modeling": {
        "task": {"name": "masked_language_modeling", "context": 12, "vocab": 300, "whole_words": True},
        "data": "spam",
        "model": {"name": "transformer", "dim": 64, "depth": 1},
    },
    "token_classification": {
        "task": {"name": "token_classification", "context": 64},
        "data": {"name": "tagged_texts", "path": tagged(Path(TAGS.name) / "train.conll"), "word": 2},
        "model": {"name": "lstm", "dim": 32, "causal": False},
    },
    "sequence_to_sequence": {
        "task": {"name": "sequence_to_sequence", "vocab": 300, "context": 12, "smoothing": 0.0},
        "data": {"name": "text_pairs", "path": translated(Path(PAIRS.name) / "pairs.tsv")},
        "model": {"name": "encoder_decoder", "dim": 32, "depth": 1, "dropout": 0.0},
    },
    "chat": {
        "task": {"name": "chat", "context": 64},
        "data": {"name": "conversations", "path": talks(Path(TALKS.name) / "talks.jsonl", 120)},
        "model": {"name": "lstm", "dim": 64},
    },
    "forecasting": {
        "task": {"name": "forecasting", "context": 24, "horizon": 6},
        "data": "airline",
        "model": {"name": "gru", "dim": 16},
    },
    "segmentation": {
        "task": "segmentation",
        "data": {"name": "mask_folder", "path": digit_masks(), "mode": "grey"},
        "model": {"name": "unet", "width": 8, "depth": 2},
    },
    "detection": {
        "task": {"name": "detection", "dim": 16},
        "data": {"name": "coco", "path": boxed(Path(SCENES.name), "coco", {"train": scenes()}), "mode": "grey"},
        "model": {"name": "resnet", "depth": 10, "width": 8, "stem": "half"},
    },
}
"""A small dataset and a tiny model for each task."""
ANSWERS = ("label", "value", "values", "boxes", "labels", "mask", "tags", "target")
"""Keys of a sample that say what is to be answered."""
BEST = {"accuracy", "macro_f1", "auroc", "top5", "r2", "coverage", "map", "ap50", "ap75"}
BEST |= {"micro_f1", "ap", "sensitivity", "specificity", "miou", "iou", "dice", "picture_iou", "picture_dice"}
BEST |= {"precision", "recall", "f1"}
BEST |= {"pair_accuracy", "tar_at_far_1e-2", "tar_at_far_1e-3"}
"""Metrics whose perfect value is 1, also behind a point of each class; that of all others is 0."""
BEST |= {"rouge1", "rouge2", "rouge_l"}
PERCENT = {"bleu", "chrf"}
"""Those whose perfect value is 100."""
NEITHER = {"threshold"}
"""Numbers that are no score."""
MANY = "image_classification of many labels"
EXAMPLES[MANY] = EXAMPLES["image_classification"] | {"task": {"name": "image_classification", "multi_label": True}}


class ManyLabels(Digits):
    """Digits with what is true of each."""

    gives = ("image", "labels")

    def __getitem__(self, index):
        return {"image": super().__getitem__(index)["image"], "labels": self.column("labels")[index]}

    def column(self, key):
        assert key == "labels"
        true = {"even": "02468", "large": "56789", "round": "0689"}
        return [[name for name in true if digit in true[name]] for digit in super().column("label")]


class Case:
    """A task that has learned, its pieces, and a tiny network."""

    def __init__(self, name):
        torch.manual_seed(0)
        self.config = configs.from_dict(EXAMPLES[name])
        dataset = ManyLabels() if name == MANY else build.build_dataset(self.config)
        self.task = build.build_task(self.config)
        split = build.build_splits(dataset, self.task, self.config.split)
        self.train, self.validation = split["train"], split["validation"]
        self.task.fit(self.train)
        self.pieces = self.task.pieces(self.train, "train")

    def network(self):
        torch.manual_seed(0)
        return build.build_network(self.config, self.task)

    def batch(self, indices):
        return self.task.collate(columns([encode(self.task, self.pieces, i) for i in indices], self.task.ragged))

    def some(self, n):
        step = len(self.pieces) // n
        return [i * step for i in range(n)]


@functools.cache
def case(name):
    return Case(name)


@pytest.fixture(params=[*(entry.name for entry in TASKS.entries() if entry.file.is_relative_to(PACKAGE)), MANY])
def made(request):
    if request.param not in EXAMPLES:
        pytest.fail(f"the task '{request.param}' needs a line in EXAMPLES")
    return case(request.param)


def alike(a, b, rel=1e-4):
    """The same answers, but for the last digits of numbers."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key], rel) for key in a)
    if isinstance(a, torch.Tensor) and a.is_floating_point():
        return torch.allclose(a, b, rel, 1e-5)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(functools.partial(alike, rel=rel), a, b))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return a == pytest.approx(b, rel=rel, abs=1e-5) if isinstance(a, float) else a == b


def test_one_batch_can_be_learned_by_heart(made):
    network, batch = made.network(), made.batch(made.some(12))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(120):
        loss = made.task.loss(network(**batch.inputs), batch) / batch.count
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < 0.15 * losses[0], (losses[0], min(losses))


@torch.no_grad()
def test_the_loss_is_a_sum_over_count(made):
    network = made.network().eval()
    whole, singles = made.batch(made.some(7)), [made.batch([i]) for i in made.some(7)]
    assert whole.count == sum(single.count for single in singles)
    total = sum(made.task.loss(network(**single.inputs), single) for single in singles)
    torch.testing.assert_close(made.task.loss(network(**whole.inputs), whole), total, rtol=1e-4, atol=1e-4)


def test_uneven_micro_batches_give_the_gradient_of_the_whole(made):
    network, places = made.network().eval(), made.some(11)
    gradients = []
    for parts in ([places], [places[:2], places[2:9], places[9:]]):
        batches = [made.batch(part) for part in parts]
        network.zero_grad()
        for batch in batches:
            (made.task.loss(network(**batch.inputs), batch) / sum(b.count for b in batches)).backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    for one, three in zip(*gradients, strict=True):
        torch.testing.assert_close(one, three, rtol=1e-3, atol=1e-6)


def test_the_truth_scores_perfectly(made):
    truth = made.task.truth(made.batch(made.some(40)))
    for metric in [*made.task.metrics(), *made.task.written()]:
        metric.update(truth, truth)
        for name, value in metric.compute().items():
            perfect = 1.0 if name.partition(".")[0] in BEST else 100.0 if name in PERCENT else 0.0
            assert name in NEITHER or value == pytest.approx(perfect, abs=1e-9), name


@torch.no_grad()
def test_answers_alone_equal_answers_in_company(made):
    network, places = made.network().eval(), made.some(32)
    together = made.batch(places)
    whole = made.task.decode(network(**together.inputs), together)
    for i, answer in zip(places, whole, strict=True):
        alone = made.batch([i])
        (single,) = made.task.decode(network(**alone.inputs), alone)
        assert alike(single, answer), (i, single, answer)


def test_what_was_learned_goes_through_json(made):
    again = build.build_task(made.config)
    again.load_state_dict(json.loads(json.dumps(made.task.state_dict(), allow_nan=False)))
    assert again.facts() == made.task.facts()
    assert (again.inputs, again.requires) == (made.task.inputs, made.task.requires)
    assert again.state_dict() == made.task.state_dict()
    for i in made.some(5):
        first, second = encode(made.task, made.pieces, i), encode(again, made.pieces, i)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key].nan_to_num(), second[key].nan_to_num()) for key in first)


@torch.no_grad()
def test_the_fast_way_to_score_equals_the_answers(made):
    network, fast, slow = made.network().eval(), made.task.metrics(), made.task.metrics()
    for part in (made.some(30)[:20], made.some(30)[20:]):
        batch = made.batch(part)
        outputs = network(**batch.inputs)
        made.task.update(fast, outputs, batch)
        answers, truths = made.task.decode(outputs, batch), made.task.truth(batch)
        for metric in slow:
            metric.update(answers, truths)
    for one, other in zip(fast, slow, strict=True):
        found, expected = one.compute(), other.compute()
        assert expected.keys() <= found.keys()
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_many_at_once_are_encoded_like_one_by_one(made):
    many = encode_many(made.task, made.pieces, made.some(9))
    singles = columns([encode(made.task, made.pieces, i) for i in made.some(9)], made.task.ragged)
    assert many.keys() == singles.keys()
    for key, value in many.items():
        for one, other in zip(value, singles[key], strict=True):
            torch.testing.assert_close(one, other, equal_nan=True)


def test_a_gathered_batch_is_the_encoded_one(made):
    places = [made.some(9)[i] for i in (3, 1, 8, 0)]
    batch, gather = made.batch(places), getattr(made.pieces, "gather", None)
    gathered = made.task.collate(gather(places)) if gather else made.batch(places)
    for key, value in batch.inputs.items():
        torch.testing.assert_close(gathered.inputs[key], value, equal_nan=True)


def test_answers_and_truths_are_json(made):
    batch = made.batch(made.some(3))
    with torch.no_grad():
        answers = made.task.decode(made.network().eval()(**batch.inputs), batch)
    for answer in map(plain, (*answers, *made.task.truth(batch), *made.task.guess(batch))):
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_the_trivial_answer_can_be_scored(made):
    assert made.task.baseline
    batch = made.batch(made.some(40))
    guesses, truths = made.task.guess(batch), made.task.truth(batch)
    assert len(guesses) == len(truths)
    for metric in made.task.written() or made.task.metrics():
        metric.update(guesses, truths)
        assert any(math.isfinite(value) for value in metric.compute().values())


def test_the_monitor_is_a_number_that_evaluation_gives(made):
    batch, metrics = made.batch(made.some(20)), made.task.metrics()
    with torch.no_grad():
        made.task.update(metrics, made.network().eval()(**batch.inputs), batch)
    names = {"loss", *made.task.scores(1.0)} | {name for metric in metrics for name in metric.compute()}
    assert made.task.monitor.lstrip("-") in names


def test_changes_to_a_batch_leave_the_batch_alone(made):
    batch = made.batch(made.some(4))
    before = copy.deepcopy(batch.inputs)
    changed = made.task.augment(batch, torch.Generator().manual_seed(0))
    assert changed.count == batch.count
    torch.testing.assert_close(batch.inputs, before, rtol=0, atol=0, equal_nan=True)


def test_figures_are_drawn(made):
    batch, metrics = made.batch(made.some(20)), made.task.metrics()
    with torch.no_grad():
        outputs = made.network().eval()(**batch.inputs)
    made.task.update(metrics, outputs, batch)
    for figure in made.task.plot(metrics, made.task.decode(outputs, batch), made.task.truth(batch)).values():
        assert figure.axes[0].get_title() and figure.axes[0].get_xlabel() and figure.axes[0].get_ylabel()


def picture(folder, task, sample):
    path = folder / "one.png"
    Image.fromarray(sample["image"].numpy()[0]).save(path)
    return path


def video(folder, task, sample):
    return Path(shutil.copy(sample["video"].path, folder))


def row(folder, task, sample):
    path = folder / "one.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["a column that nobody knows", *reversed(sample["row"])])
        writer.writeheader()
        writer.writerow(sample["row"])
    return path


def text(folder, task, sample):
    if task.column is None:
        path = folder / "one.txt"
        path.write_bytes(sample["text"].encode())
        return path
    path = folder / "one.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["id", task.column], ["1", sample["text"]]])
    return path


def words(folder, task, sample):
    path = folder / "one.conll"
    path.write_text("".join(f"{i}\t{word}\n" for i, word in enumerate(sample["words"])))
    return path


def conversation(folder, task, sample):
    path = folder / "one.jsonl"
    path.write_text(json.dumps(sample) + "\n")
    return path


def series(folder, task, sample):
    path = folder / "one.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([task.columns["time"], *task.columns["targets"]])
        writer.writerows(zip(sample["times"], sample["series"].tolist(), strict=True))
    return path


FILES = {
    "image_classification": picture,
    "video_classification": video,
    "face_recognition": picture,
    "image_regression": picture,
    "tabular_classification": row,
    "tabular_regression": row,
    "text_classification": text,
    "language_modeling": text,
    "masked_language_modeling": text,
    "token_classification": words,
    "sequence_to_sequence": text,
    "chat": conversation,
    "forecasting": series,
    "segmentation": picture,
    "detection": picture,
}
"""How a user would keep a sample of each task in a file."""


@torch.no_grad()
def test_a_file_is_read_as_the_same_sample_of_the_dataset_is(made, tmp_path):
    sample = made.validation[0]
    if made.config.task.name == "masked_language_modeling":
        sample = sample | {"text": f"{sample['text'][:4]} [MASK] on"}
    path = FILES[made.config.task.name](tmp_path, made.task, sample)
    (read,) = made.task.read(path)
    assert str(read["source"]).startswith(str(path))
    ours = made.task.encode({key: value for key, value in sample.items() if key not in ANSWERS})
    theirs = made.task.encode(read)
    assert ours.keys() == theirs.keys()
    for key in ours:
        torch.testing.assert_close(theirs[key], ours[key], equal_nan=True)
    batch = made.task.collate(columns([theirs], made.task.ragged))
    assert len(made.task.answer(made.network().eval(), batch)) == 1
