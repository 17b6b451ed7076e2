"""Weights that others have published: where torchvision's are, and how their names and shapes become ours."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.errors import ConfigError


def address(arch: str | None) -> str:
    """Where torchvision's own weights of a network are, the best that there are.

    Raises ConfigError for None, a network of a size that nobody has published.
    """
    from torchvision.models import get_model_weights

    if arch is None:
        raise ConfigError(["model.pretrained: torchvision has no weights for a network of this size; name a file"])
    return str(get_model_weights(arch).DEFAULT.url)


def renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors under the names that the first fitting pattern of `names` gives; others keep theirs.

    A pattern whose name is '' leaves out what it fits.
    """
    found = {}
    for name, tensor in state.items():
        new = next((re.sub(old, new, name) if new else "" for old, new in names.items() if re.match(old, name)), name)
        if new:
            found[new] = tensor
    return found


def joined(state: Mapping[str, Tensor], parts: tuple[str, ...], whole: str) -> dict[str, Tensor]:
    """With the tensors of `parts` (say q, k and v, one word of a name each) one below the other under `whole`."""
    found = dict(state)
    for name in state:
        names = [name.replace(f".{parts[0]}.", f".{part}.") for part in parts]
        if f".{parts[0]}." in name and all(part in state for part in names):
            found[name.replace(f".{parts[0]}.", f".{whole}.")] = torch.cat([found.pop(part) for part in names])
    return found


def take_channels(conv: nn.Module, channels: int) -> None:
    """Let a network's first convolution take so many channels."""
    assert isinstance(conv, (nn.Conv2d, nn.Conv3d))
    conv.in_channels, conv.weight = channels, nn.Parameter(for_channels(conv.weight.detach(), channels))


def first_for(state: dict[str, Tensor], name: str, channels: int) -> dict[str, Tensor]:
    """The same weights with the first convolution's, if they have it, for other channels."""
    return {key: for_channels(value, channels) if key == name else value for key, value in state.items()}


def for_channels(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weights for other channels, each the mean of those for red, green and blue, of the same sum."""
    if weight.shape[1] == channels:
        return weight
    mean = weight.mean(1, keepdim=True)
    return mean.expand(-1, channels, *mean.shape[2:]) * (weight.shape[1] / channels)


def for_patches(position: Tensor, count: int) -> Tensor:
    """Embeddings of a class token and of a square of patches (1, 1 + n, D) for another square: (1, 1 + count, D).

    Bicubic, as Dosovitskiy et al. (2020) and DeiT do it for larger pictures.
    """
    old, new = round((position.shape[1] - 1) ** 0.5), round(count**0.5)
    if old == new:
        return position
    square = position[:, 1:].mT.unflatten(2, (old, old))
    square = F.interpolate(square, (new, new), mode="bicubic", align_corners=False)
    return torch.cat([position[:, :1], square.flatten(2).mT], 1)
