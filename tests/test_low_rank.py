"""`train.lora`: at first nothing changes, then additions and the head alone are trained, and travel with the run."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from dlzoo import files
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import ConfigError
from dlzoo.layers.low_rank import adapt
from dlzoo.run import portable
from dlzoo.run import train as command
from dlzoo.run.built import build
from dlzoo.run.session import Session
from dlzoo.schema.reader import from_dict

VIT = {"name": "vit", "dim": 16, "depth": 2, "heads": 2, "patch": 4}


def config(model=VIT, **train):
    values = {
        "task": "image_classification",
        "data": {"name": "digits", "test": 100},
        "model": model,
        "train": {"steps": 4, "threads": 1, "lora": 2} | train,
    }
    return from_dict(values, "test")


def pictures(size=8, channels=1):
    return torch.randn(3, channels, size, size, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_at_first_outputs_are_those_of_the_model_itself():
    outputs = []
    for lora in (2, None):
        built = build(plan := config(lora=lora), Runtime(plan.train))
        outputs.append(built.network.eval()(x=pictures()))
    torch.testing.assert_close(*outputs)


def test_additions_and_the_head_alone_are_trained():
    built = build(plan := config(), Runtime(plan.train))
    before = {name: tensor.clone() for name, tensor in built.network.state_dict().items()}
    session = Session(built.config, built.task, built.network, built.runtime, built.steps)
    for row in session.rows(built.loader()):
        session.take(row)
    changed = {name for name, tensor in built.network.state_dict().items() if not torch.equal(tensor, before[name])}
    added = {
        f"backbone.blocks.blocks.{i}.attention.{part}.parametrizations.weight.0.{side}"
        for i in range(2)
        for part in ("qkv", "out")
        for side in ("up", "down")
    }
    assert changed == added | {"head.linear.weight", "head.linear.bias"}


def test_what_was_trained_is_a_sum_of_low_rank_and_can_be_merged():
    layer = nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2, batch_first=True)})
    kept = layer["attention"].in_proj_weight.detach().clone()
    adapt(layer, 2)
    nn.init.normal_(layer["attention"].parametrizations.in_proj_weight[0].up)
    assert torch.linalg.matrix_rank(layer["attention"].in_proj_weight - kept) == 2
    x = torch.randn(1, 5, 8)
    before, _ = layer["attention"](x, x, x)
    parametrize.remove_parametrizations(layer["attention"], "in_proj_weight", leave_parametrized=True)
    torch.testing.assert_close(layer["attention"](x, x, x)[0], before)


def test_a_run_resumes_to_the_bit_and_its_model_is_read_again(tmp_path):
    whole = command.train(config(save_every=2), root=tmp_path / "whole", quiet=True).run
    again = command.train(config(save_every=2), root=tmp_path / "again", quiet=True).run
    command.resume(again / "checkpoints" / "step-2", quiet=True)
    sums = [files.sha256(run / "model" / "model.safetensors") for run in (whole, again)]
    assert sums[0] == sums[1]
    network = portable.load(whole).network
    assert any(up.abs().sum() > 0 for name, up in network.named_parameters() if name.endswith(".up"))


@pytest.mark.parametrize("arch", ["vit_b_16", "swin_t"])
def test_torchvisions_attention_is_adapted(arch):
    from torchvision import models

    torch.manual_seed(0)
    network = models.get_model(arch, weights=None, **({"image_size": 32} if arch == "vit_b_16" else {})).eval()
    with torch.no_grad():
        before = network(pictures(32, 3))
        adapt(network, 4)
        torch.testing.assert_close(network(pictures(32, 3)), before)
    trained = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 2 * 12 and all(name.endswith((".up", ".down")) for name in trained)


@pytest.mark.parametrize(
    "model, lora, message",
    [({"name": "resnet", "depth": 10, "width": 4}, 2, "no attention"), (VIT, 16, "16 is no low rank")],
)
def test_what_cannot_be_adapted_is_a_mistake(model, lora, message):
    plan = config(model, lora=lora)
    with pytest.raises(ConfigError, match=f"train.lora: .*{message}"):
        build(plan, Runtime(plan.train))
