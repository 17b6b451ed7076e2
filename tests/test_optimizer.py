"""Optimizers, schedules, the average of weights: against torch's own, and through a save."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from dlzoo.engine import optimizer as optimizers
from dlzoo.engine.average import Average
from dlzoo.engine.schedule import Drops, factor
from dlzoo.errors import RunError
from dlzoo.optim import OPTIMIZERS
from dlzoo.schedules import Constant, Cosine, Linear, OneCycle, Plateau, Step

CPU = torch.device("cpu")


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 16, 3))


def updates(network: nn.Module, optimizer: torch.optim.Optimizer, count: int, start: int = 0) -> None:
    for step in range(start, start + count):
        x = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(step))
        network(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_biases_and_norms_do_not_decay():
    built = optimizers.build(OPTIMIZERS["adamw"](weight_decay=0.3), model(), CPU)
    decayed = {id(p) for group in built.param_groups if group["weight_decay"] for p in group["params"]}
    assert all((id(p) in decayed) == (p.ndim >= 2) for group in built.param_groups for p in group["params"])


def test_frozen_weights_are_left_out():
    network = model()
    network[0].requires_grad_(False)
    built = optimizers.build(OPTIMIZERS["sgd"](), network, CPU)
    assert sum(len(group["params"]) for group in built.param_groups) == 4


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_goes_on_from_its_state_bit_for_bit(name):
    whole, first, second = model(), model(), model()
    config = OPTIMIZERS[name](lr=1e-3)
    optimizer = optimizers.build(config, whole, CPU)
    updates(whole, optimizer, 6)
    optimizer = optimizers.build(config, first, CPU)
    updates(first, optimizer, 3)
    saved = {key: value.clone() for key, value in optimizers.state(optimizer, first).items()}
    second.load_state_dict(first.state_dict())
    optimizer = optimizers.build(config, second, CPU)
    optimizers.restore(optimizer, second, saved)
    updates(second, optimizer, 3, start=3)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_is_torchs_own_with_these_arguments(name):
    ours, theirs = model(), model()
    config = OPTIMIZERS[name](lr=1e-2)
    updates(ours, optimizers.build(config, ours, CPU), 2)
    arguments = {key: value for key, value in vars(config).items() if key not in ("name", "fused", "weight_decay")}
    flat = torch.optim.__dict__[optimizers.CLASSES[name].__name__](
        [
            {"params": [p for p in theirs.parameters() if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in theirs.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        **arguments,
    )
    updates(theirs, flat, 2)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_state_of_other_weights_is_refused():
    network = model()
    with pytest.raises(RunError, match="other weights"):
        optimizers.restore(
            optimizers.build(OPTIMIZERS["sgd"](), network, CPU), network, {"9.weight/step": torch.ones(())}
        )


def factors(schedule, steps: int = 40) -> list[float]:
    return [factor(schedule, step, steps) for step in range(steps)]


def of_torch(make, steps: int = 40) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_schedules_are_torchs_own():
    lr = torch.optim.lr_scheduler
    assert factors(Cosine()) == pytest.approx(of_torch(lambda o: lr.CosineAnnealingLR(o, 40)))
    assert factors(Cosine(floor=0.1)) == pytest.approx(of_torch(lambda o: lr.CosineAnnealingLR(o, 40, eta_min=0.1)))
    assert factors(Linear(floor=0.2)) == pytest.approx(of_torch(lambda o: lr.LinearLR(o, 1.0, 0.2, 40)))
    assert factors(Step(every=10, factor=0.5)) == pytest.approx(of_torch(lambda o: lr.StepLR(o, 10, 0.5)))
    ours = factors(OneCycle(warmup=0.3, start=0.04, floor=4e-6))
    assert ours == pytest.approx(of_torch(lambda o: lr.OneCycleLR(o, 1.0, total_steps=40)))


@pytest.mark.parametrize("schedule", [Constant(), Cosine(), Linear(), Step(), Plateau()])
def test_warmup_rises_to_the_learning_rate_and_counts_alike_as_share_and_number(schedule):
    share = factors(replace(schedule, warmup=0.25))
    assert share == factors(replace(schedule, warmup=10))
    assert share[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert share[10] == 1.0


def test_a_plateau_drops_after_patience_and_not_below_its_floor():
    schedule, drops = Plateau(patience=2, factor=0.5, floor=0.2), Drops()
    seen = []
    for score in [1.0, 2.0, 2.0, math.nan, 1.0, 1.0, 1.0, 1.0, 3.0]:
        drops.update(schedule, score)
        seen.append(drops.factor)
    assert seen == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2]
    again = Drops()
    again.load_state_dict(drops.state_dict())
    assert again == drops


def test_the_average_of_weights_and_running_statistics_is_torch_s_and_gives_the_model_its_own_back():
    network = model()

    def formula(average: torch.Tensor, own: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        decay = min(0.9, (1 + step) / (10 + step))
        return decay * average + (1 - decay) * own if own.is_floating_point() else own

    average, step = Average(network, 0.9), 1
    reference = AveragedModel(network, avg_fn=formula, use_buffers=True)
    reference.n_averaged.fill_(1)  # or it would begin with the weights of the first update
    optimizer = optimizers.build(OPTIMIZERS["sgd"](), network, CPU)
    for step in range(1, 6):
        updates(network, optimizer, 1, start=step)
        average.update(network, step)
        reference.update_parameters(network)
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    expected = reference.module.state_dict()
    assert not torch.allclose(expected["1.running_var"], own["1.running_var"])
    with average.applied(network):
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor, expected[name])
    assert all(torch.equal(tensor, own[name]) for name, tensor in network.state_dict().items())
