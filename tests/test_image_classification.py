"""Pictures: their size, their colours, their classes, and what is refused."""

import json

import pytest
import torch
from memory import fitted
from PIL import Image
from trained import train

from dlzoo.errors import ConfigError, DataError
from dlzoo.features import Features
from dlzoo.heads.pooled import Pooled
from dlzoo.report.heat import grad_cam, laid_over
from dlzoo.run.evaluate import evaluate
from dlzoo.run.predict import predict
from dlzoo.tasks.image_classification import ImageClassification
from dlzoo.transforms.pictures import resize

NOISE = torch.Generator().manual_seed(0)


def picture(label, height=8, width=8, channels=3):
    image = torch.randint(256, (channels, height, width), generator=NOISE).to(torch.uint8)
    return {"image": image, "label": label, "source": f"{label}.png"}


def test_pictures_of_one_size_keep_it():
    task = fitted("image_classification", [picture("a"), picture("b")])
    assert task.facts() == {"in_channels": 3, "image_size": 8, "in_features": 192}
    task = fitted("image_classification", [picture("a", 6, 9), picture("b", 6, 9)])
    assert task.facts() == {"in_channels": 3, "in_features": 3 * 6 * 9}


def test_pictures_of_several_sizes_are_made_224_or_what_is_asked_for():
    samples = [picture("a", 10, 20), picture("b", 30, 12)]
    assert fitted("image_classification", samples).facts()["image_size"] == 224
    task = fitted("image_classification", samples, size=7)
    assert all(task.encode(sample)["image"].shape == (3, 7, 7) for sample in samples)


def test_resizing_keeps_the_shape_of_things_and_cuts_both_sides():
    image = torch.zeros(1, 20, 60, dtype=torch.uint8)
    image[:, :, 25:35] = 255  # a bar in the middle, half as wide as the picture is high
    small = resize(image, 10, 10)
    assert small.shape == (1, 10, 10) and small.dtype == torch.uint8
    assert small[0, 5, 5] == 255 and small[0, 5, 0] == 0 == small[0, 5, 9]
    assert resize(image, 20, 60) is image


def test_resizing_is_torchvisions():
    from torchvision.transforms import v2

    for height, width in ((37, 50), (12, 9)):
        image = picture("a", height, width)["image"]
        theirs = v2.functional.center_crop(v2.functional.resize(image, [16], antialias=True), [16, 16])
        assert (resize(image, 16, 16).int() - theirs.int()).abs().max() <= 1


def test_the_batch_has_the_mean_and_spread_of_the_training_split():
    samples = [picture(label) for label in "ab" * 10]
    task = fitted("image_classification", samples)
    x = task.collate(task.encode_many(samples)).inputs["x"]
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)
    plain = fitted("image_classification", samples, normalize="none")
    x = plain.collate(plain.encode_many(samples)).inputs["x"]
    torch.testing.assert_close(x[0], samples[0]["image"] / 255)


def test_an_unknown_class_is_named_with_its_file():
    task = fitted("image_classification", [picture("cat"), picture("dog")])
    with pytest.raises(DataError, match=r"dgo.png: class 'dgo' does not occur.*Did you mean 'dog'"):
        task.encode(picture("dgo"))


def test_a_picture_with_other_channels_is_refused():
    task = fitted("image_classification", [picture("cat"), picture("dog")])
    with pytest.raises(DataError, match=r"cat.png: the picture has 1 channels"):
        task.encode(picture("cat", channels=1))


@pytest.mark.parametrize("labels", ["a", "aaa"])
def test_one_class_is_refused(labels):
    with pytest.raises(DataError, match="only the class 'a': two classes or more"):
        fitted("image_classification", [picture(label) for label in labels])


def test_balance_weighs_a_rare_class_more():
    task = fitted("image_classification", [picture("a"), picture("a"), picture("a"), picture("b")], balance=True)
    torch.testing.assert_close(task.labels.weight, torch.tensor([4 / 6, 2.0]))


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_gamma_is_of_the_focal_loss_alone(loss):
    assert ImageClassification(loss="focal", gamma=3.0).labels.gamma == 3.0
    with pytest.raises(ConfigError, match=f"task.gamma: loss: {loss} has none"):
        ImageClassification(loss=loss, gamma=3.0)


