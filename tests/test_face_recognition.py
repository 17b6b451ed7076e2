"""Faces: the margin, the pairs, strangers, galleries."""

import json
import math

import numpy as np
import pytest
import torch
from made import picture, write
from memory import Memory, fitted
from PIL import Image
from torch.nn import functional as F

from dlzoo import losses
from dlzoo.data.pairs import read_pairs
from dlzoo.engine import loop
from dlzoo.engine.loader import batches
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import DataError
from dlzoo.features import Features
from dlzoo.heads.embedded import Embedded
from dlzoo.metrics.identification import Identification
from dlzoo.metrics.verification import Verification
from dlzoo.run import build, portable, predict
from dlzoo.run.built import build as built_from
from dlzoo.schema import reader as configs
from dlzoo.tasks.face_recognition import FaceRecognition

NOISE = torch.Generator().manual_seed(0)


def face(label, channels=1):
    image = torch.randint(256, (channels, 12, 10), generator=NOISE).to(torch.uint8)
    return {"image": image, "label": label, "source": f"{label}.png"}


def embedded(people=12, each=5, spread=1.2, dim=6):
    """Embeddings of a few people, not all well apart, and whose they are."""
    rng = np.random.default_rng(0)
    labels = [f"p{i % people}" for i in range(people * each)]
    centres = rng.normal(size=(people, dim))
    found = np.stack([centres[i % people] + spread * rng.normal(size=dim) for i in range(people * each)])
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), labels


def verified(embeddings, labels, places=None, **options):
    metric = Verification(**options)
    metric.update_arrays(embeddings, labels, places)
    return metric


# the margin


@pytest.mark.parametrize("margin", [0.0, 0.35, 0.5])
def test_arcface_adds_its_margin_to_the_angle_and_cosface_to_the_cosine(margin):
    cosines = torch.rand(40, 7, generator=NOISE, dtype=torch.float64) * 1.6 - 0.8
    labels = torch.randint(7, (40,), generator=NOISE)
    right = F.one_hot(labels, 7).bool()
    turned = {"arcface": (cosines.arccos() + margin).cos(), "cosface": cosines - margin}
    for kind, worse in turned.items():
        expected = F.cross_entropy(16 * torch.where(right, worse, cosines), labels, reduction="sum")
        torch.testing.assert_close(losses.margin(cosines, labels, kind, margin=margin, scale=16.0), expected)


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
def test_a_smaller_angle_is_always_better_and_every_gradient_is_finite(kind):
    right = torch.linspace(-1, 1, 201, dtype=torch.float64, requires_grad=True)
    rows = torch.stack([right, torch.zeros(201, dtype=torch.float64)], 1)
    each = torch.stack([losses.margin(row[None], torch.tensor([0]), kind, margin=0.5, scale=8.0) for row in rows])
    assert (each.diff() < 0).all()
    each.sum().backward()
    assert right.grad.isfinite().all() and (right.grad < 0).all()


def test_strangers_have_no_part_in_the_loss():
    cosines = torch.rand(3, 4, generator=NOISE)
    alone = losses.margin(cosines[:1], torch.tensor([2]), margin=0.5, scale=8.0)
    known = torch.tensor([True, False, False])
    among = losses.margin(cosines, torch.tensor([2, 4, 9]), margin=0.5, scale=8.0, mask=known)
    torch.testing.assert_close(alone, among)


def test_embeddings_have_length_one_and_nothing_at_all_stays_finite():
    head = Embedded(Features("map", 5), 8, 3)
    torch.nn.init.zeros_(head.pooled.linear.bias)
    features = torch.cat([torch.rand(2, 5, 3, 3, generator=NOISE), torch.zeros(1, 5, 3, 3)]).requires_grad_()
    embedding, cosines = head(features)
    torch.testing.assert_close(embedding[:2].norm(dim=1), torch.ones(2))
    assert cosines.shape == (3, 3) and cosines.abs().max() <= 1 + 1e-6
    cosines.sum().backward()
    assert embedding.isfinite().all() and features.grad.isfinite().all()


# pairs


