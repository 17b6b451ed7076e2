"""Heads: what is padded changes nothing, and each pool takes what it says."""

import pytest
import torch
from torch import nn

from dlzoo.choices import Pool
from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.heads.dense import Dense
from dlzoo.heads.pooled import Pooled

X = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]).bool()


@pytest.mark.parametrize("pool", Pool.__args__)
@pytest.mark.parametrize("causal", [True, False])
def test_padding_changes_nothing(pool, causal):
    head = Pooled(Features("sequence", 8, causal=causal), 2, pool)
    whole = head(X, MASK)
    for x, mask, out in zip(X, MASK, whole, strict=True):
        torch.testing.assert_close(head(x[mask][None])[0], out)
    rubbish = torch.where(MASK[..., None], X, torch.nan)
    if pool != "attention":
        torch.testing.assert_close(head(rubbish, MASK), whole)


def test_auto_takes_the_last_place_of_a_causal_sequence_and_else_the_mean():
    last, mean = (Pooled(Features("sequence", 8, causal=causal), 2) for causal in (True, False))
    torch.testing.assert_close(last(X, MASK)[1], last.linear(X[1, 2]))
    torch.testing.assert_close(mean(X, MASK)[1], mean.linear(X[1, :3].mean(0)))


@pytest.mark.parametrize(("pool", "reduce"), [("auto", torch.Tensor.mean), ("max", torch.amax)])
def test_a_map_is_pooled_over_its_places(pool, reduce):
    head, x = Pooled(Features("map", 8), 2, pool), torch.randn(2, 8, 3, 4)
    torch.testing.assert_close(head(x), head.linear(reduce(x.flatten(2), 2)))
    assert Pooled(Features("map", 8), 2, "attention")(x).shape == (2, 2)


def test_a_map_has_no_last_place():
    with pytest.raises(ConfigError, match="task.pool: 'last' needs a sequence"):
        Pooled(Features("map", 8), 2, "last")


def test_a_vector_is_not_pooled():
    assert Pooled(Features("vector", 8), 2)(X[:, 0]).shape == (3, 2)
    with pytest.raises(ConfigError, match="task.pool: 'max' pools places"):
        Pooled(Features("vector", 8), 2, "max")


@pytest.mark.parametrize(("shape", "out"), [((2, 8), (2, 4)), ((2, 5, 8), (2, 5, 4)), ((2, 8, 3, 6), (2, 3, 6, 4))])
def test_dense_gives_an_output_at_every_place(shape, out):
    kind = {2: "vector", 3: "sequence", 4: "map"}[len(shape)]
    assert Dense(Features(kind, 8), 4)(torch.zeros(shape)).shape == out


@pytest.mark.parametrize("dim", [8, 6])
def test_a_tied_weight_is_one_weight(dim):
    embedding = nn.Embedding(11, dim)
    head = Dense(Features("sequence", 8), 11, tie=embedding)
    assert head.linear.weight is embedding.weight and head(X).shape == (3, 5, 11)
