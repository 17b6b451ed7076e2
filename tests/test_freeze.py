"""`train.freeze` and `train.lr_factors`: what is not trained stays to the bit, the rest learns at the rate that its
name has, what is not there is refused, a resume goes on exactly.
"""

import pytest
import torch
from torch import nn

from dlzoo import files
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import ConfigError
from dlzoo.run import portable
from dlzoo.run import train as command
from dlzoo.run.built import build
from dlzoo.run.session import Session
from dlzoo.schema.reader import from_dict


def config(freeze, **train):
    values = {
        "task": "image_classification",
        "data": {"name": "digits", "test": 100},
        "model": {"name": "resnet", "depth": 10, "width": 4},
        "train": {"steps": 4, "threads": 1, "freeze": freeze} | train,
    }
    return from_dict(values, "test")


def test_frozen_weights_and_their_statistics_stay_and_the_others_are_trained():
    built = build(plan := config(["backbone.conv1.*", "backbone.bn1.*", "backbone.layer1.*"]), Runtime(plan.train))
    before = {name: tensor.clone() for name, tensor in built.network.state_dict().items()}
    session = Session(built.config, built.task, built.network, built.runtime, built.steps)
    for row in session.rows(built.loader()):
        session.take(row)
    changed = {name for name, tensor in built.network.state_dict().items() if not torch.equal(tensor, before[name])}
    frozen = ("backbone.conv1.", "backbone.bn1.", "backbone.layer1.")
    assert not [name for name in changed if name.startswith(frozen)]
    assert changed >= {name for name in before if not name.startswith(frozen)}
    assert isinstance(built.network.backbone.bn1, nn.BatchNorm2d) and not built.network.backbone.bn1.training


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (["backbon.*"], "train.freeze: no weight is called 'backbon.*'; the names are backbone.conv1.weight"),
        (["*"], "train.freeze: nothing is left to train"),
    ],
)
def test_a_pattern_that_freezes_nothing_or_all_is_a_mistake(freeze, message):
    plan = config(freeze)
    with pytest.raises(ConfigError) as found:
        build(plan, Runtime(plan.train))
    assert message in str(found.value)


def test_a_run_with_frozen_weights_resumes_to_the_bit(tmp_path, capsys):
    whole = command.train(config(["backbone.*"], save_every=2), root=tmp_path / "whole", quiet=True).run
    assert "330 of them trained" in capsys.readouterr().err
    again = command.train(config(["backbone.*"], save_every=2), root=tmp_path / "again", quiet=True).run
    command.resume(again / "checkpoints" / "step-2", quiet=True)
    sums = [files.sha256(run / "model" / "model.safetensors") for run in (whole, again)]
    assert sums[0] == sums[1] and portable.load(whole).config.train.freeze == ("backbone.*",)


def rates(**train):
    """The learning rate of each weight at the third update."""
    built = build(plan := config([], **train), Runtime(plan.train))
    session = Session(built.config, built.task, built.network, built.runtime, built.steps)
    for row in session.rows(built.loader(), 3):
        session.take(row)
    names = {id(weight): name for name, weight in built.network.named_parameters()}
    groups = session.optimizer.param_groups
    return row.lr, {names[id(weight)]: group["lr"] for group in groups for weight in group["params"]}


def test_weights_learn_at_the_rate_of_the_last_pattern_that_names_them():
    lr, found = rates(lr_factors={"backbone.*": 0.1, "backbone.layer4.*": 0.5})
    assert {"head.linear.weight", "backbone.conv1.weight", "backbone.layer4.0.conv1.weight"} <= found.keys()
    for name, rate in found.items():
        factor = 0.5 if ".layer4." in name else 0.1 if name.startswith("backbone.") else 1.0
        assert rate == pytest.approx(lr * factor), name


def test_a_factor_for_no_weight_is_a_mistake():
    with pytest.raises(ConfigError, match=r"train.lr_factors: no weight is called 'backbon.\*'"):
        rates(lr_factors={"backbon.*": 0.1})
    with pytest.raises(ConfigError, match="lr_factors"):
        rates(lr_factors={"backbone.*": 0})


def test_a_run_with_factors_resumes_to_the_bit(tmp_path):
    plan = config([], save_every=2, lr_factors={"backbone.*": 0.1})
    whole = command.train(plan, root=tmp_path / "whole", quiet=True).run
    again = command.train(plan, root=tmp_path / "again", quiet=True).run
    command.resume(again / "checkpoints" / "step-2", quiet=True)
    sums = [files.sha256(run / "model" / "model.safetensors") for run in (whole, again)]
    assert sums[0] == sums[1] and portable.load(whole).config.train.lr_factors == {"backbone.*": 0.1}
