"""Token by token: stepping is the whole forward, company changes nothing, and the draws are what they say."""

import pytest
import torch
from torch import nn

from dlzoo.decoding import Reader, Sampling, generate, stream
from dlzoo.errors import ConfigError
from dlzoo.heads.dense import Dense
from dlzoo.models.gpt import GPT
from dlzoo.models.gru import GRU
from dlzoo.models.lstm import LSTM
from dlzoo.models.tcn import TCN
from dlzoo.task import Network

V = 11
BACKBONES = {
    "gpt": lambda: GPT(vocab_size=V, context=16, dim=16, depth=2, heads=2),
    "rotary": lambda: GPT(vocab_size=V, context=16, dim=16, depth=2, heads=2, position="rotary", kv_heads=1),
    "lstm": lambda: LSTM(vocab_size=V, dim=16, layers=2),
    "gru": lambda: GRU(vocab_size=V, dim=16),
    "tcn": lambda: TCN(vocab_size=V, dim=16, depth=2),
}


class Stepless(nn.Module):
    """A backbone with nothing but forward."""

    def __init__(self, backbone):
        super().__init__()
        self.inside, self.features = backbone, backbone.features

    def forward(self, x):
        return self.inside(x)


def network(name, step=True):
    torch.manual_seed(3)
    backbone = BACKBONES[name]()
    head = Dense(backbone.features, V)
    nn.init.normal_(head.linear.weight, std=2.0)  # scores that are far from even
    return Network(backbone if step else Stepless(backbone), head).eval()


def prompts(*lengths):
    return [torch.randint(3, V, (n,), generator=torch.Generator().manual_seed(n)) for n in lengths]


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_stepping_equals_the_whole_forward(name):
    model = network(name)
    tokens = torch.randint(V, (3, 16), generator=torch.Generator().manual_seed(0))
    whole = model(x=tokens)
    read = Reader(model, 16)
    for t in (1, 5, 6, 7, 16):
        torch.testing.assert_close(read(tokens[:, :t]), whole[:, t - 1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_company_changes_nothing(name, temperature):
    model, window = network(name), 16 if name in ("gpt", "rotary") else None
    options = {"new": 24, "sampling": Sampling(temperature), "seed": 5, "window": window, "end": 2, "banned": (0, 1)}
    many = prompts(1, 4, 9, 3, 20)
    assert generate(model, many, **options) == [generate(model, [prompt], **options)[0] for prompt in many]


@pytest.mark.parametrize("name", BACKBONES)
def test_a_model_without_steps_writes_the_same(name):
    options = {"new": 10, "sampling": Sampling(0.8, top_k=5), "window": None}
    assert generate(network(name), prompts(3, 5), **options) == generate(network(name, False), prompts(3, 5), **options)


def test_more_than_the_window_is_written():
    for step in (True, False):
        (written,) = generate(network("gpt", step), prompts(30), new=50, sampling=Sampling(), window=16)
        assert len(written) == 50


def test_greedy_takes_the_best():
    model = network("lstm")
    (prompt,) = prompts(5)
    (written,) = generate(model, [prompt], new=6, sampling=Sampling(0))
    tokens = prompt.tolist()
    for token in written:
        assert token == int(model(x=torch.tensor([tokens]))[0, -1].argmax())
        tokens.append(token)


def test_a_seed_gives_one_text_and_another_seed_another():
    model = network("gru")
    texts = [generate(model, prompts(4), new=40, sampling=Sampling(2.0), seed=seed)[0] for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_a_text_ends_at_its_end_at_stop_and_at_new():
    model = network("lstm")
    free = generate(model, prompts(4), new=40, sampling=Sampling(2.0))[0]
    end = free[7]
    assert generate(model, prompts(4), new=40, sampling=Sampling(2.0), end=end)[0] == free[: free.index(end)]
    assert generate(model, prompts(4), new=40, sampling=Sampling(2.0), stop=lambda row: len(row) == 3)[0] == free[:3]
    assert generate(model, prompts(4, 2), new=0, sampling=Sampling()) == [[], []]


def test_banned_tokens_are_never_written():
    model = network("gru")
    (written,) = generate(model, prompts(4), new=100, sampling=Sampling(5.0), banned=(0, 1, 7))
    assert not {0, 1, 7} & set(written)


def test_tokens_come_as_they_are_written():
    found = list(stream(network("gru"), prompts(1, 4), new=5, sampling=Sampling(0)))
    assert [[row for row, _ in step] for step in found] == [[0], [0], [0], [0, 1], [0, 1], [1], [1], [1]]


def test_draws_follow_the_probabilities():
    n = 20_000
    p = torch.tensor([0.5, 0.3, 0.15, 0.05])
    uniform = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros(n, 4, dtype=torch.bool)

    def shares(**options):
        return torch.bincount(Sampling(**options).pick(p.log().expand(n, 4), nothing, uniform), minlength=4) / n

    close = {"atol": 0.015, "rtol": 0.0}
    torch.testing.assert_close(shares(), p, **close)
    torch.testing.assert_close(shares(temperature=0.5), p**2 / (p**2).sum(), **close)
    torch.testing.assert_close(shares(top_k=2), torch.tensor([0.625, 0.375, 0, 0]), **close)
    torch.testing.assert_close(shares(top_p=0.79), torch.tensor([0.625, 0.375, 0, 0]), **close)
    torch.testing.assert_close(shares(top_p=0.81), torch.tensor([0.5, 0.3, 0.15, 0]) / 0.95, **close)
    torch.testing.assert_close(shares(min_p=0.2), torch.tensor([0.5, 0.3, 0.15, 0]) / 0.95, **close)
    assert shares(top_p=1e-9)[0] == 1 == shares(temperature=0)[0]


def test_the_filters_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    scores = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    for ours, theirs in (
        (Sampling(top_k=7), transformers.TopKLogitsWarper(7)),
        (Sampling(top_p=0.6), transformers.TopPLogitsWarper(0.6)),
        (Sampling(min_p=0.1), transformers.MinPLogitsWarper(0.1)),
    ):
        assert torch.equal(ours.filter(scores).isinf(), theirs(None, scores).isinf())


def test_a_penalty_makes_repetition_rare():
    scores, seen = torch.tensor([[2.0, 1.9, -1.0]]), torch.tensor([[True, False, False]])
    pick = Sampling(0, repetition_penalty=1.5).pick(scores, seen, torch.zeros(1))
    assert pick.tolist() == [1] and Sampling(0).pick(scores, seen, torch.zeros(1)).tolist() == [0]


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}, {"min_p": 2.0}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Sampling(**wrong)
