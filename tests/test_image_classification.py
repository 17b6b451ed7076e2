"""Pictures: their size, their colours, their classes, and what is refused."""

import pytest
import torch
from memory import fitted
from PIL import Image

from dlzoo.errors import ConfigError, DataError
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
    torch.testing.assert_close(task.weight, torch.tensor([4 / 6, 2.0]))


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_gamma_is_of_the_focal_loss_alone(loss):
    assert ImageClassification(loss="focal", gamma=3.0).gamma == 3.0
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