def test_the_scores_of_pairs_are_scikit_learns():
    from sklearn.metrics import roc_auc_score, roc_curve

    metric = verified(*embedded())
    scores, same = metric.pairs()
    assert len(scores) == 60 * 59 // 2 and same.sum() == 12 * 10
    far, tar, _ = roc_curve(same, scores, drop_intermediate=False)
    found = metric.compute()
    assert found["auroc"] == pytest.approx(roc_auc_score(same, scores))
    for name, most in {"tar_at_far_1e-2": 0.01, "tar_at_far_1e-3": 0.001}.items():
        assert found[name] == pytest.approx(tar[far <= most].max())
    nearest = np.abs(far + tar - 1).argmin()
    assert found["eer"] == pytest.approx((far[nearest] + 1 - tar[nearest]) / 2, abs=0.01)
    above = scores >= found["threshold"]
    assert above[~same].mean() == pytest.approx(found["eer"], abs=0.01)
    assert 1 - above[same].mean() == pytest.approx(found["eer"], abs=0.01)


def test_the_threshold_of_a_fold_is_chosen_on_the_others():
    metric = verified(*embedded())
    scores, same = metric.pairs()
    fold = np.where(same, np.cumsum(same), np.cumsum(~same)) % 10
    right = []
    for k in range(10):
        mine, others = fold == k, fold != k

        def balanced(part, level):
            above = scores[part] >= level
            return (above[same[part]].mean() + (~above)[~same[part]].mean()) / 2

        right.append(balanced(mine, max(scores[others], key=lambda level: balanced(others, level))))
    assert metric.compute()["pair_accuracy"] == pytest.approx(np.mean(right), abs=1e-3)


def test_people_far_apart_are_told_apart_and_chance_is_chance():
    embeddings, labels = embedded(spread=0.01, dim=40)
    found = verified(embeddings, labels).compute()
    assert (found["eer"], found["auroc"], found["pair_accuracy"]) == (0, 1, 1)
    shuffled = np.random.default_rng(1).permutation(embedded(40, 10)[0])
    found = verified(shuffled, embedded(40, 10)[1]).compute()
    assert found["auroc"] == pytest.approx(0.5, abs=0.05) and found["eer"] == pytest.approx(0.5, abs=0.05)


def test_nobody_twice_or_one_person_alone_gives_no_number():
    embeddings, _ = embedded()
    for labels in ([f"p{i}" for i in range(60)], ["p"] * 60):
        assert all(math.isnan(value) for value in verified(embeddings, labels).compute().values())
    assert Verification().compute().keys() == verified(*embedded()).compute().keys()


def test_a_single_pair_is_too_few_for_folds():
    found = verified(*(part[:4] for part in embedded(3))).compute()
    assert math.isnan(found["pair_accuracy"]) and math.isfinite(found["eer"])


def test_two_processes_score_as_one_does():
    embeddings, labels = embedded()
    one, other = verified(embeddings[:25], labels[:25]), verified(embeddings[25:], labels[25:])
    one.merge(json.loads(json.dumps(other.state_dict(), default=lambda array: array.tolist())))
    assert one.compute() == pytest.approx(verified(embeddings, labels).compute())


def test_memory_is_bounded_and_what_is_kept_scores_alike():
    embeddings, labels = embedded(300, 4)
    whole, part = verified(embeddings, labels), verified(embeddings, labels, cap=400)
    assert len(part.kept) <= 400 < len(whole.kept)
    assert part.pairs()[1].sum() >= len(part.kept) / 2  # whole couples
    assert part.compute()["eer"] == pytest.approx(whole.compute()["eer"], abs=0.03)


def test_an_interval_holds_the_score_and_is_wider_for_fewer_people():
    widths = []
    for people in (10, 80):
        metric = verified(*embedded(people))
        low, high = metric.intervals()["eer"]
        assert low <= metric.compute()["eer"] <= high
        widths.append(high - low)
    assert widths[0] > widths[1]
    assert verified(*embedded(5)).intervals() == {}


