"""Changes to pictures: drawn from their generator alone, a batch at a time, and nothing but what they say."""

import pytest
import torch

from dlzoo.choices import Augment
from dlzoo.transforms.augment import augment, rectangle, shift

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
