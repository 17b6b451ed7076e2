"""torchvision's classification networks without their classifiers, all of them, by their names there."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from dlzoo.errors import ConfigError, did_you_mean, printable
from dlzoo.features import Features
from dlzoo.layers.published import address, first_for, take_channels
from dlzoo.registry import MODELS

SIZE = 224
"""Height and width of the pictures that a network is measured with, where they are not all of one size."""
CLASSIFIER = ("adaptive_avg_pool2d", "avgpool", "classifier", "dropout", "fc", "flatten", "head", "heads", "mean")
"""What the first step behind the features is called, in one network or another."""
AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""Where the names of weights begin that are for a network's first training alone."""
DENSE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""Names in the published files of densenets, which have a point more."""
COARSEST = 4
"""Least stride of the maps of a pyramid."""


@MODELS.register("torchvision")
class Torchvision(nn.Module):
    """Images (B, C, H, W) to the last map (B, dim, H / stride, W / stride), or to the last map of each size.

    Its weights have torchvision's names. The first convolution takes as many channels as the pictures have.

    Args:
        in_channels: channels of a picture
        image_size: height and width of a picture in pixels
        arch: the network's name in torchvision, say resnet50, efficientnet_b0 or swin_t
        pretrained: weights to begin with: a .safetensors, .pt or .pth file, or true to download torchvision's own; they
            are used to task.normalize imagenet
        out: the last map, which a vit lacks and gives a vector for; the map's mean; or a pyramid from stride 4 on
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int | None = None,
        arch: str = "resnet18",
        pretrained: str | bool = False,
        out: Literal["map", "vector", "pyramid"] = "map",
    ):
        super().__init__()
        from torchvision.models.feature_extraction import create_feature_extractor

        size = image_size or SIZE
        self.arch, self.in_channels = arch, in_channels
        network = _network(arch, size, as_published=bool(pretrained) and in_channels == 3)
        names = network.state_dict().keys()
        first = next(name for name, part in network.named_modules() if isinstance(part, nn.Conv2d))
        self.first = f"{first}.weight"
        take_channels(network.get_submodule(first), in_channels)
        shapes = _shapes(network, arch, in_channels, size)
        last = list(shapes)[-1]
        maps = {n: shape for n, shape in _maps(network, shapes, size).items() if n == last or out == "pyramid"}
        if out == "pyramid" and len(maps) < 2:
            raise ConfigError([f"model: '{arch}' has no maps of several sizes, as a pyramid wants"])
        self.mean = out == "vector" and len(shapes[last]) == 4
        self.last_channel = {name: shape[1] == shape[2] != shape[3] for name, shape in maps.items()}
        self.network = create_feature_extractor(network, list(maps or [last]), suppress_diff_warning=True)
        self.left_out = names - self.network.state_dict().keys()
        """Names of the classifier's weights."""
        dims = tuple(shape[3 if self.last_channel[name] else 1] for name, shape in maps.items())
        strides = tuple(round(size / shape[2]) for shape in maps.values())
        if out == "pyramid":
            self.features = Features("pyramid", dims, strides)
        elif maps and not self.mean:
            self.features = Features("map", dims[0], strides[0])
        else:
            self.features = Features("vector", shapes[last][1])

    def published(self) -> str:
        """The address of torchvision's own weights, the best that there are."""
        return address(self.arch)

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a whole network of torchvision as this one's: without the classifier, for these channels."""
        own = {DENSE.sub(r"\1\2", name): tensor for name, tensor in state.items()}
        own = {name: own[name] for name in own if name not in self.left_out and not name.startswith(AUXILIARY)}
        own = first_for(own, self.first, self.in_channels)
        return {f"network.{name}": tensor for name, tensor in own.items()}

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        found = self.network(x)
        outputs = [y.movedim(-1, 1) if self.last_channel.get(name) else y for name, y in found.items()]
        if self.features.kind == "pyramid":
            return outputs
        return cast(Tensor, outputs[0].mean((2, 3)) if self.mean else outputs[0])


def _network(arch: str, size: int, as_published: bool) -> nn.Module:
    """The whole network, with new weights, without what is in it for its first training alone.

    as_published: two of them want their pictures on another scale, as their published weights do.
    """
    from torchvision import models

    if arch not in (known := models.list_models(module=models)):
        some = f"It has {len(known)}, among them resnet18, efficientnet_b0, convnext_tiny and swin_t."
        raise ConfigError([f"model.arch: torchvision has no '{printable(arch)}'.{did_you_mean(arch, known)} {some}"])
    own: dict[str, Any] = {}
    if arch in ("googlenet", "inception_v3"):
        own = {"aux_logits": False, "init_weights": False, "transform_input": as_published}
    elif arch.startswith("vit"):
        own = {"image_size": size}
    elif arch.startswith("maxvit"):
        own = {"input_size": (size, size)}
    try:
        return cast(nn.Module, models.get_model(arch, weights=None, **own))
    except (AssertionError, ValueError, RuntimeError) as error:  # a size that its patches or windows do not divide
        raise ConfigError([f"model: '{arch}' cannot be had for pictures of {size}x{size}: {error}"]) from error


def _shapes(network: nn.Module, arch: str, channels: int, size: int) -> dict[str, tuple[int, ...]]:
    """The shape of what each step before the classifier gives for two pictures; no arithmetic is done for it."""
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    names: list[str] = []
    for name in get_graph_node_names(network, suppress_diff_warning=True)[1][1:]:
        if name.partition(".")[0].rstrip("0123456789").rstrip("_") in CLASSIFIER:
            break
        names.append(name)
    described = copy.deepcopy(network).eval().to("meta")
    try:
        found = create_feature_extractor(described, names)(torch.empty(2, channels, size, size, device="meta"))
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise ConfigError([f"model: pictures of {size}x{size} are too small for '{arch}': {why}"]) from error
    tensors = {name: y for name, y in found.items() if isinstance(y, Tensor) and y.is_floating_point()}
    return {name: tuple(y.shape) for name, y in tensors.items()}


def _maps(network: nn.Module, shapes: dict[str, tuple[int, ...]], size: int) -> dict[str, tuple[int, ...]]:
    """The last map of each size, channels first or last, that is not inside a block whose result has another size."""
    square = {name: shape for name, shape in shapes.items() if len(shape) == 4 and shape[0] == 2 and _side(shape)}
    blocks = {
        name
        for name, part in network.named_modules()
        if name and type(part) not in (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    }
    results: dict[str, int] = {}
    """The side of the last map in each block."""
    for name, shape in square.items():
        parts = name.split(".")
        results |= {block: _side(shape) for i in range(1, len(parts)) if (block := ".".join(parts[:i])) in blocks}
    found: dict[int, str] = {}
    for name, shape in square.items():
        side, parts = _side(shape), name.split(".")
        inside = (results.get(".".join(parts[:i]), side) for i in range(1, len(parts)))
        if size // side >= COARSEST and all(result == side for result in inside):
            found[side] = name
    last = list(shapes)[-1]
    if last in square:
        found[_side(square[last])] = last
    return {name: square[name] for name in found.values()}


def _side(shape: tuple[int, ...]) -> int:
    """Height and width of a map that is square; 0 of what is none."""
    return shape[2] if shape[1] == shape[2] or shape[2] == shape[3] else 0