def test_folds_of_a_list_are_those_of_the_list():
    embeddings, labels = embedded()
    one, other = np.triu_indices(60, 1)
    shuffled = np.random.default_rng(0).permutation(len(one))[:600]
    one, other, fold = one[shuffled], other[shuffled], np.arange(600) // 200
    metric = verified(embeddings, labels, listed=(one, other, fold), places=range(60))
    scores, same = metric.pairs()
    np.testing.assert_allclose(scores, (embeddings[one] * embeddings[other]).sum(1), atol=1e-6)
    assert (same == (np.array(labels)[one] == np.array(labels)[other])).all()
    alone = verified(embeddings, labels, listed=(one, other, None), places=range(60))
    assert alone.compute()["eer"] == metric.compute()["eer"]
    assert alone.compute()["pair_accuracy"] != metric.compute()["pair_accuracy"]


def test_only_people_who_were_trained_on_can_be_named():
    metric = Identification({"ann", "bob"})
    assert metric.compute() == {}
    metric.update([{"label": n} for n in ("ann", "ann", "bob")], [{"label": n} for n in ("ann", "bob", "eve")])
    assert metric.compute() == {"accuracy": 0.5}


# the task


def test_people_of_another_split_may_be_strangers_and_keep_their_names():
    task = fitted("face_recognition", [face(name) for name in ("ann", "bob", "ann")])
    samples = [face(name) for name in ("eve", "ann", "zoe")]
    task.pieces(Memory(samples), "test")
    batch = task.collate(task.encode_many(samples))
    assert batch.count == 1
    assert [truth["label"] for truth in task.truth(batch)] == ["eve", "ann", "zoe"]


def test_people_are_kept_whole_by_group(tmp_path):
    for i in range(40):
        picture(tmp_path / "faces" / f"p{i % 8}" / f"{i}.png", i)
    values = {"data": {"name": "image_folder", "path": str(tmp_path / "faces"), "group": "label", "test": 10}}
    splits = {}
    for task in ("face_recognition", "image_classification"):
        config = configs.from_dict({"task": task, "model": "resnet", **values})
        made = build.build_task(config), build.build_dataset(config)
        if task == "image_classification":
            with pytest.raises(DataError, match="but not in train"):
                build.build_splits(made[1], made[0], config.split)
        else:
            splits = build.build_splits(made[1], made[0], config.split)
    people = [set(split.column("label")) for split in splits.values()]
    assert [len(split) for split in people] == [5, 1, 2] and len(set.union(*people)) == 8


@pytest.mark.parametrize(("people", "says"), [("aaa", "only the person 'a': two people or more"), ("", "nobody")])
def test_one_person_is_refused(people, says):
    with pytest.raises(DataError, match=says):
        FaceRecognition().fit(Memory([face(name) for name in people]))


def test_each_loss_has_the_margin_of_its_paper():
    assert (FaceRecognition().margin, FaceRecognition(loss="cosface").margin) == (0.5, 0.35)
    assert FaceRecognition(margin=0.0).margin == 0


@torch.inference_mode()
def test_mirror_gives_a_picture_and_its_mirror_image_one_embedding_the_mean_direction_of_both(known):
    plain, network, _ = known
    mirror = fitted("face_recognition", [face(name) for name in ("ann", "bob", "ann")], embedding=16, mirror=True)
    mirror.load_state_dict(plain.state_dict())
    picture = face("ann")
    pair = [picture, picture | {"image": picture["image"].flip(-1)}]
    one, other = plain.answer(network, plain.collate(plain.encode_many(pair)))
    both, again = mirror.answer(network, mirror.collate(mirror.encode_many(pair)))
    assert (one["embedding"] - other["embedding"]).abs().max() > 1e-3
    middle = F.normalize(one["embedding"] + other["embedding"], dim=0)
    torch.testing.assert_close(both["embedding"], middle)
    torch.testing.assert_close(again["embedding"], middle)
    classes = F.normalize(network.head.classes)
    assert both["score"] == pytest.approx(float((classes @ middle).max()), abs=1e-5)


def test_mirror_changes_no_training(known):
    plain, network, _ = known
    samples = [face(name) for name in ("ann", "bob", "ann")]
    found = []
    for mirror in (False, True):
        task = fitted("face_recognition", samples, embedding=16, mirror=mirror, augment="tilt_flip")
        batch = task.collate(task.encode_many(samples))
        assert len(batch.inputs["x"]) == (6 if mirror else 3) and batch.count == 3
        batch = task.augment(batch, torch.Generator().manual_seed(0))
        with torch.inference_mode():
            found.append((batch.inputs["x"], task.loss(network(**batch.inputs), batch)))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


