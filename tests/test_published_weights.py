"""Our own networks begin with torchvision's weights and then give what torchvision's give."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from dlzoo.errors import ConfigError, RunError
from dlzoo.layers.published import for_patches
from dlzoo.registry import MODELS
from dlzoo.run.beginning import published as begin


def resnet(whole, x):
    return torch.nn.Sequential(*list(whole.children())[:-2])(x)


def convnext(whole, x):
    return whole.classifier[0](whole.avgpool(whole.features(x))).flatten(1)


def vit(whole, x):
    whole.heads = torch.nn.Identity()
    return whole(x)


CASES = [
    ("resnet", {"depth": 18, "stem": "imagenet"}, lambda: models.resnet18(), resnet),
    ("resnet", {"depth": 50, "stem": "imagenet"}, lambda: models.resnet50(), resnet),
    ("convnext", {"size": "tiny", "patch": 4, "out": "vector"}, lambda: models.convnext_tiny(), convnext),
    (
        "vit",
        {"dim": 768, "depth": 12, "heads": 12, "patch": 16, "out": "vector"},
        lambda: models.vit_b_16(image_size=64),
        vit,
    ),
]


@pytest.mark.parametrize(("name", "args", "theirs", "features"), CASES, ids=[f"{c[0]}{i}" for i, c in enumerate(CASES)])
def test_our_networks_give_what_torchvisions_give_with_its_weights(name, args, theirs, features, tmp_path):
    torch.manual_seed(0)
    whole = theirs().eval()
    save_file(whole.state_dict(), path := tmp_path / "weights.safetensors")
    x = torch.randn(2, 3, 64, 64)
    colour, grey = (MODELS[name](in_channels=channels, image_size=64, **args).eval() for channels in (3, 1))
    begin(colour, str(path))
    begin(grey, str(path))
    with torch.inference_mode():
        torch.testing.assert_close(colour(x), features(whole, x), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(grey(x[:, :1]), colour(x[:, :1].expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-3)


def test_positions_of_a_smaller_square_are_scaled():
    position = torch.randn(1, 1 + 16, 3)
    assert torch.equal(for_patches(position, 16), position)
    larger = for_patches(position, 64)
    assert larger.shape == (1, 65, 3) and torch.equal(larger[:, 0], position[:, 0])
    torch.testing.assert_close(larger[:, 1:].mean(1), position[:, 1:].mean(1), atol=0.1, rtol=0)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file(models.resnet18().state_dict(), path := tmp_path / "weights.safetensors")
    for name, args in (("resnet", {"depth": 34, "stem": "imagenet"}), ("convnext", {}), ("vit", {})):
        with pytest.raises(RunError, match="does not fit this network"):
            begin(MODELS[name](in_channels=3, image_size=64, **args), str(path))


@pytest.mark.parametrize("name", ["resnet", "convnext", "vit"])
def test_a_network_that_nobody_has_published_says_so(name):
    args = {"resnet": {"width": 8}, "convnext": {"size": "atto"}, "vit": {"dim": 48}}[name]
    with pytest.raises(ConfigError, match="torchvision has no weights for a network of this size"):
        begin(MODELS[name](in_channels=3, image_size=64, **args), True)


def test_the_address_is_torchvisions():
    model = MODELS["resnet"](in_channels=3, depth=18, stem="imagenet")
    assert model.published() == models.ResNet18_Weights.DEFAULT.url
