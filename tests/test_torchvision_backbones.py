"""The adapter of torchvision's networks: their features, their weights, their names, for any number of channels."""

import os

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from dlzoo.engine import foreign
from dlzoo.errors import ConfigError, RunError
from dlzoo.features import Features
from dlzoo.registry import MODELS
from dlzoo.run import portable
from dlzoo.run import train as command
from dlzoo.run.beginning import published as begin
from dlzoo.run.evaluate import evaluate
from dlzoo.schema.reader import from_dict

FAMILIES = {
    "alexnet": Features("map", 256, 64),
    "convnext_tiny": Features("map", 768, 32),
    "densenet121": Features("map", 1024, 32),
    "efficientnet_b0": Features("map", 1280, 32),
    "googlenet": Features("map", 1024, 32),
    "mnasnet0_5": Features("map", 1280, 32),
    "mobilenet_v2": Features("map", 1280, 32),
    "regnet_y_400mf": Features("map", 440, 32),
    "resnext50_32x4d": Features("map", 2048, 32),
    "squeezenet1_1": Features("map", 512, 21),
    "swin_t": Features("map", 768, 32),
    "vgg11_bn": Features("map", 512, 32),
    "vit_b_32": Features("vector", 768, 1),
}
SIZE = 64


def build(arch, channels=3, size=SIZE, **more):
    torch.manual_seed(0)
    return MODELS["torchvision"](in_channels=channels, image_size=size, arch=arch, **more).eval()


@pytest.mark.parametrize("arch", FAMILIES)
def test_every_family_gives_what_it_promises_to_a_task(arch):
    model = build(arch, channels=1)
    assert model.features == FAMILIES[arch]
    with torch.inference_mode():
        assert model(torch.randn(2, 1, SIZE, SIZE)).shape[:2] == (2, model.features.dim)


