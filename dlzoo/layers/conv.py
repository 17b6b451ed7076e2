"""Convolutions: with norm and activation for pictures, causal for sequences."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.choices import Activation
from dlzoo.errors import ConfigError
from dlzoo.layers.activation import activation as activate


def conv_norm(
    in_dim: int, dim: int, kernel: int, stride: int = 1, groups: int = 1, activation: Activation | None = "relu"
) -> nn.Sequential:
    """Convolution, BatchNorm, activation (or none): (B, in_dim, H, W) to (B, dim, ceil(H / stride), ...)."""
    layers: list[nn.Module] = [
        nn.Conv2d(in_dim, dim, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(dim),
    ]
    return nn.Sequential(*layers, *([activate(activation)] if activation else []))


def init_convs(model: nn.Module) -> None:
    """Kaiming-normal weights by fan-out for every convolution (He et al., 2015, arXiv:1502.01852), zero biases."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def large_enough(image_size: int | None, needed: int) -> None:
    """Raises ConfigError where pictures are too small for the network to leave anything of them."""
    if image_size is not None and image_size < needed:
        size, least = f"{image_size}x{image_size}", f"{needed}x{needed}"
        raise ConfigError([f"model: pictures of {size} are smaller than the {least} that it needs"])


class CausalConv(nn.Conv1d):
    """A dilated convolution over (B, D, T) whose output at t sees the `reach` steps before t, and t."""

    def __init__(self, in_dim: int, dim: int, kernel: int, dilation: int = 1):
        super().__init__(in_dim, dim, kernel, dilation=dilation)
        self.reach = (kernel - 1) * dilation

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.reach, 0)))

    def step(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`forward` for new steps x (B, D, t) after `past` (B, D, reach); also gives the past of the step to come."""
        past = x.new_zeros(x.shape[0], x.shape[1], self.reach) if past is None else past
        x = torch.cat([past, x], 2)
        return super().forward(x), x[:, :, x.shape[2] - self.reach :]