def test_a_grey_task_reads_a_colour_file_as_grey(tmp_path):
    task = fitted("image_classification", [picture("a", channels=1), picture("b", channels=1)])
    Image.new("RGB", (8, 8), (255, 255, 255)).save(tmp_path / "white.png")
    (sample,) = task.read(tmp_path / "white.png")
    assert sample["image"].shape == (1, 8, 8) and (sample["image"] == 255).all()
    (by_name,) = task.read(str(tmp_path / "white.png"))
    assert torch.equal(by_name["image"], sample["image"])
    with pytest.raises(DataError):
        list(task.read(tmp_path / "missing.png"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    digits = "{task: image_classification, data: digits, model: {name: resnet, depth: 10, width: 8}}"
    train(folder / "runs" / "resnet", digits, steps=30)
    train(folder / "runs" / "lenet", "digits", steps=1)
    from sklearn.datasets import load_digits

    for i, pixels in enumerate(load_digits().images[:6]):
        image = Image.fromarray((pixels * 255 / 16).round().astype("uint8"))
        image.save(folder / f"{i}.png")
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / f"flipped{i}.png")
    return folder


@pytest.fixture
def here(runs, monkeypatch):
    monkeypatch.chdir(runs)
    return runs


def answers(here, run, inputs, **options):
    assert predict(run, inputs, output=here / "answers.jsonl", options=options) == 0
    return [json.loads(line) for line in (here / "answers.jsonl").read_text().splitlines()]


def test_answers_of_both_flips_are_the_means_of_their_probabilities(here):
    names = [f"{i}.png" for i in range(6)]
    plain, flipped = answers(here, "resnet", names), answers(here, "resnet", [f"flipped{name}" for name in names])
    for one, other, both in zip(plain, flipped, answers(here, "resnet", names, flip="true"), strict=True):
        means = {name: (one["scores"][name] + other["scores"][name]) / 2 for name in one["scores"]}
        assert both["scores"] == pytest.approx(means, abs=1e-6)
        assert both["label"] == max(means, key=means.get)


def test_evaluation_with_both_flips_scores_those_answers(here, capsys):
    plain, both = evaluate("resnet")["metrics"], evaluate("resnet", options={"flip": "true"})
    assert both["options"] == {"flip": True} and both["metrics"]["auroc"] != plain["auroc"]
    rows = [
        json.loads(line) for line in (here / "runs/resnet/evaluate/test/predictions.jsonl").read_text().splitlines()
    ]
    right = sum(row["label"] == row["truth"]["label"] for row in rows) / len(rows)
    assert right == both["metrics"]["accuracy"]


def test_grad_cam_of_a_mean_and_a_linear_layer_is_their_class_activation_map():
    torch.manual_seed(0)
    features, chosen, head = torch.randn(4, 6, 3, 5), torch.tensor([0, 2, 1, 1]), Pooled(Features("map", 6), 3)
    with torch.inference_mode():
        heat = grad_cam(features, head, chosen)
    expected = torch.einsum("bd,bdhw->bhw", head.linear.weight[chosen], features).relu()  # Zhou et al., 2016
    torch.testing.assert_close(heat, (expected / expected.amax((1, 2), keepdim=True)).detach())
    assert head.linear.weight.grad is None


def test_a_heat_map_is_laid_over_the_picture_where_it_is_hot():
    heat = torch.zeros(2, 2)
    heat[0, 1] = 1
    drawn = laid_over(torch.full((1, 40, 60), 100, dtype=torch.uint8), heat)
    assert drawn.shape == (3, 240, 360) and drawn.dtype == torch.uint8
    red, _, blue = drawn.int()
    assert red[0, -1] > blue[0, -1] and red[-1, 0] < blue[-1, 0]


def test_pictures_of_what_the_model_looked_at_are_saved_beside_the_answers(here, tmp_path):
    assert predict("resnet", ["0.png", "1.png"], output=tmp_path / "out", options={"explain": "true"}) == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert [row["heat"] for row in rows] == ["0.heat.png", "1.heat.png"]
    with Image.open(tmp_path / "out" / "1.heat.png") as image:
        assert image.size == (224, 224) and image.mode == "RGB"
    predict("resnet", ["0.png"], output=tmp_path / "plain")
    assert not list((tmp_path / "plain").glob("*.png"))


@pytest.mark.parametrize(
    "command, said",
    [
        (["predict", "lenet", "0.png", "--explain", "true", "-o", "out"], "gives a vector"),
        (["predict", "resnet", "0.png", "--explain", "true"], "-o FOLDER"),
        (["evaluate", "resnet", "--explain", "true"], "is of predict"),
    ],
)
def test_an_explanation_that_cannot_be_had_is_refused(command, said, here, dlzoo):
    code, _, err = dlzoo(*command)
    assert code == 2 and said in err
