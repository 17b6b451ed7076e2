"""Changes to pictures: drawn from their generator alone, a batch at a time, and nothing but what they say."""

import pytest
import torch
from memory import fitted
from torch.nn import functional as F

from dlzoo.choices import Augment
from dlzoo.errors import ConfigError
from dlzoo.task import columns
from dlzoo.tasks.image_classification import ImageClassification
from dlzoo.transforms.augment import augment, rectangle, shift, tilt
from dlzoo.transforms.mix import mix
from dlzoo.transforms.pictures import Pictures
from dlzoo.transforms.randaugment import randaugment, seeded

KINDS = Augment.__args__


def pictures(B=32, size=16):
    return torch.rand(B, 3, size, size, generator=torch.Generator().manual_seed(0))


def draw(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_alone_decides(kind):
    x = pictures()
    kept = x.clone()
    state = torch.random.get_rng_state()
    first, again, other = (augment(x, kind, 0.5, draw(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(x, kept) and first.shape == x.shape
    assert torch.equal(torch.random.get_rng_state(), state)


def test_none_changes_nothing():
    x = pictures()
    assert augment(x, "none", 0.0, draw()) is x


def test_half_of_the_pictures_are_flipped_and_the_rest_left_alone():
    x = pictures(200)
    y = augment(x, "flip", 0.0, draw())
    same = (y == x).flatten(1).all(1)
    flipped = (y == x.flip(-1)).flatten(1).all(1)
    assert (same ^ flipped).all() and 70 < flipped.sum() < 130


def test_a_shift_moves_the_picture_and_mirrors_the_border():
    x = pictures(64)
    y = shift(x, 0.125, False, draw())
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    for one, moved in zip(padded, y, strict=True):
        crops = [one[:, i : i + 16, j : j + 16] for i in range(5) for j in range(5)]
        assert any(torch.equal(crop, moved) for crop in crops)


def test_pictures_that_are_not_square_keep_their_shape():
    x = pictures()[:, :, :, :10].contiguous()
    for kind in KINDS:
        assert augment(x, kind, 1.0, draw()).shape == x.shape


def ellipse(picture):
    """Area, the angle of the long axis from upright in degrees, and long by short, of what is bright in (H, W)."""
    y, x = torch.meshgrid(*(torch.arange(float(side)) for side in picture.shape), indexing="ij")
    places, area = torch.stack([x, y], -1), picture.sum()
    away = places - (places * picture[..., None]).sum((0, 1)) / area
    spread, axes = torch.linalg.eigh(torch.einsum("hwi,hwj,hw->ij", away, away, picture) / area)
    return area, torch.atan(axes[0, 1] / axes[1, 1]).rad2deg(), (spread[1] / spread[0]).sqrt()


def test_a_tilt_turns_and_scales_and_bends_nothing():
    y, x = torch.meshgrid(torch.arange(60.0) - 29.5, torch.arange(40.0) - 19.5, indexing="ij")
    upright = (((x / 5) ** 2 + (y / 15) ** 2) < 1).float()  # an ellipse in a picture that is not square
    found = [ellipse(one[0]) for one in tilt(upright.expand(100, 1, 60, 40), True, draw())]
    areas, angles, shapes = map(torch.stack, zip(*found, strict=True))
    assert angles.abs().max() < 16 and angles.min() < -12 and angles.max() > 12
    torch.testing.assert_close(shapes, ellipse(upright)[2].expand(100), rtol=0.06, atol=0)
    assert ((areas / upright.sum() - 1).abs() < 0.27).all() and areas.std() / areas.mean() > 0.05


def test_zoom_stays_within_the_values_of_the_picture():
    x = pictures()
    y = augment(x, "zoom_flip", 0.0, draw())
    assert y.min() >= x.min() and y.max() <= x.max() and not torch.equal(x, y)


def test_a_rectangle_is_erased_from_the_share_that_was_asked_for():
    x = pictures(400) + 1
    y = rectangle(x, 0.5, draw())
    gone = (y == 0).all(1)
    hit = gone.flatten(1).any(1)
    assert 150 < hit.sum() < 250
    area = gone[hit].flatten(1).float().mean(1)
    assert area.max() < 0.35 and area.min() > 0
    for mask in gone[hit][:20]:
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns[None])


def batch(**arguments):
    """A task with these arguments, and twelve pictures of three classes as a batch of it."""
    pixels = (pictures(12) * 255).to(torch.uint8)
    samples = [{"image": image, "label": "abc"[i % 3]} for i, image in enumerate(pixels)]
    task = fitted("image_classification", samples, **arguments)
    return task, task.collate(columns([task.encode(sample) for sample in samples]))


MIXES = [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)]


@pytest.mark.parametrize("mixup, cutmix", MIXES)
def test_mixing_is_decided_by_the_generator_alone(mixup, cutmix):
    x = pictures()
    kept, state = x.clone(), torch.random.get_rng_state()
    first, again, other = (mix(x, mixup, cutmix, draw(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1]) and first[2] == again[2]
    assert not torch.equal(first[0], other[0]) and first[2] != other[2]
    assert torch.equal(x, kept) and torch.equal(torch.random.get_rng_state(), state)


def test_mixup_blends_pictures_in_the_shares_of_their_labels():
    for seed in range(20):
        y, partner, own = mix(x := pictures(), 0.4, 0.0, draw(seed))
        assert 0 <= own <= 1 and sorted(partner.tolist()) == list(range(32))
        torch.testing.assert_close(y, own * x + (1 - own) * x[partner])


def test_cutmix_pastes_a_rectangle_whose_area_is_the_partners_share():
    shares = []
    for seed in range(40):
        x = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 2, 20, 30).contiguous()
        y, partner, own = mix(x, 0.0, 1.0, draw(seed))
        theirs = (y == partner.view(8, 1, 1, 1)) & (partner != torch.arange(8)).view(8, 1, 1, 1)
        assert torch.equal(torch.where(theirs, partner.view(8, 1, 1, 1).float(), x), y)
        i = int((partner != torch.arange(8)).nonzero()[0])
        hole = theirs[i, 0]
        assert torch.equal(hole, hole.any(1)[:, None] & hole.any(0)[None])
        assert hole.float().mean().item() == pytest.approx(1 - own)
        shares.append(own)
    assert min(shares) < 0.4 and max(shares) > 0.9


def test_the_share_of_mixup_has_the_spread_of_its_beta_distribution():
    shares = torch.tensor([mix(pictures(2, 4), 0.4, 0.0, draw(seed))[2] for seed in range(2000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)  # of Beta(a, a)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "binary_cross_entropy"])
@pytest.mark.parametrize("balance", [False, True])
def test_the_loss_of_a_mixed_batch_is_that_of_soft_targets(loss, balance):
    task, plain = batch(mixup=0.4, loss=loss, balance=balance)
    mixed, outputs = task.augment(plain, draw()), torch.randn(12, 3, generator=draw())
    own, label = mixed.targets["own"], mixed.targets["label"]
    one, other = F.one_hot(label, 3).float(), F.one_hot(label[mixed.targets["partner"]], 3).float()
    weight = task.labels.weight if balance else torch.ones(3)
    soft = own * one * weight[label, None] + (1 - own) * other * weight[label[mixed.targets["partner"]], None]
    if loss == "binary_cross_entropy":
        rest = own * (1 - one) * weight[label, None] + (1 - own) * (1 - other) * (other @ weight)[:, None]
        expected = -(soft * F.logsigmoid(outputs) + rest * F.logsigmoid(-outputs)).sum()
    else:
        logs = outputs.log_softmax(1)
        expected = -(soft * logs * ((1 - logs.exp()) ** 2 if loss == "focal" else 1)).sum()
    torch.testing.assert_close(task.loss(outputs, mixed), expected)
    assert mixed.count == plain.count == 12


def test_evaluation_and_a_task_that_does_not_ask_mix_nothing():
    task, plain = batch()
    assert torch.equal(task.augment(plain, draw()).inputs["x"], plain.inputs["x"])
    task, again = batch(mixup=0.4, cutmix=1.0, randaugment=2, augment="zoom_flip", erase=0.5)
    assert torch.equal(again.inputs["x"], plain.inputs["x"]) and again.targets.keys() == {"label"}


def test_randaugment_is_torchvisions_and_decided_by_our_generator():
    from torchvision.transforms.v2 import RandAugment

    images = (pictures(6) * 255).to(torch.uint8)
    state = torch.random.get_rng_state()
    first, again, other = (randaugment(images, 2, 9, draw(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other) and first.shape == images.shape
    assert torch.equal(torch.random.get_rng_state(), state)
    with seeded(draw(1)):
        theirs = RandAugment(2, 9)
        assert torch.equal(torch.stack([theirs(image) for image in images]), first)


def test_what_is_normalised_can_be_had_back_as_bytes():
    images = (pictures() * 255).to(torch.uint8)
    kind = Pictures.fit(list(images), None, "data")
    assert torch.equal(kind.bytes(kind.normalized(images)), images)


def test_a_magnitude_without_randaugment_is_refused():
    assert ImageClassification(randaugment=1, magnitude=20).magnitude == 20
    with pytest.raises(ConfigError, match="task.magnitude"):
        ImageClassification(magnitude=20)
