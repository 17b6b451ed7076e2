"""A config trains what a loop written by hand trains: every loss of 100 updates, and the weights after them."""

from copy import deepcopy

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from dlzoo.engine import loop
from dlzoo.engine.runtime import Runtime
from dlzoo.run.built import build
from dlzoo.run.session import Session
from dlzoo.schema.reader import from_dict
from dlzoo.transforms.text import END

STEPS = 100
DIGITS = {"task": "image_classification", "data": {"name": "digits", "hold_out": 0, "test": 0}}
AUSTEN = {
    "task": {"name": "language_modeling", "context": 32},
    "data": {"name": "austen", "hold_out": 0, "test": 600_000},
}
# without biases: that of the keys changes no loss, so that rounding alone decides where AdamW takes it
CASES = {
    "mlp": DIGITS | {"model": {"name": "mlp", "dim": 32, "depth": 2}},
    "cnn": DIGITS | {"model": {"name": "lenet", "channels": [8, 16], "hidden": [32], "kernel": 3}},
    "gpt": AUSTEN | {"model": {"name": "gpt", "dim": 32, "depth": 2, "heads": 2, "bias": False}},
}


def pictures(task):
    """Digits as one takes them from scikit-learn, and their numbers."""
    digits = load_digits()
    x = torch.from_numpy(digits.images).mul(255 / 16).round().float()[:, None] / 255
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (task.pictures.mean, task.pictures.std))
    return (x - mean) / std, torch.from_numpy(digits.target)


def windows(task, text):
    """Each stretch of 32 characters, and the one that is a character later; an end stands before the first."""
    tokens = torch.cat([torch.tensor([END]), torch.as_tensor(task.tokenizer.encode(text)).long()])
    starts = torch.arange(0, len(tokens) - 1, 32).clamp(max=len(tokens) - 33)
    places = starts[:, None] + torch.arange(33)
    return tokens[places[:, :-1]], tokens[places[:, 1:]]


def by_hand(network, x, y, order):
    """The loop of every tutorial; returns the losses."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0, fused=True)
    losses = []
    for chosen in order:
        loss = F.cross_entropy(network(x=x[chosen]).movedim(-1, 1), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", CASES)
def test_a_config_trains_what_a_bare_loop_trains(name):
    plan = {"steps": STEPS, "batch_size": 16, "clip": None, "threads": 1, "device": "cpu"}
    optimizer = {"name": "adamw", "lr": 1e-3, "weight_decay": 0}
    config = from_dict(CASES[name] | {"train": plan, "optimizer": optimizer, "schedule": "constant"})
    built = build(config, Runtime(config.train))
    task, runtime, loader = built.task, built.runtime, built.loader()
    bare = deepcopy(built.network).train()
    order = [torch.as_tensor(batch.indices) for (batch,) in loader.windows(0, STEPS)]

    session = Session(built.config, task, built.network, runtime, STEPS)
    rows = loop.train(session.network, task, loader, session.optimizer, runtime, session.lr, steps=STEPS)
    losses = [row.loss.item() for row in rows]

    if name == "gpt":
        data = built.splits["train"]
        x, y = windows(task, data[0]["text"][slice(*data.spans[0])])
    else:
        x, y = pictures(task)
    expected = by_hand(bare, x, y, order)
    assert losses == pytest.approx(expected, rel=1e-5)
    for weight, other in zip(session.network.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-5, atol=1e-6)