@pytest.mark.parametrize(
    ("arch", "head"), [("resnet18", "fc"), ("mobilenet_v3_small", "classifier"), ("swin_t", "head")]
)
def test_with_the_same_weights_the_scores_are_torchvisions(arch, head):
    model, whole = build(arch), models.get_model(arch).eval()
    states = whole.state_dict()
    assert states.keys() - model.network.state_dict().keys() == {name for name in states if name.startswith(head)}
    model.network.load_state_dict({name: states[name] for name in model.network.state_dict()})
    x = torch.randn(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        torch.testing.assert_close(getattr(whole, head)(model(x).mean((2, 3))), whole(x), rtol=1e-5, atol=1e-5)


def test_grey_pictures_give_what_their_three_equal_colours_gave():
    grey, colour = build("resnet18", channels=1), build("resnet18")
    x = torch.randn(2, 1, SIZE, SIZE)
    with torch.inference_mode():
        torch.testing.assert_close(grey(x), colour(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arch", "dims"),
    [
        ("resnet18", (64, 128, 256, 512)),
        ("densenet121", (256, 512, 1024, 1024)),
        ("swin_t", (96, 192, 384, 768)),
        ("convnext_tiny", (96, 192, 384, 768)),
    ],
)
def test_a_pyramid_has_the_last_map_of_every_stage_channels_first(arch, dims):
    model = build(arch, out="pyramid")
    assert model.features == Features("pyramid", dims, (4, 8, 16, 32))
    with torch.inference_mode():
        maps = model(torch.randn(2, 3, SIZE, SIZE))
    assert [tuple(y.shape) for y in maps] == [
        (2, d, SIZE // s, SIZE // s) for d, s in zip(dims, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize(
    ("arch", "size", "out", "message"),
    [
        ("resnet51", 64, "map", "Did you mean 'resnet50'"),
        ("inception_v3", 32, "map", "pictures of 32x32 are too small for 'inception_v3'"),
        ("vit_b_16", 50, "map", "cannot be had for pictures of 50x50"),
        ("vit_b_16", 64, "pyramid", "has no maps of several sizes"),
    ],
)
def test_what_cannot_be_had_is_said(arch, size, out, message):
    with pytest.raises(ConfigError, match=message):
        build(arch, size=size, out=out)


# ---- pretrained


@pytest.fixture(scope="module")
def whole():
    torch.manual_seed(1)
    return models.get_model("shufflenet_v2_x0_5").eval()


def expected(whole, x):
    with torch.inference_mode():
        x = whole.maxpool(whole.conv1(x))
        return whole.conv5(whole.stage4(whole.stage3(whole.stage2(x))))


@pytest.mark.parametrize("form", ["weights.safetensors", "weights.pth", "wrapped.pt"])
@pytest.mark.parametrize("channels", [1, 3])
def test_weights_of_a_file_are_begun_with(form, channels, whole, tmp_path):
    path, state = tmp_path / form, whole.state_dict()
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        wrapped = {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
        torch.save(wrapped if form == "wrapped.pt" else state, path)
    model = build("shufflenet_v2_x0_5", channels=channels)
    begin(model, str(path))
    x = torch.randn(2, channels, SIZE, SIZE)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), expected(whole, x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_a_run_begins_with_them_and_needs_the_file_no_more(whole, tmp_path):
    save_file(whole.state_dict(), path := tmp_path / "weights.safetensors")
    config = from_dict(
        {
            "task": "image_classification",
            "data": {"name": "digits", "test": 100},
            "model": {"name": "torchvision", "arch": "shufflenet_v2_x0_5", "pretrained": str(path)},
            "optimizer": {"name": "sgd", "lr": 1e-12},
            "train": {"steps": 1, "threads": 1},
        },
        "test",
    )
    run = command.train(config, root=tmp_path, quiet=True).run
    os.remove(path)
    kept = portable.load(run).network.backbone.network.state_dict()
    torch.testing.assert_close(kept["conv5.0.weight"], whole.state_dict()["conv5.0.weight"], rtol=0, atol=1e-6)
    assert evaluate(run)["samples"] == 100
    assert command.resume(run, quiet=True).code == 0


class Evil:
    def __reduce__(self):
        return (os.system, ("touch canary",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv1.0.weight": torch.zeros(1).expand(10**11)}, "claims to hold more than its"),
        ({"weights": Evil()}, "is no whole file of tensors alone"),
        ([torch.zeros(1)], "holds no named tensors"),
        ({"other": torch.zeros(1)}, "does not fit this network"),
        (None, "is no whole file of tensors alone"),
    ],
)
def test_a_file_of_something_else_is_refused(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is None:
        (tmp_path / "weights.pt").write_bytes(b"not a zip file")
    else:
        torch.save(content, tmp_path / "weights.pt")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(RunError, match=message):
        begin(build("shufflenet_v2_x0_5"), "weights.pt")
    assert not (tmp_path / "canary").exists()


def test_a_file_that_is_not_there_is_a_mistake_of_the_config():
    with pytest.raises(ConfigError, match=r"model.pretrained: there is no file nowhere\.pt"):
        begin(build("shufflenet_v2_x0_5"), "nowhere.pt")


def test_true_downloads_what_torchvision_publishes_and_says_what_to_do_without_a_network(whole, monkeypatch):
    asked = []

    def load(url, **how):
        asked.append((url, how["weights_only"], how["check_hash"]))
        if len(asked) > 1:
            raise OSError("no route to host")
        return whole.state_dict()

    monkeypatch.setattr(foreign.torch.hub, "load_state_dict_from_url", load)
    begin(model := build("shufflenet_v2_x0_5"), True)
    assert asked == [("https://download.pytorch.org/models/shufflenetv2_x0.5-f707e7126e.pth", True, True)]
    assert torch.equal(model.network.state_dict()["conv5.0.weight"], whole.state_dict()["conv5.0.weight"])
    with pytest.raises(RunError, match="no route to host\n  download them where you can, and set model.pretrained"):
        begin(model, True)


def test_published_files_have_names_that_torchvision_itself_mends():
    dense, inception = build("densenet121"), build("inception_v3", size=96)
    own = dense.adapt({"features.denseblock1.denselayer1.norm.1.weight": torch.zeros(2)})
    assert list(own) == ["network.features.denseblock1.denselayer1.norm1.weight"]
    assert inception.adapt({"AuxLogits.fc.weight": torch.zeros(2), "fc.bias": torch.zeros(2)}) == {}
