"""Segmentation: masks of every kind, pictures of every size, scores like scikit-learn's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made import digit_masks, picture, write
from PIL import Image
from torch.nn import functional as F

from dlzoo import losses
from dlzoo.data.mask_folder import MaskFolder
from dlzoo.errors import ConfigError, DataError, UserError
from dlzoo.features import Features
from dlzoo.heads.pixels import Pixels
from dlzoo.metrics.segmentation import Segmentation
from dlzoo.models.resnet import ResNet
from dlzoo.models.torchvision_segmentation import TorchvisionSegmentation
from dlzoo.models.unet import UNet
from dlzoo.run.evaluate import evaluate
from dlzoo.run.predict import predict
from dlzoo.run.train import train
from dlzoo.schema import reader
from dlzoo.task import columns
from dlzoo.tasks.segmentation import SegmentationTask
from dlzoo.transforms.masks import VOID, MaskClasses, palette, read_mask, scaled
from dlzoo.transforms.pictures import Pictures
from dlzoo.transforms.tiles import by_tiles, mirrored, spans
from dlzoo.transforms.warp import warp

CAMVID = Path(__file__).resolve().parent.parent / "data" / "camvid"


def mask(path: Path, pixels, mode=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(pixels, np.uint8))
    (image if mode is None else image.convert(mode)).save(path)
    return path


def fitted(data, split="train", **arguments) -> SegmentationTask:
    task = SegmentationTask(**arguments)
    from dlzoo.data.dataset import Subset

    task.fit(Subset(data, data.splits()[split]))
    return task


def test_index_palette_and_binary_masks_are_read_as_their_numbers(tmp_path):
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4)
    indexed = Image.fromarray(numbers).convert("P")
    indexed.putpalette(palette(256).flatten().tolist())
    indexed.save(tmp_path / "palette.png")
    Image.fromarray(numbers).save(tmp_path / "grey.png")
    Image.fromarray(numbers > 5).save(tmp_path / "binary.png")
    Image.fromarray(numbers.astype(np.uint16)).save(tmp_path / "deep.png")
    for name in ("grey", "deep"):
        assert read_mask(tmp_path / f"{name}.png").equal(torch.from_numpy(numbers)[None])
    with Image.open(tmp_path / "palette.png") as image:
        assert read_mask(tmp_path / "palette.png").equal(torch.from_numpy(np.array(image))[None])
    assert read_mask(tmp_path / "binary.png").equal(torch.from_numpy(numbers > 5)[None].to(torch.uint8))


def test_what_is_no_mask_is_named_with_its_file(tmp_path):
    Image.fromarray(np.full((2, 2), 300, np.uint16)).save(tmp_path / "objects.png")
    with pytest.raises(DataError, match="objects.png.*300 to 300"):
        read_mask(tmp_path / "objects.png")
    with pytest.raises(DataError, match="text.png: no mask"):
        read_mask(Path(write(tmp_path / "text.png", "hello")))


@pytest.mark.parametrize(
    "layout", ["{split}/images/{file} {split}/masks/{file}", "images/{split}/{file} masks/{split}/{file}"]
)
def test_both_orders_of_folders_give_the_same_splits(tmp_path, layout):
    names = {"train": ["a", "b"], "val": ["c"], "test": ["d", "e"]}
    for split, files in names.items():
        for file in files:
            image, truth = layout.format(split=split, file=file).split()
            picture(tmp_path / f"{image}.jpg")
            mask(tmp_path / f"{truth}.png", [[0, 1]])
    data = MaskFolder(str(tmp_path))
    assert {split: len(rows) for split, rows in data.splits().items()} == {"train": 2, "validation": 1, "test": 2}
    assert [Path(data.source(i)).stem for i in range(5)] == list("abcde")


def test_masks_are_found_by_the_ending_of_their_names(tmp_path):
    picture(tmp_path / "photos" / "x" / "one.jpg", size=(2, 1))
    mask(tmp_path / "truth" / "x" / "one_mask.png", [[0, 7]])
    data = MaskFolder(str(tmp_path), images="photos", masks="truth", ending="_mask")
    assert data[0]["mask"].tolist() == [[[0, 7]]]
    with pytest.raises(DataError, match=r"1 pictures have no mask NAME\.\* in .*one.jpg"):
        MaskFolder(str(tmp_path), images="photos", masks="truth")
    with pytest.raises(DataError, match="Wanted: images/FILE and masks/FILE"):
        MaskFolder(str(tmp_path))


def test_a_mask_of_another_size_is_named_with_its_picture(tmp_path):
    picture(tmp_path / "images" / "one.jpg", size=(3, 2))
    mask(tmp_path / "masks" / "one.png", [[0, 1]])
    with pytest.raises(DataError, match=r"one.jpg is 3 x 2, and its mask .*one.png 2 x 1"):
        MaskFolder(str(tmp_path))[0]


def test_a_value_that_is_no_class_is_named_with_its_place(tmp_path):
    classes = MaskClasses.named({"road": 3, "car": 9}, [255])
    with pytest.raises(DataError, match="x.png: the mask has 4 at column 1, row 0, which is no class; .*task.void"):
        classes.numbers(torch.tensor([[[3, 4, 9]]], dtype=torch.uint8), "x.png: ")
    assert classes.numbers(torch.tensor([[[3, 9, 255]]], dtype=torch.uint8)).tolist() == [[0, 1, VOID]]


def test_colours_are_classes_once_they_are_named():
    classes = MaskClasses.named({"sky": [128, 128, 128], "road": [128, 64, 128]}, [[0, 0, 0]])
    pixels = torch.tensor([[[128, 128, 0]], [[128, 64, 0]], [[128, 128, 0]]], dtype=torch.uint8)
    assert classes.numbers(pixels).tolist() == [[0, 1, VOID]]
    with pytest.raises(DataError, match="the mask's pixels are numbers, the classes are colours"):
        classes.numbers(pixels[:1])


@pytest.mark.parametrize("void", [[0, 0, 0], [[0, 0, 0]], [[0, 0, 0], [9, 9, 9]]])
def test_a_colour_or_several_may_count_for_nothing(void):
    task = SegmentationTask(classes={"sky": [128, 128, 128], "road": [128, 64, 128]}, void=void)
    assert task.named.numbers(torch.zeros(3, 1, 1, dtype=torch.uint8)).tolist() == [[VOID]]
    assert SegmentationTask(classes={"sky": 3, "road": 4}, void=[0, 9]).named.void == [0, 9]


def test_pictures_are_normalised_on_the_device_where_they_are():
    pictures = Pictures(3, 4, 4, [0.5] * 3, [0.2] * 3)
    bytes_ = torch.empty(2, 3, 4, 4, dtype=torch.uint8, device="meta")
    assert pictures.normalized(bytes_).device.type == pictures.bytes(pictures.normalized(bytes_)).device.type == "meta"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ["one"]}, "two classes or more"),
        ({"classes": {"a": 1, "b": 1}}, "stands there twice"),
        ({"classes": {"a": 1, "b": 300}}, "neither a number of 0 to 255"),
        ({"classes": {"a": 1, "b": [1, 2, 3]}}, "some values are numbers and some colours"),
        ({"size": 64, "crop": 32}, "leave out task.size"),
        ({"gamma": 1.0}, "task.gamma"),
        ({"loss": "dice", "balance": True}, "task.balance"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        SegmentationTask(**arguments)


def test_masks_saved_as_jpeg_are_not_taken_for_hundreds_of_classes(tmp_path):
    for i in range(3):
        picture(tmp_path / "images" / f"{i}.jpg", size=(64, 64))
        noise = np.random.default_rng(i).integers(0, 255, (64, 64), np.uint8)
        mask(tmp_path / "masks" / f"{i}.jpg", noise)
    with pytest.raises(DataError, match="different values; are they pictures, or saved as JPEG"):
        fitted(MaskFolder(str(tmp_path)))


def test_scores_are_those_of_scikit_learn():
    from sklearn.metrics import accuracy_score, f1_score, jaccard_score

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (5, 16, 16)).astype(np.uint8)
    answer = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 4, truth.shape)).astype(np.uint8)
    truth[:, :2] = VOID
    metric = Segmentation(["a", "b", "c", "d"])
    metric.update_masks(torch.from_numpy(answer[:3]), torch.from_numpy(truth[:3]))
    other = Segmentation(metric.classes)
    other.update_masks(torch.from_numpy(answer[3:]), torch.from_numpy(truth[3:]))
    metric.merge(other.state_dict())
    found, there = metric.compute(), truth != VOID
    y, p = truth[there], answer[there]
    assert found["miou"] == pytest.approx(jaccard_score(y, p, average="macro"))
    assert found["dice"] == pytest.approx(f1_score(y, p, average="macro"))
    assert found["accuracy"] == pytest.approx(accuracy_score(y, p))
    assert [found[f"iou.{name}"] for name in "abcd"] == pytest.approx(jaccard_score(y, p, average=None))
    each = [f1_score(t[m], a[m], average=None)[1:].mean() for t, a, m in zip(truth, answer, there, strict=True)]
    assert found["picture_dice"] == pytest.approx(np.mean(each))
    low, high = metric.intervals()["miou"] if len(truth) >= 8 else (0, 1)
    assert low <= found["miou"] <= high


def test_pixels_that_are_ignored_change_neither_loss_nor_gradient():
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 6, 6))
    there = torch.rand(2, 6, 6) < 0.7
    for kind in ("cross_entropy_dice", "cross_entropy", "dice", "focal"):
        results = []
        for shift in (0.0, 50.0):
            scores = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))
            scores = torch.where(there[:, None], scores, scores + shift).requires_grad_()
            loss = losses.segmentation(scores, torch.where(there, labels, VOID), kind, mask=there)
            loss.backward()
            results.append((loss.detach(), torch.where(there[:, None], scores.grad, 0), scores.grad))
        assert torch.equal(results[0][0], results[1][0])
        torch.testing.assert_close(results[0][1], results[1][1])
        assert not results[1][2][~there[:, None].expand_as(scores)].any()


def test_cross_entropy_of_a_picture_is_torchs_mean_over_the_pixels_that_count():
    torch.manual_seed(0)
    scores, labels = torch.randn(1, 3, 5, 5), torch.randint(0, 3, (1, 5, 5))
    labels[0, 0] = VOID
    ours = losses.segmentation(scores, labels, "cross_entropy", mask=labels != VOID)
    torch.testing.assert_close(ours, F.cross_entropy(scores, labels, ignore_index=VOID))


def test_a_perfect_mask_has_no_dice_loss_and_a_wrong_one_has_one():
    labels = torch.tensor([[[0, 0, 1, 1]]])
    perfect = 50.0 * F.one_hot(labels, 3).movedim(-1, 1)
    assert losses.dice(perfect, labels, labels < 9) < 1e-6
    assert losses.dice(-perfect + 50, labels, labels < 9) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", [(40, 40), (17, 90), (64, 33), (5, 3), (1, 1), (1, 70)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_tiles_answer_every_place_once(shape, overlap):
    image = torch.randint(0, 200, (1, *shape), dtype=torch.uint8)
    assert by_tiles(image, 32, overlap, lambda tiles: tiles[:, 0]).equal(image[0])
    for side in shape:
        found = spans(max(side, 32), 32, overlap)
        assert all(a.stop == b.first for a, b in zip(found, found[1:], strict=False))
        assert all(0 <= s.first - s.start and s.stop - s.start <= 32 for s in found)
        assert all(a.start + 32 - b.start >= 32 * overlap - 1 for a, b in zip(found, found[1:], strict=False))


def test_what_lies_beyond_a_picture_is_its_mirror_image():
    image = torch.arange(6, dtype=torch.uint8).view(1, 2, 3)
    assert mirrored(image, 3, 6)[0].tolist() == [[0, 1, 2, 1, 0, 1], [3, 4, 5, 4, 3, 4], [0, 1, 2, 1, 0, 1]]


@pytest.mark.parametrize("kind", ["flip", "zoom_flip", "zoom_turn"])
def test_a_mask_moves_with_its_picture(kind):
    truth = torch.from_numpy(np.kron(np.random.default_rng(0).integers(0, 2, (64, 4, 4)), np.ones((16, 16)))).byte()
    x = truth[:, None].float()
    moved, labels = warp(x, truth, kind, torch.Generator().manual_seed(3))
    assert ((moved[:, 0] > 0.5) == labels.bool()).float().mean() > 0.97
    assert not torch.equal(labels, truth)
    again = warp(x, truth, kind, torch.Generator().manual_seed(3))
    assert torch.equal(again[0], moved) and torch.equal(again[1], labels)
    if kind == "flip":
        flipped = (labels == truth.flip(2)).flatten(1).all(1)
        assert 16 < flipped.sum() < 48 and torch.equal(labels[~flipped], truth[~flipped])


@pytest.mark.parametrize("size", [(64, 64), (45, 61), (16, 100)])
def test_a_unet_answers_at_every_pixel_whatever_the_size(size):
    model = UNet(2, width=4, depth=4).eval()
    x = torch.randn(2, 2, *size)
    assert model(x).shape == (2, 4, *size)
    assert Pixels(model.features, 5)(model(x), x).shape == (2, 5, *size)
    pyramid = ResNet(2, depth=10, width=4, stem="half", out="pyramid").eval()
    assert Pixels(pyramid.features, 5, 4)(pyramid(x), x).shape == (2, 5, *size)


def test_a_map_is_scaled_like_torchvision_scales_its_scores():
    torch.manual_seed(0)
    head, y, x = Pixels(Features("map", 3, 8), 2), torch.randn(1, 3, 4, 6), torch.zeros(1, 3, 32, 48)
    torch.testing.assert_close(head(y, x), F.interpolate(head.conv(y), (32, 48), mode="bilinear", align_corners=False))


@pytest.mark.parametrize("arch", ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"])
def test_networks_of_torchvision_take_their_published_weights(arch):
    from torchvision.models import get_model

    torch.manual_seed(0)
    theirs = get_model(arch, weights=None, weights_backbone=None, num_classes=21).eval()
    ours = TorchvisionSegmentation(3, arch).eval()
    ours.load_state_dict(ours.adapt(theirs.state_dict()))
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = ours(x)
        assert features.shape[2:] == (64 // ours.features.stride, 96 // ours.features.stride)
        if arch.startswith("deeplab"):
            scores = F.interpolate(theirs.classifier[-1](features), x.shape[2:], mode="bilinear", align_corners=False)
            torch.testing.assert_close(scores, theirs(x)["out"])
        assert TorchvisionSegmentation(1, arch).eval()(x[:, :1]).shape == features.shape


def mixed(folder: Path) -> MaskFolder:
    """Digits and their masks, pasted into pictures of different sizes."""
    source = MaskFolder(digit_masks(), mode="grey")
    for i in range(24):
        sample, (height, width) = source[i], (20 + i % 5, 40 - i % 7)
        image, truth = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
        image[2:18, i : i + 16][:, : width - i] = sample["image"][0].numpy()[:, : max(0, min(16, width - i))]
        truth[2:18, i : i + 16][:, : width - i] = sample["mask"][0].numpy()[:, : max(0, min(16, width - i))]
        mask(folder / "images" / f"{i:02}.png", image)
        mask(folder / "masks" / f"{i:02}.png", truth)
    return MaskFolder(str(folder), mode="grey")


def test_training_sees_crops_and_answers_have_the_size_of_the_picture(tmp_path):
    from random import Random

    data = mixed(tmp_path)
    task = fitted(data, crop=16)
    assert task.draws and task.generates and task.facts()["image_size"] == 16
    one, again, other = (task.encode(data[0], Random(seed)) for seed in (1, 1, 2))
    assert one["image"].shape == (1, 16, 16) and one["mask"].shape == (16, 16)
    assert torch.equal(one["image"], again["image"]) and not torch.equal(one["image"], other["image"])
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1))

    class Net(torch.nn.Module):
        def forward(self, x):
            return network(x)

    examples = [task.encode(data[i]) for i in range(5)]
    together = task.answer(Net(), task.collate(columns(examples, task.ragged)))
    for i, answer in enumerate(together):
        assert answer["mask"].shape == data[i]["image"].shape[1:]
        (alone,) = task.answer(Net(), task.collate(columns([examples[i]], task.ragged)))
        assert torch.equal(alone["mask"], answer["mask"])
    with pytest.raises(UserError, match="--overlap"):
        task.answer(Net(), task.collate(columns(examples, task.ragged)), overlap=1.0)


def test_pictures_of_several_sizes_are_trained_scored_and_drawn(tmp_path):
    mixed(tmp_path / "data")
    config = {
        "task": {
            "name": "segmentation",
            "crop": 16,
            "classes": ["paper", "ink"],
            "augment": "zoom_turn",
            "jitter": 0.1,
        },
        "data": {"name": "mask_folder", "path": str(tmp_path / "data"), "mode": "grey", "test": 4},
        "model": {"name": "unet", "width": 8, "depth": 2},
        "train": {"epochs": 12, "batch_size": 4},
    }
    run = train(reader.from_dict(config), root=tmp_path / "runs", quiet=True).run
    assert evaluate(run, json=True)["metrics"]["iou.ink"] > 0.4
    inputs = [str(tmp_path / "data" / "images" / f"{i:02}.png") for i in range(3)]
    assert predict(run, inputs, output=tmp_path / "out") == 0
    for i, name in enumerate(inputs):
        written = read_mask(tmp_path / "out" / f"{i:02}.mask.png")
        with Image.open(name) as image, Image.open(tmp_path / "out" / f"{i:02}.overlay.png") as overlay:
            assert (written.shape[2], written.shape[1]) == image.size == overlay.size
        assert set(written.unique().tolist()) <= {0, 1}


@pytest.mark.skipif(not CAMVID.exists(), reason="CamVid is not here")
def test_the_classes_of_camvid_are_counted_without_what_is_ignored():
    data = MaskFolder(str(CAMVID))
    task = fitted(data, "validation", void=11)
    assert task.classes.names == [str(number) for number in range(11)] and not task.tiled
    assert (task.pictures.height, task.pictures.width) == (180, 240)
    example = task.encode(data[0])
    assert example["image"].shape == (3, 180, 240) and set(example["mask"].unique().tolist()) <= {*range(11), VOID}
    half = fitted(data, "validation", void=11, size=90)
    assert half.encode(data[0])["mask"].shape == (90, 120)
    assert torch.equal(half.encode(data[0])["mask"], scaled(example["mask"], 90, 120))