# lists of pairs

PAIRS = "2\t1\nann\t1\t2\nann\t1\tbob\t1\nbob\t1\t2\nbob\t2\teve\t3\n"


def test_a_list_of_pairs_is_read_as_the_wild_ones_are(tmp_path):
    pairs = read_pairs(write(tmp_path / "pairs.txt", PAIRS))
    assert pairs.pictures == [("ann", 1), ("ann", 2), ("bob", 1), ("bob", 2), ("eve", 3)]
    assert (pairs.one.tolist(), pairs.other.tolist(), pairs.fold.tolist()) == ([0, 0, 2, 3], [1, 2, 3, 4], [0, 0, 1, 1])
    one_fold = read_pairs(write(tmp_path / "dev.txt", "2\n" + PAIRS.partition("\n")[2].replace("\t", "  ")))
    assert one_fold.fold is None and one_fold.pictures == pairs.pictures


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "pairs.txt:1: the first line must say how many folds"),
        ("ann 1 2\n", "pairs.txt:1: the first line must say how many folds"),
        ("1 1\nann 1 2\n", "pairs.txt: 1 pairs, and its first line promises 2"),
        ("1\nann 1 2\nann 1 bob\n", "pairs.txt:3: 'ann 1 bob' is no pair"),
        ("1\nann 1 2\nann 1 eve x\n", "pairs.txt:3: 'ann 1 eve x' is no pair"),
        ("1\nann 1 2\nann 1 zoe 1\n", "pairs.txt:3: picture 1 of zoe is not in the split that is scored"),
    ],
)
def test_a_bad_line_of_pairs_is_named(text, says, tmp_path):
    path = write(tmp_path / "pairs.txt", text)
    with pytest.raises(DataError, match=says):
        read_pairs(path).places(["ann/ann_0001.jpg", "ann/ann_0002.jpg"], ["ann", "ann"])


def test_the_pairs_of_a_list_are_what_the_test_split_is_scored_on(tmp_path):
    for number, name in enumerate(["ann", "ann", "bob", "bob", "eve", "eve", "eve"]):
        for split in ("train", "test"):
            picture(tmp_path / "lfw" / split / name / f"{name}_{number % 4 + 1:04}.png", 30 * number, (12, 12))
    pairs = "2 1\nann 1 2\nann 1 bob 3\nbob 3 4\nbob 4 eve 1\n"
    values = {
        "task": {"name": "face_recognition", "pairs": write(tmp_path / "pairs.txt", pairs)},
        "data": {"name": "image_folder", "path": str(tmp_path / "lfw"), "mode": "grey", "hold_out": 0},
        "model": {"name": "resnet", "depth": 10, "width": 4},
    }
    built = built_from(configs.from_dict(values), Runtime())
    (batch,) = batches(built.task, built.pieces["test"], 10)
    assert [truth["place"] for truth in built.task.truth(batch)] == list(range(5))
    scores = loop.evaluate(built.network, built.task, [batch], built.runtime)
    assert len(scores.states[1].pairs()[0]) == 4 and math.isfinite(scores.metrics["eer"])
    (batch,) = batches(built.task, built.pieces["train"], 10)
    assert len(loop.evaluate(built.network, built.task, [batch], built.runtime).states[1].pairs()[0]) == 21


