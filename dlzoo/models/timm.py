"""timm's networks without their classifiers, a thousand, by their names there (Wightman, 2019). Extra: timm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from dlzoo.errors import ConfigError, did_you_mean, printable
from dlzoo.features import Features
from dlzoo.registry import MODELS

SIZE = 224
"""Height and width of the pictures that a network is measured with, where they are not all of one size."""
COARSEST = 4
"""Least stride of the maps of a pyramid."""


@MODELS.register("timm")
class Timm(nn.Module):
    """Images (B, C, H, W) to the last map (B, dim, H / stride, W / stride), a vector, or the last map of each size.

    Its weights have timm's names. The first convolution takes as many channels as the pictures have.

    Args:
        in_channels: channels of a picture
        image_size: height and width of a picture in pixels
        arch: the network's name in timm, say resnet18, convnext_atto or vit_tiny_patch16_224
        pretrained: weights to begin with: a .safetensors, .pt or .pth file, or true to download timm's own; they are
            used to task.normalize imagenet
        out: the last map, which a transformer has too; the vector that its own classifier gets; or a pyramid from
            stride 4 on
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
        size = image_size or SIZE
        self.in_channels = in_channels
        network = _network(arch, in_channels, size)
        self.indices: list[int] | None = None
        try:
            shapes = _shapes(network, in_channels, size, maps=out != "vector")
        except (RuntimeError, AssertionError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise ConfigError([f"model: '{arch}' cannot be had for pictures of {size}x{size}: {why}"]) from error
        if out == "vector":
            self.features = Features("vector", shapes[0][1])
        else:
            by_side = {shape[2]: i for i, shape in enumerate(shapes) if size // shape[2] >= COARSEST}
            self.indices = list(by_side.values()) if out == "pyramid" else [len(shapes) - 1]
            if out == "pyramid" and len(self.indices) < 2:
                raise ConfigError([f"model: '{arch}' has no maps of several sizes, as a pyramid wants"])
            network.prune_intermediate_layers(self.indices, prune_norm=False, prune_head=True)
            dims = tuple(shapes[i][1] for i in self.indices)
            strides = tuple(round(size / shapes[i][2]) for i in self.indices)
            pyramid = out == "pyramid"
            self.features = Features("pyramid", dims, strides) if pyramid else Features("map", dims[0], strides[0])
        self.network = cast(nn.Module, network)

    def published(self) -> str:
        """The address of timm's own weights. Raises ConfigError for a network without any."""
        settings = cast(Any, self.network).pretrained_cfg
        if not settings.get("hf_hub_id"):
            raise ConfigError([f"model.pretrained: timm publishes no weights of '{settings.get('architecture')}'"])
        return f"https://huggingface.co/{settings['hf_hub_id']}/resolve/main/model.safetensors"

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a whole network of timm as this one's: without what was left out, for these channels."""
        from timm.models import adapt_input_conv

        kept = self.network.state_dict()
        own = {name: tensor for name, tensor in state.items() if name in kept}
        first = cast(Any, self.network).pretrained_cfg.get("first_conv")
        for name in (first,) if isinstance(first, str) else first or ():
            if (weight := own.get(f"{name}.weight")) is not None and weight.shape[1] == 3:
                own[f"{name}.weight"] = adapt_input_conv(self.in_channels, weight)
        return {f"network.{name}": tensor for name, tensor in own.items()}

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        if self.indices is None:
            return cast(Tensor, self.network(x))
        found = _intermediates(self.network, x, self.indices)
        return found if self.features.kind == "pyramid" else found[0]


def _network(arch: str, channels: int, size: int) -> Any:
    """The whole network, with new weights, without its classifier."""
    try:
        import timm
    except ImportError as error:
        hint = "pip install 'dlzoo[timm]'"
        raise ConfigError([f"model: 'timm' needs a package that is not here ({error}): {hint}"]) from error
    if not timm.is_model(arch):
        known = timm.list_models()
        some = f"It has {len(known):,}, among them resnet18, convnext_atto and vit_tiny_patch16_224."
        raise ConfigError([f"model.arch: timm has no '{printable(arch)}'.{did_you_mean(arch, known)} {some}"])
    own: dict[str, Any] = {"in_chans": channels, "num_classes": 0}
    if getattr(timm.get_pretrained_cfg(arch), "fixed_input_size", False):
        own["img_size"] = size
    try:
        return timm.create_model(arch, **own)
    except (AssertionError, ValueError, RuntimeError, TypeError) as error:  # patches or windows that do not divide it
        raise ConfigError([f"model: '{arch}' cannot be had for pictures of {size}x{size}: {error}"]) from error


@torch.no_grad()
def _shapes(network: Any, channels: int, size: int, maps: bool) -> list[tuple[int, ...]]:
    """Of what a network gives for one black picture."""
    network.eval()
    x = torch.zeros(1, channels, size, size)
    outputs = _intermediates(network, x, None) if maps else [network(x)]
    network.train()
    return [tuple(y.shape) for y in outputs]


def _intermediates(network: Any, x: Tensor, indices: list[int] | None) -> list[Tensor]:
    if not hasattr(network, "forward_intermediates"):
        raise ConfigError(["model: this network of timm gives no maps; set out: vector"])
    how = {"norm": True, "stop_early": indices is not None, "intermediates_only": True, "output_fmt": "NCHW"}
    return list(network.forward_intermediates(x, indices=indices, **how))
