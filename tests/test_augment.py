"""Changes to pictures: drawn from their generator alone, a batch at a time, and nothing but what they say."""

import pytest
import torch

from dlzoo.choices import Augment
from dlzoo.transforms.augment import augment, rectangle, shift, tilt

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