# predict


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A task and an untrained network that know two people, and a gallery of three others with two pictures each."""
    folder = tmp_path_factory.mktemp("faces")
    task = fitted("face_recognition", [face(name) for name in ("ann", "bob", "ann")], embedding=16)
    config = configs.from_dict({"task": "face_recognition", "data": "digits", "model": "resnet"})
    torch.manual_seed(0)
    network = build.build_network(config, task).eval()
    for name in ("eve", "kim", "zoe"):
        for i in range(2):
            (folder / "people" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(face(name)["image"][0].numpy()).save(folder / "people" / name / f"{i}.png")
    return task, network, folder


@torch.inference_mode()
def ask(known, *files, **options):
    task, network, _ = known
    task.gallery = None
    examples = task.encode_many([sample for file in files for sample in task.read(file)])
    return task.answer(network, task.collate(examples), **options)


def test_a_picture_is_nearest_to_itself_in_a_gallery(known):
    file = known[2] / "people" / "kim" / "1.png"
    (answer,) = ask(known, file, gallery=str(known[2] / "people"))
    assert (answer["label"], answer["nearest"]) == ("kim", str(file))
    assert answer["score"] == pytest.approx(1, abs=1e-5)


def test_two_pictures_are_compared_by_a_gallery_of_one(known):
    one, other = known[2] / "people" / "eve" / "0.png", known[2] / "people" / "zoe" / "0.png"
    (answer,) = ask(known, one, gallery=str(other))
    (back,) = ask(known, other, gallery=str(one))
    assert (answer["label"], answer["nearest"]) == ("0", str(other))
    assert answer["score"] == pytest.approx(back["score"], abs=1e-5)
    (answer,) = ask(known, one, gallery=str(other), threshold=answer["score"] + 0.01)
    assert (answer["label"], answer["nearest"]) == ("unknown", str(other))


def test_the_threshold_is_that_of_the_validation_split_unless_one_is_given(known):
    file = known[2] / "people" / "eve" / "0.png"
    known[0].scored({"threshold": 1.01, "eer": 0.1})
    try:
        assert ask(known, file)[0]["label"] == "unknown"
        (answer,) = ask(known, file, threshold=-1.0)
        assert answer["label"] == answer["nearest"] in ("ann", "bob")
    finally:
        known[0].scored({"threshold": None})
    assert ask(known, file)[0]["label"] in ("ann", "bob")


def test_a_black_picture_has_an_embedding(known, tmp_path):
    (answer,) = ask(known, picture(tmp_path / "black.png", 0, (10, 12)), gallery=str(known[2] / "people"))
    assert answer["embedding"].isfinite().all() and math.isfinite(answer["score"])


@pytest.mark.parametrize("where", ["none", "empty", "text.png"])
def test_a_gallery_without_pictures_is_named(known, where, tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "text.png", "no picture")
    with pytest.raises(DataError, match=where):
        ask(known, known[2] / "people" / "eve" / "0.png", gallery=str(tmp_path / where))


def test_a_gallery_is_mirrored_as_what_is_compared_with_it(known):
    task, network, folder = known
    mirror = fitted("face_recognition", [face(name) for name in ("ann", "bob", "ann")], embedding=16, mirror=True)
    mirror.load_state_dict(task.state_dict())
    file = folder / "people" / "kim" / "1.png"
    (answer,) = ask((mirror, network, folder), file, gallery=str(folder / "people"))
    assert (answer["label"], answer["nearest"]) == ("kim", str(file))
    assert answer["score"] == pytest.approx(1, abs=1e-5)


def test_what_is_drawn_is_the_picture_beside_its_nearest(known):
    file = known[2] / "people" / "eve" / "0.png"
    (answer,) = ask(known, file, gallery=str(known[2] / "people"))
    drawn = known[0].draw({"image": torch.zeros(1, 12, 10, dtype=torch.uint8)}, answer)["match"]
    assert drawn.dtype == torch.uint8 and drawn.shape == (1, 12, 24)
    assert (drawn[0, :, :10] == 0).all() and (drawn[0, :, 10:14] == 255).all()
    (sample,) = known[0].read(file)
    assert torch.equal(drawn[:, :, 14:], sample["image"])


def test_options_of_predict_are_typed():
    found = predict.convert(FaceRecognition, {"--gallery": "people", "--threshold": "0.4"})
    assert found == {"gallery": "people", "threshold": 0.4}


def test_a_saved_model_knows_the_threshold(known, tmp_path):
    config = configs.from_dict(
        {"task": {"name": "face_recognition", "embedding": 16}, "data": "digits", "model": "resnet"}
    )
    portable.save(tmp_path / "model", known[1], known[0], config, metrics={"threshold": 0.25})
    assert portable.load(tmp_path).task.threshold == 0.25
