"""The adapter of torchvision's networks: their features, their weights, their names, for any number of channels."""

import pytest
import torch
from torchvision import models

from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.registry import MODELS

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
