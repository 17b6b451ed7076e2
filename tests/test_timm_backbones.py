"""The adapter of timm's networks: their features, their weights, their names, for any number of channels."""

import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from dlzoo.engine import foreign
from dlzoo.errors import ConfigError, RunError
from dlzoo.features import Features
from dlzoo.registry import MODELS
from dlzoo.run.beginning import published as begin

FAMILIES = {
    "test_resnet": Features("map", 96, 32),
    "test_convnext": Features("map", 64, 32),
    "test_efficientnet": Features("map", 64, 32),
    "test_vit": Features("map", 64, 16),
    "test_nfnet": Features("map", 192, 32),
    "swin_tiny_patch4_window7_224": Features("map", 768, 32),
}
SIZE = 64


def build(arch, channels=3, size=SIZE, **more):
    torch.manual_seed(0)
    return MODELS["timm"](in_channels=channels, image_size=size, arch=arch, **more).eval()


@pytest.mark.parametrize("arch", FAMILIES)
def test_a_family_gives_what_it_promises_to_a_task(arch):
    model = build(arch, channels=1)
    assert model.features == FAMILIES[arch]
    with torch.inference_mode():
        output = model(torch.randn(2, 1, SIZE, SIZE))
    side = SIZE // model.features.stride
    assert output.shape == (2, model.features.dim, side, side)


@pytest.mark.parametrize("arch", ["test_resnet", "test_vit", "test_efficientnet"])
def test_with_the_same_weights_the_vector_is_timms(arch):
    fixed = {"img_size": SIZE} if arch == "test_vit" else {}
    whole, model = timm.create_model(arch, **fixed).eval(), build(arch, out="vector")
    model.load_state_dict(model.adapt(whole.state_dict()))
    x = torch.randn(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        expected = whole.forward_head(whole.forward_features(x), pre_logits=True)
        torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arch", ["test_resnet", "test_convnext"])
def test_a_pyramid_has_the_last_map_of_every_size(arch):
    model = build(arch, out="pyramid")
    assert model.features.stride == (4, 8, 16, 32)
    with torch.inference_mode():
        maps = model(torch.randn(2, 3, SIZE, SIZE))
    sides = [SIZE // stride for stride in model.features.stride]
    assert [tuple(y.shape) for y in maps] == [(2, d, s, s) for d, s in zip(model.features.dim, sides, strict=True)]


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_of_a_file_are_begun_with(channels, tmp_path):
    torch.manual_seed(1)
    whole = timm.create_model("test_resnet").eval()
    save_file(whole.state_dict(), path := tmp_path / "weights.safetensors")
    model = build("test_resnet", channels=channels)
    begin(model, str(path))
    x = torch.randn(2, channels, SIZE, SIZE)
    with torch.inference_mode():
        expected = whole.forward_features(x.expand(-1, 3, -1, -1))
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(RunError, match="does not fit this network"):
        begin(build("test_convnext"), str(path))


def test_true_downloads_timms_own_once(tmp_path, monkeypatch):
    torch.manual_seed(1)
    whole, asked = timm.create_model("test_resnet"), []

    def fetch(url, path):
        asked.append(url)
        save_file(whole.state_dict(), path)

    monkeypatch.setattr(foreign.torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(foreign.torch.hub, "download_url_to_file", fetch)
    for _ in range(2):
        begin(model := build("test_resnet"), True)
    assert asked == ["https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors"]
    assert torch.equal(model.network.state_dict()["conv1.0.weight"], whole.state_dict()["conv1.0.weight"])


def test_a_network_without_published_weights_is_said():
    with pytest.raises(ConfigError, match="timm publishes no weights of 'resnet50t'"):
        build("resnet50t").published()


@pytest.mark.parametrize(
    ("arch", "size", "out", "message"),
    [
        ("test_resnett", 64, "map", "timm has no 'test_resnett'. Did you mean 'test_resnet'"),
        ("test_vit", 50, "map", "cannot be had for pictures of 50x50"),
        ("test_vit", 64, "pyramid", "has no maps of several sizes"),
    ],
)
def test_what_cannot_be_had_is_said(arch, size, out, message):
    with pytest.raises(ConfigError, match=message):
        build(arch, size=size, out=out)


def test_without_the_package_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'dlzoo\[timm\]'"):
        build("test_resnet")
