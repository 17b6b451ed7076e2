"""Dropout: each value is dropped by itself, as often as was asked, and what is left makes up for it."""

import pytest
import torch
from torch import nn

from dlzoo.layers.dropout import Dropout

N = 200_000


def drawn(p: float, shape: tuple[int, ...] = (N,), seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(p)(torch.ones(shape))


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.97])
def test_the_share_that_was_asked_is_dropped_in_every_lane_and_beside_every_other(p):
    lost = drawn(p) == 0
    for share, n in (
        *((lost[lane::4], N / 4) for lane in range(4)),
        *((lost[n:][lost[:-n]], N * p) for n in (1, 2, 3, 4, 8)),
    ):
        assert abs(share.float().mean() - p) < 4.5 * (p * (1 - p) / n) ** 0.5


@pytest.mark.parametrize("p", [0.1, 0.5, 0.97])
def test_what_is_left_is_scaled_so_that_the_mean_stays(p):
    values = drawn(p)
    torch.testing.assert_close(values.max(), torch.tensor(1 / (1 - p)), rtol=3e-4, atol=0)
    assert abs(values.double().mean() - 1) < 4.5 * (p / (1 - p) / N) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 7), (0, 4)])
def test_gradients_pass_where_values_do(shape, dtype):
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    y = Dropout(0.4)(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert y.dtype == dtype and y.shape == shape
    torch.testing.assert_close(y, x * grad)


def test_draws_follow_the_seed_and_nothing_is_drawn_where_nothing_is_dropped():
    assert torch.equal(drawn(0.3, (50, 3), seed=1), drawn(0.3, (50, 3), seed=1))
    assert not torch.equal(drawn(0.3, (50, 3), seed=1), drawn(0.3, (50, 3), seed=2))
    before = torch.get_rng_state()
    x = torch.randn(4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Dropout(0.0)(x), x) and torch.equal(Dropout(0.3).eval()(x), x)
    assert torch.equal(torch.get_rng_state(), before)
    assert not Dropout(1.0)(x).any()


def test_it_is_torchs_to_whoever_looks_for_that():
    assert isinstance(Dropout(0.2), nn.Dropout) and repr(Dropout(0.2)) == repr(nn.Dropout(0.2))
